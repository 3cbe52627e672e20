//! What goes: Jobs that no revision needs, and, where the declaration says so, the data with its service.

use accord_crds::status::AuthServiceStatus;
use accord_crds::{ConditionType, Reason};

use crate::context::Context;
use crate::key::{Kind, Object};
use crate::labels;
use crate::outcome::{Action, Event, Plan};
use crate::plan::{deletes_data, has_finalizer};
use crate::status::bounded;

/// How many finished Jobs stay for people to look at.
const JOBS: usize = 10;

/// Finished Jobs beyond the history, oldest first.
pub(crate) fn jobs(context: &Context) -> Vec<Object> {
    let finished = |o: &&Object| {
        o.value["status"]["conditions"]
            .as_array()
            .is_some_and(|l| l.iter().any(|c| c["type"] == "Complete" && c["status"] == "True"))
    };
    // The canary's Job is the record that there is one.
    let canary = context.names.canary_job("");
    let mut all: Vec<&Object> = context
        .observed
        .objects
        .of(Kind::Job)
        .filter(finished)
        .filter(|j| !j.key.name.starts_with(&canary))
        .collect();
    all.sort_by_key(|j| {
        j.value["metadata"]["creationTimestamp"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    });
    let surplus = all.len().saturating_sub(JOBS);
    all.into_iter().take(surplus).cloned().collect()
}

/// The finalizer is there exactly while data is to go with the service.
pub(crate) fn finalizer(context: &Context) -> Option<Action> {
    let wanted = deletes_data(context.service);
    (wanted != has_finalizer(context.service)).then_some(Action::Finalizer { present: wanted })
}

/// Said before anything goes: what a service takes with it, once that is declared.
pub(crate) fn notice(context: &Context) -> Option<Event> {
    matches!(finalizer(context), Some(Action::Finalizer { present: true })).then(|| Event {
        warning: true,
        phase: ConditionType::DataStoresReady,
        reason: Reason::DeletesData,
        message: bounded(&format!(
            "deletionPolicy is Delete: who deletes this AuthService deletes its data too: {}. To keep it, declare Retain.",
            belongings(context)
        )),
    })
}

/// The data of a service, in words: volumes first, since users are in there.
fn belongings(context: &Context) -> String {
    let names = |kind: Kind| context.observed.objects.of(kind).map(|o| o.key.name.as_str());
    let claims: Vec<&str> = names(Kind::PersistentVolumeClaim).collect();
    let claims = if claims.is_empty() {
        "the volumes of its stores".to_owned()
    } else {
        format!("the volumes {}", claims.join(" and "))
    };
    format!(
        "{claims}, its Secrets with key ring and passwords ({} now), and ConfigMap {}",
        names(Kind::Secret).count(),
        context.names.identity()
    )
}

/// What a service that is being deleted leaves to do: under `Delete` its data gets it as owner, and the collector does the
/// rest; under `Retain` nothing.
pub(crate) fn farewell(context: &Context) -> Plan {
    let status: AuthServiceStatus = context.stored_status().cloned().unwrap_or_default();
    let mut plan = Plan {
        status,
        ..Plan::default()
    };
    if deletes_data(context.service) && has_finalizer(context.service) {
        let owner = labels::owner(context.service);
        for kind in [Kind::Secret, Kind::ConfigMap, Kind::PersistentVolumeClaim] {
            for object in context.observed.objects.of(kind) {
                let owned = object.value["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|l| {
                        l.iter()
                            .any(|o| o["uid"].as_str() == owner.as_ref().map(|o| o.uid.as_str()))
                    });
                if owned || object.is_deleting() {
                    continue;
                }
                let mut value = object.value.clone();
                let mut owners = value["metadata"]["ownerReferences"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                owners.push(serde_json::to_value(&owner).unwrap_or_default());
                value["metadata"]["ownerReferences"] = owners.into();
                plan.actions.push(Action::Replace(Object {
                    key: object.key.clone(),
                    value,
                }));
            }
        }
    }
    plan.finished = plan.actions.is_empty();
    if !plan.finished {
        plan.events.push(Event {
            warning: true,
            phase: ConditionType::DataStoresReady,
            reason: Reason::Deleting,
            message: bounded(&format!("With it goes: {}.", belongings(context))),
        });
    }
    plan
}
