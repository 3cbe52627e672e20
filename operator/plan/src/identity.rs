//! Recorded identities: what was there once is never made anew.
//!
//! They stand in status and in a retained `ConfigMap`; what either holds counts. The init container of Postgres mounts the
//! `ConfigMap`, so that an empty volume is not initialised twice even while the operator is away. What the Secrets held
//! stands in the `ConfigMap` alone, as an HMAC: whoever deletes it accepts what they hold now.

use std::collections::{BTreeMap, BTreeSet};

use accord_crds::AuthService;
use accord_crds::meta::ANNOTATION_PAUSED;
use accord_crds::status::Identity;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::context::{Context, Recorded};
use crate::digest;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};
use crate::names::Names;
use crate::observed::Observed;
use crate::phases;

const KEY_RING: &str = "keyRingFingerprint";
/// The key that the init container of Postgres looks for.
pub const SYSTEM_IDENTIFIER: &str = "databaseSystemIdentifier";
const DATABASE_CLAIM: &str = "databaseClaim";
const CACHE_CLAIM: &str = "cacheClaim";
const SECRETS: &str = "secrets";
const CONTENTS: &str = "contents";

/// What is recorded of a service.
pub fn recorded(service: &AuthService, observed: &Observed, names: &Names) -> Recorded {
    let stored = service
        .status
        .as_ref()
        .and_then(|s| s.identity.clone())
        .unwrap_or_default();
    let map = observed
        .objects
        .typed::<ConfigMap>(Kind::ConfigMap, &names.identity())
        .and_then(|c| c.data)
        .unwrap_or_default();
    let pick =
        |from: Option<String>, key: &str| from.or_else(|| map.get(key).cloned()).filter(|v| !v.is_empty());
    Recorded {
        identity: Identity {
            key_ring_fingerprint: pick(stored.key_ring_fingerprint, KEY_RING),
            database_system_identifier: pick(stored.database_system_identifier, SYSTEM_IDENTIFIER),
            database_claim: pick(stored.database_claim, DATABASE_CLAIM),
            cache_claim: pick(stored.cache_claim, CACHE_CLAIM),
        },
        secrets: map
            .get(SECRETS)
            .map(|s| {
                s.split(',')
                    .filter(|n| !n.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
        contents: map
            .get(CONTENTS)
            .into_iter()
            .flat_map(|all| all.split(','))
            .filter_map(|one| one.split_once('='))
            .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
            .collect(),
    }
}

/// What has been seen now, added to what is recorded. A recorded value is never replaced: a difference is a fault, and the
/// phase that meets it says so. Claims alone are, once the database on them has said that it is the recorded one.
pub fn updated(context: &Context) -> Recorded {
    let objects = &context.observed.objects;
    let names = &context.names;
    let claim = |name: String| {
        objects
            .get(Kind::PersistentVolumeClaim, &name)
            .map(|c| c.uid().to_owned())
            .filter(|u| !u.is_empty())
    };
    let facts = context
        .observed
        .database
        .as_ref()
        .and_then(|a| a.facts.as_ref().ok());
    let mut new = context.identity.clone();
    let id = &mut new.identity;
    if id.key_ring_fingerprint.is_none() {
        id.key_ring_fingerprint = objects.get(Kind::Secret, &names.keys()).and_then(fingerprint);
    }
    if id.database_system_identifier.is_none() {
        id.database_system_identifier = facts
            .map(|f| f.system_identifier.clone())
            .filter(|s| !s.is_empty());
    }
    if id.database_claim.is_none() {
        id.database_claim = claim(names.postgres_claim());
    }
    if id.cache_claim.is_none() {
        id.cache_claim = claim(names.cache_claim());
    }
    if phases::claim::is_restored(context) {
        // A cache can't say which it is: it comes back with its database.
        for (recorded, name) in [
            (&mut id.database_claim, names.postgres_claim()),
            (&mut id.cache_claim, names.cache_claim()),
        ] {
            if let Some(now) = claim(name) {
                *recorded = Some(now);
            }
        }
    }
    let made: BTreeSet<String> = phases::credentials::secret_names(context)
        .into_iter()
        .filter(|name| objects.get(Kind::Secret, name).is_some())
        .collect();
    for name in &made {
        if let (false, Some(digest)) = (new.contents.contains_key(name), contents(context, name)) {
            new.contents.insert(name.clone(), digest);
        }
    }
    new.secrets.extend(made);
    new
}

/// What a Secret holds, as an HMAC. `None` for those that say by themselves whether they are right: the key ring has its
/// fingerprint, and the canary may be replaced.
fn contents(context: &Context, name: &str) -> Option<String> {
    let (names, objects) = (&context.names, &context.observed.objects);
    if [names.keys(), names.canary()].iter().any(|n| n == name) {
        return None;
    }
    let key = objects
        .get(Kind::Secret, &names.internal())?
        .secret_bytes("hmac")?;
    let data = serde_json::to_vec(&objects.get(Kind::Secret, name)?.value["data"]).unwrap_or_default();
    Some(digest::short_hmac(&key, &data))
}

/// True when a Secret holds something else than what was recorded. Without the key of the record nothing can be said.
fn is_other(context: &Context, name: &str) -> bool {
    let recorded = context.identity.contents.get(name);
    recorded.is_some_and(|before| contents(context, name).is_some_and(|now| now != *before))
}

/// A Secret that holds something else than what was recorded, the key ring apart.
pub fn changed(context: &Context) -> Option<String> {
    let internal = context.names.internal();
    // What the record is made with first: with another key everything looks changed.
    if is_other(context, &internal) {
        return Some(internal);
    }
    let mut all = phases::credentials::secret_names(context).into_iter();
    all.find(|name| is_other(context, name))
}

/// True when the key ring that is there isn't the recorded one.
pub fn is_other_ring(context: &Context) -> bool {
    let ring = context.observed.objects.get(Kind::Secret, &context.names.keys());
    let recorded = context.identity.identity.key_ring_fingerprint.as_deref();
    matches!((recorded, ring), (Some(before), Some(now)) if fingerprint(now).as_deref() != Some(before))
}

/// How a person gives up what is recorded: both places, while nothing is written.
pub fn forget(context: &Context) -> String {
    format!(
        "set the annotation {ANNOTATION_PAUSED}=true, delete ConfigMap {} and status.identity, remove the annotation.",
        context.names.identity()
    )
}

/// The retained `ConfigMap`.
pub fn config_map(context: &Context, recorded: &Recorded) -> Object {
    let name = context.names.identity();
    let id = &recorded.identity;
    let mut data = BTreeMap::new();
    for (key, value) in [
        (KEY_RING, &id.key_ring_fingerprint),
        (SYSTEM_IDENTIFIER, &id.database_system_identifier),
        (DATABASE_CLAIM, &id.database_claim),
        (CACHE_CLAIM, &id.cache_claim),
    ] {
        if let Some(value) = value {
            data.insert(key.to_owned(), value.clone());
        }
    }
    if !recorded.secrets.is_empty() {
        data.insert(
            SECRETS.to_owned(),
            recorded.secrets.iter().cloned().collect::<Vec<_>>().join(","),
        );
    }
    if !recorded.contents.is_empty() {
        let all = recorded
            .contents
            .iter()
            .map(|(name, digest)| format!("{name}={digest}"));
        data.insert(CONTENTS.to_owned(), all.collect::<Vec<_>>().join(","));
    }
    let map = ConfigMap {
        metadata: labels::kept(context.service, &name, Role::Config),
        data: Some(data),
        ..ConfigMap::default()
    };
    Object::new(Kind::ConfigMap, &name, &map)
}

/// The fingerprint of a key ring: of digests of its keys, which are random and long, so that it tells nothing about them.
pub fn fingerprint(secret: &Object) -> Option<String> {
    let active = secret.secret_bytes("active").filter(|k| !k.is_empty())?;
    let fallbacks = secret.secret_bytes("fallbacks").unwrap_or_default();
    let ids = format!("{}/{}", digest::sha256(&active), digest::sha256(&fallbacks));
    Some(digest::sha256(ids.as_bytes()))
}
