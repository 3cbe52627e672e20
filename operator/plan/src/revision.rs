//! Revisions of the declaration: what makes one, and which one serves.
//!
//! The last revision that passed every gate is kept as a `ControllerRevision`: the spec, not rendered objects, so that it
//! can be rendered anew with today's keys and certificates. Replicas and data stores are never part of a revision.

use accord_crds::AuthServiceSpec;
use accord_crds::spec::{DeletionPolicy, Verification};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;

use crate::context::Context;
use crate::digest;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

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

/// The released revision: the `ControllerRevision` with the highest number.
pub fn released(context: &Context) -> Option<Revision> {
    let latest = context
        .observed
        .objects
        .of(Kind::ControllerRevision)
        .filter_map(Object::typed::<ControllerRevision>)
        .max_by_key(|r| r.revision)?;
    let own: AuthServiceSpec = serde_json::from_value(latest.data?.0).ok()?;
    let digest = declared(&own).digest;
    Some(Revision {
        digest,
        spec: effective(own, context.spec()),
    })
}

/// The `ControllerRevision` that says that a revision is released now.
pub fn record(context: &Context, revision: &Revision) -> Object {
    let name = context.names.revision(&revision.digest);
    let number = |o: &Object| o.typed::<ControllerRevision>().map_or(0, |r| r.revision);
    let highest = context
        .observed
        .objects
        .of(Kind::ControllerRevision)
        .map(number)
        .max()
        .unwrap_or(0);
    let own = context
        .observed
        .objects
        .get(Kind::ControllerRevision, &name)
        .map(number);
    let object = ControllerRevision {
        metadata: labels::owned(context.service, &name, Role::Server),
        data: Some(RawExtension(
            serde_json::to_value(essence(&revision.spec)).unwrap_or_default(),
        )),
        revision: own.filter(|n| *n == highest).unwrap_or(highest + 1),
    };
    Object::new(Kind::ControllerRevision, &name, &object)
}

/// Released revisions beyond the history, oldest first.
pub fn superfluous(context: &Context) -> Vec<Object> {
    let mut all: Vec<(i64, &Object)> = context
        .observed
        .objects
        .of(Kind::ControllerRevision)
        .map(|o| (o.typed::<ControllerRevision>().map_or(0, |r| r.revision), o))
        .collect();
    all.sort_by_key(|(number, _)| *number);
    let surplus = all.len().saturating_sub(HISTORY);
    all.into_iter().take(surplus).map(|(_, o)| o.clone()).collect()
}
