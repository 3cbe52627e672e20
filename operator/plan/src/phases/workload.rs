//! The servers: Deployment, Service, eviction limit, and the bindings that their pods and Jobs name.

use accord_crds::Reason;
use accord_crds::meta::{LABEL_REVISION, LABEL_ROLE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::Value;

use crate::binding::{self, Audience, Rendered, Sources};
use crate::build::{deployment, pdb, secret, service};
use crate::context::Context;
use crate::endpoint;
use crate::gate::Gate;
use crate::identity;
use crate::key::{Kind, Object, ObjectKey};
use crate::labels::Role;
use crate::phases::{Draft, startup};
use crate::revision::Revision;

/// What bindings are made from; `None` while a credential is missing, or is another one than the servers have.
pub fn sources(context: &Context) -> Option<Sources> {
    if identity::is_other_ring(context) || identity::changed(context).is_some() {
        return None;
    }
    let ring = context
        .observed
        .objects
        .get(Kind::Secret, &context.names.keys())?;
    Some(Sources {
        database: endpoint::database(context).ok()?,
        cache: endpoint::cache(context).ok()?,
        active: ring.secret_text("active")?,
        fallbacks: ring.secret_text("fallbacks").unwrap_or_default(),
    })
}

/// Renders a revision's bindings for an audience, and names the Secret for them.
pub fn bind(
    context: &Context,
    revision: &Revision,
    sources: &Sources,
    audience: Audience,
) -> Option<(Rendered, String)> {
    let key = context
        .observed
        .objects
        .get(Kind::Secret, &context.names.internal())?
        .secret_bytes("hmac")?;
    let rendered = binding::render(&revision.spec, sources, audience);
    let name = secret::binding_name(context, &key, &rendered);
    Some((rendered, name))
}

/// Wants a binding Secret. One that exists is immutable: only its owners change, see [`owners`].
pub fn want_binding(context: &Context, draft: &mut Draft, name: &str, rendered: &Rendered) {
    if context.observed.objects.get(Kind::Secret, name).is_none() {
        draft.want(secret::binding(context, name, rendered, Vec::new()));
    }
}

/// True when a Job that hasn't ended names a binding Secret.
pub fn is_named_by_running_job(context: &Context, binding: &str) -> bool {
    let ended = |job: &Object| {
        let conditions = job.value["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|c| c["status"] == "True" && matches!(c["type"].as_str(), Some("Complete" | "Failed")))
    };
    context
        .observed
        .objects
        .of(Kind::Job)
        .any(|job| !ended(job) && names_secret(&job.value["spec"]["template"]["spec"], binding))
}

/// Wants the servers of a revision. Without one to serve, or without what bindings are made from, those that run go on as
/// they are, at today's number. Their Service is kept to a revision where that is asked for.
pub fn run(
    context: &Context,
    draft: &mut Draft,
    serving: Option<&Revision>,
    sources: Option<&Sources>,
    kept_to: Option<&str>,
) {
    let bound = serving.zip(sources).and_then(|(revision, sources)| {
        let (rendered, name) = bind(context, revision, sources, Audience::Server)?;
        Some((revision, rendered, name))
    });
    let name = context.names.server();
    match bound {
        Some((revision, rendered, binding)) => {
            want_binding(context, draft, &binding, &rendered);
            draft.want(deployment::servers(context, revision, &rendered, &binding));
        }
        None => match context.observed.objects.get(Kind::Deployment, &name) {
            Some(live) => draft.want(at_todays_number(context, live)),
            None => return,
        },
    }
    draft.want(service::servers(context, kept_to));
    draft.want(pdb::servers(context));
}

/// The Deployment as it is, with the declared number of replicas.
fn at_todays_number(context: &Context, live: &Object) -> Object {
    let mut value = serde_json::json!({
        "apiVersion": live.value["apiVersion"], "kind": live.value["kind"],
        "metadata": {
            "name": live.key.name, "namespace": context.namespace(),
            "labels": live.value["metadata"]["labels"], "ownerReferences": live.value["metadata"]["ownerReferences"],
        },
        "spec": live.value["spec"],
    });
    value["spec"]["replicas"] = context.spec().replicas.into();
    Object {
        key: live.key.clone(),
        value,
    }
}

/// Binding Secrets whose owners differ from the `ReplicaSets` and Jobs that name them, as they should be.
pub fn owners(context: &Context) -> Vec<Object> {
    let prefix = context.names.binding("");
    let objects = &context.observed.objects;
    objects
        .of(Kind::Secret)
        .filter(|s| s.key.name.starts_with(&prefix))
        .filter_map(|s| {
            let mut wanted: Vec<OwnerReference> = [Kind::ReplicaSet, Kind::Job]
                .into_iter()
                .flat_map(|kind| objects.of(kind))
                .filter(|o| {
                    !o.is_deleting() && names_secret(&o.value["spec"]["template"]["spec"], &s.key.name)
                })
                .map(owner)
                .collect();
            wanted.sort_by(|a, b| a.uid.cmp(&b.uid));
            let has: Vec<OwnerReference> =
                serde_json::from_value(s.value["metadata"]["ownerReferences"].clone()).unwrap_or_default();
            // Owners are only added: the collector drops those that are gone, and a stale read must not drop a live one.
            let new: Vec<&OwnerReference> = wanted
                .iter()
                .filter(|w| !has.iter().any(|h| h.uid == w.uid))
                .collect();
            if new.is_empty() {
                return None;
            }
            let all: Vec<&OwnerReference> = has.iter().chain(new).collect();
            let mut secret = s.clone();
            secret.value["metadata"]["ownerReferences"] = serde_json::to_value(all).unwrap_or_default();
            Some(secret)
        })
        .collect()
}

fn owner(object: &Object) -> OwnerReference {
    OwnerReference {
        api_version: object.key.kind.api_version().into(),
        kind: object.key.kind.as_str().into(),
        name: object.key.name.clone(),
        uid: object.uid().to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}

fn names_secret(pod: &Value, name: &str) -> bool {
    let volumes = entries(&pod["volumes"]).any(|v| v["secret"]["secretName"] == name);
    let env = entries(&pod["containers"])
        .flat_map(|c| entries(&c["env"]))
        .any(|e| e["valueFrom"]["secretKeyRef"]["name"] == name);
    volumes || env
}

fn entries(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Why the API server takes no Deployment of a revision.
pub fn refused(context: &Context, digest: &str) -> Option<String> {
    let key = ObjectKey::new(Kind::Deployment, context.names.server());
    let refused = context.observed.refused.get(&key)?;
    (refused.revision.as_deref() == Some(digest)).then(|| refused.told(&key))
}

/// Whether the controllers have carried out what was applied.
pub fn gate(context: &Context, serving: Option<&Revision>) -> Gate {
    let Some(revision) = serving else {
        return Gate::closed(Reason::WaitingForEarlierPhase, "Nothing is released yet.");
    };
    let Some(live) = context
        .observed
        .objects
        .get(Kind::Deployment, &context.names.server())
    else {
        return Gate::closed(Reason::RollingOut, "Creating the servers.");
    };
    let number = |v: &Value| v.as_i64().unwrap_or(0);
    let (spec, status) = (&live.value["spec"], &live.value["status"]);
    let declared = i64::from(context.spec().replicas);
    if spec["template"]["metadata"]["labels"][LABEL_REVISION] != *revision.digest
        || number(&status["observedGeneration"]) < number(&live.value["metadata"]["generation"])
        || number(&spec["replicas"]) != declared
    {
        return Gate::closed(Reason::RollingOut, "Handing the servers to the cluster.");
    }
    if let Some(why) = startup::failing(context, &revision.digest) {
        return Gate::closed(Reason::PodsNotStarting, why);
    }
    if declared == 0 && number(&status["replicas"]) == 0 {
        return Gate::open("Scaled to zero, as declared.");
    }
    let updated = number(&status["updatedReplicas"]);
    let running = servers(context)
        .filter(|p| runs(p, &revision.digest) && containers_ready(p))
        .count();
    if updated < declared || i64::try_from(running).unwrap_or(0) < declared {
        return Gate::closed(
            Reason::RollingOut,
            format!("{running} of {declared} replicas have started."),
        );
    }
    Gate::open(format!(
        "{declared} of {declared} replicas run the declared revision."
    ))
}

/// True when the Deployment holds a revision's template.
pub fn is_rolled(context: &Context, revision: &Revision) -> bool {
    let live = context
        .observed
        .objects
        .get(Kind::Deployment, &context.names.server());
    live.is_some_and(|d| {
        d.value["spec"]["template"]["metadata"]["labels"][LABEL_REVISION] == *revision.digest
    })
}

/// The server pods that aren't being deleted.
pub fn servers<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Object> {
    all_servers(context).filter(|p| !p.is_deleting())
}

/// The server pods, those being deleted too.
pub fn all_servers<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Object> {
    context
        .observed
        .objects
        .of(Kind::Pod)
        .filter(|p| p.label(LABEL_ROLE) == Some(Role::Server.as_str()))
}

/// True when a pod runs a revision.
pub fn runs(pod: &Object, revision: &str) -> bool {
    pod.label(LABEL_REVISION) == Some(revision)
}

/// A condition of a pod.
pub fn condition<'a>(pod: &'a Object, kind: &str) -> Option<&'a Value> {
    pod.value["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

/// True when kubelet says that all containers are ready.
pub fn containers_ready(pod: &Object) -> bool {
    condition(pod, "ContainersReady").is_some_and(|c| c["status"] == "True")
}

/// True when all containers run and have passed their start-up probe: they can be asked, if not yet by users.
pub fn has_started(pod: &Object) -> bool {
    let statuses = pod.value["status"]["containerStatuses"].as_array();
    statuses.is_some_and(|list| {
        !list.is_empty()
            && list
                .iter()
                .all(|c| c["started"] == true && !c["state"]["running"].is_null())
    })
}
