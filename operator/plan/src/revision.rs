//! Revisions of the declaration: what makes one, and which one serves.
//!
//! The last revision that passed every gate is kept as a `ControllerRevision`: the spec, not rendered objects, so that it
//! can be rendered anew with today's keys and certificates. Replicas and data stores are never part of a revision.

use accord_crds::AuthServiceSpec;
use accord_crds::meta::LABEL_ROLE;
use accord_crds::spec::{DeletionPolicy, Verification};
use accord_crds::status::Revision as Told;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;

use crate::context::Context;
use crate::digest;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};
use crate::phases::cutover;
use crate::phases::workload::{runs, servers};

/// How many released revisions are kept for going back.
pub const HISTORY: usize = 10;

/// A revision, ready to be rendered: its own fields, and today's for the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its digest.
    pub digest: String,
    /// The effective spec.
    pub spec: AuthServiceSpec,
}

/// The part of a spec that makes a revision.
fn essence(spec: &AuthServiceSpec) -> AuthServiceSpec {
    AuthServiceSpec {
        replicas: 1,
        database: None,
        cache: None,
        preflight: None,
        deletion_policy: DeletionPolicy::default(),
        verification: spec
            .verification
            .as_ref()
            .map(|v| Verification {
                interval_seconds: None,
                isolation: None,
                when_none_agree: None,
                on_unverifiable: None,
                edge: None,
                ..v.clone()
            })
            .filter(|v| *v != Verification::default()),
        ..spec.clone()
    }
}

/// A revision from its own fields and today's rest.
fn effective(own: AuthServiceSpec, today: &AuthServiceSpec) -> AuthServiceSpec {
    AuthServiceSpec {
        replicas: today.replicas,
        database: today.database.clone(),
        cache: today.cache.clone(),
        preflight: today.preflight.clone(),
        deletion_policy: today.deletion_policy,
        ..own
    }
}

/// The declared revision.
pub fn declared(spec: &AuthServiceSpec) -> Revision {
    let json = serde_json::to_vec(&essence(spec)).unwrap_or_default();
    Revision {
        digest: digest::short(&json),
        spec: spec.clone(),
    }
}

/// The records of released revisions. `StatefulSets` keep theirs under the labels of their pods: those aren't ours.
fn records<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Object> {
    let all = context.observed.objects.of(Kind::ControllerRevision);
    all.filter(|o| o.label(LABEL_ROLE) == Some(Role::Server.as_str()))
}

/// The released revision: the one that a cutover has switched users to, else the one with the highest number. So the write
/// that switches users releases too, and nothing can come between the two.
pub fn released(context: &Context) -> Option<Revision> {
    let latest = switched_to(context).or_else(|| {
        let last = told(context).map(|told| context.names.revision(&told.revision));
        records(context)
            .filter_map(Object::typed::<ControllerRevision>)
            .max_by_key(|r| (r.revision, r.metadata.name == last))
    })?;
    let own: AuthServiceSpec = serde_json::from_value(latest.data?.0).ok()?;
    let digest = declared(&own).digest;
    Some(Revision {
        digest,
        spec: effective(own, context.spec()),
    })
}

/// The record of the revision that the Service is kept to. One of which no pod is there was written by somebody else.
fn switched_to(context: &Context) -> Option<ControllerRevision> {
    let kept = cutover::kept_to(context)?;
    let name = context.names.revision(&kept);
    let record = context.observed.objects.typed(Kind::ControllerRevision, &name)?;
    servers(context).any(|p| runs(p, &kept)).then_some(record)
}

fn number(object: &Object) -> i64 {
    object.value["revision"].as_i64().unwrap_or(0)
}

/// What status says of the last release.
fn told<'a>(context: &Context<'a>) -> Option<&'a Told> {
    context.service.status.as_ref()?.released.as_ref()
}

/// The highest number that a release had. A list may lack the last record, because it is behind or somebody deleted it; a
/// number that was told isn't given again, or an earlier release would be taken for the last one.
pub fn highest(context: &Context) -> i64 {
    let recorded = records(context).map(number).max();
    recorded
        .max(told(context).and_then(|told| told.number))
        .unwrap_or(0)
}

fn recorded(context: &Context, revision: &Revision) -> Option<i64> {
    let name = context.names.revision(&revision.digest);
    let object = context.observed.objects.get(Kind::ControllerRevision, &name)?;
    Some(number(object))
}

/// True when a revision is known, as released or as what users are about to be switched to.
pub fn is_known(context: &Context, revision: &Revision) -> bool {
    recorded(context, revision).is_some()
}

/// True when a revision is recorded as the one that was released last, and no other one is.
pub fn is_latest(context: &Context, revision: &Revision) -> bool {
    let highest = highest(context);
    recorded(context, revision) == Some(highest)
        && records(context).filter(|o| number(o) == highest).count() == 1
}

/// The revision that users were switched to, until it is recorded as the last release.
pub fn switched<'a>(context: &'a Context) -> Option<&'a Revision> {
    switched_to(context)?;
    context.released().filter(|r| !is_latest(context, r))
}

/// The `ControllerRevision` that says that a revision is released now.
pub fn record(context: &Context, revision: &Revision) -> Object {
    let highest = highest(context);
    let number = if is_latest(context, revision) {
        highest
    } else {
        highest + 1
    };
    numbered(context, revision, number)
}

/// The `ControllerRevision` of a revision that users are about to be switched to: known, and not released by it.
pub fn announce(context: &Context, revision: &Revision) -> Object {
    numbered(context, revision, recorded(context, revision).unwrap_or(0))
}

fn numbered(context: &Context, revision: &Revision, number: i64) -> Object {
    let name = context.names.revision(&revision.digest);
    let object = ControllerRevision {
        metadata: labels::owned(context.service, &name, Role::Server),
        data: Some(RawExtension(
            serde_json::to_value(essence(&revision.spec)).unwrap_or_default(),
        )),
        revision: number,
    };
    Object::new(Kind::ControllerRevision, &name, &object)
}

/// Released revisions beyond the history, oldest first; never the declared one, which may be announced.
pub fn superfluous(context: &Context) -> Vec<Object> {
    let announced = context.names.revision(&context.declared().digest);
    let mut all: Vec<(i64, &Object)> = records(context)
        .filter(|o| o.key.name != announced)
        .map(|o| (number(o), o))
        .collect();
    all.sort_by_key(|(number, _)| *number);
    let surplus = all.len().saturating_sub(HISTORY);
    all.into_iter().take(surplus).map(|(_, o)| o.clone()).collect()
}
