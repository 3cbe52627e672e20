//! Credentials: certificate authority, certificates, key ring, passwords, canary. Made once. What was recorded and is gone
//! is restored from the bindings that live pods use, or waited for; it is never made anew.

use accord_crds::Reason;
use accord_crds::meta::LABEL_SERVICE;

use crate::binding::RING_KEYS;
use crate::build::{certificate, secret};
use crate::context::Context;
use crate::endpoint::ROLES;
use crate::gate::Gate;
use crate::identity;
use crate::key::{Kind, Object};
use crate::outcome::{Generate, Material};
use crate::phases::Draft;

/// The Secrets that a service has once it is complete.
pub fn secret_names(context: &Context) -> Vec<String> {
    let names = &context.names;
    let mut list = vec![names.internal(), names.keys(), names.canary()];
    let database = managed_database(context);
    let cache = managed_cache(context);
    if database || cache {
        list.push(names.ca());
    }
    if database {
        list.extend([names.database_secret(), names.postgres_tls()]);
    }
    if cache {
        list.extend([names.cache_secret(), names.cache_tls()]);
    }
    list
}

fn managed_database(context: &Context) -> bool {
    context
        .spec()
        .database
        .as_ref()
        .is_some_and(|d| d.managed.is_some())
}

fn managed_cache(context: &Context) -> bool {
    context.spec().cache.as_ref().is_some_and(|c| c.managed.is_some())
}

/// Makes what is missing and was never there.
pub fn run(context: &Context, draft: &mut Draft) -> Gate {
    let objects = &context.observed.objects;
    let names = &context.names;
    let ca = objects
        .get(Kind::Secret, &names.ca())
        .and_then(|s| s.secret_text("ca.crt"));
    let mut waiting = Vec::new();
    for name in secret_names(context) {
        if objects.get(Kind::Secret, &name).is_some() {
            continue;
        }
        if name == names.keys() && context.identity.identity.key_ring_fingerprint.is_some() {
            match restorable_ring(context) {
                Some(ring) => draft.want(ring),
                None => return ring_missing(context),
            }
        } else if context.identity.secrets.contains(&name) {
            return Gate::closed(
                Reason::CredentialsMissing,
                format!(
                    "Secret {name} was made once and is gone (or lost its label {LABEL_SERVICE}). Restore it from a backup; it isn't made anew, because what exists was encrypted or opened with it."
                ),
            );
        } else if let Some(request) = request(context, &name, ca.as_deref()) {
            draft.generate.push(request);
        }
        waiting.push(name);
    }
    if let Some(difference) = other_ring(context).or_else(|| other_contents(context)) {
        return difference;
    }
    let recorded = identity::updated(context);
    draft.want(identity::config_map(context, &recorded));
    if !waiting.is_empty() {
        return Gate::closed(
            Reason::CreatingCredentials,
            format!("Making Secrets {}.", waiting.join(", ")),
        );
    }
    // The ring has to be recorded before anything is signed with it.
    if context.identity.identity.key_ring_fingerprint.is_none() {
        return Gate::closed(
            Reason::CreatingCredentials,
            "Recording the key ring's fingerprint.",
        );
    }
    Gate::open("Certificate authority, key ring and passwords are there.")
}

fn request(context: &Context, name: &str, ca: Option<&str>) -> Option<Generate> {
    let names = &context.names;
    let passwords = |keys: &[&str]| Material::Passwords {
        names: keys.iter().map(|k| (*k).to_owned()).collect(),
    };
    let material = if name == names.internal() {
        passwords(&["hmac"])
    } else if name == names.keys() {
        Material::KeyRing
    } else if name == names.canary() {
        Material::Canary
    } else if name == names.database_secret() {
        passwords(&ROLES)
    } else if name == names.cache_secret() {
        passwords(&["password"])
    } else if name == names.ca() {
        return Some(certificate::authority(context));
    } else if name == names.postgres_tls() {
        return ca.map(|ca| certificate::server(context, name, &names.postgres(), ca));
    } else {
        return ca.map(|ca| certificate::server(context, name, &names.cache(), ca));
    };
    Some(Generate {
        object: secret::empty(context, name),
        material,
    })
}

/// A ring with the recorded fingerprint, from any binding Secret.
pub fn restorable_ring(context: &Context) -> Option<Object> {
    let recorded = context.identity.identity.key_ring_fingerprint.as_deref()?;
    context
        .observed
        .objects
        .of(Kind::Secret)
        .filter_map(|s| Some((s.secret_text(RING_KEYS[0])?, s.secret_text(RING_KEYS[1])?)))
        .map(|(active, fallbacks)| secret::restored_ring(context, &active, &fallbacks))
        .find(|ring| identity::fingerprint(ring).as_deref() == Some(recorded))
}

fn ring_missing(context: &Context) -> Gate {
    Gate::closed(
        Reason::KeyRingMissing,
        format!(
            "Secret {} held the key ring and is gone, and no binding Secret has a copy. Restore it from a backup. A new ring would log everybody out, so none is made; to accept that: {}",
            context.names.keys(),
            identity::forget(context)
        ),
    )
}

/// A ring that isn't the recorded one.
fn other_ring(context: &Context) -> Option<Gate> {
    identity::is_other_ring(context).then(|| {
        Gate::closed(
            Reason::KeyRingMissing,
            format!("Secret {} holds another key ring than the recorded one. Put the old content back: with another key every session ends.", context.names.keys()),
        )
    })
}

/// A password or a certificate that isn't the recorded one: servers with the old one run, and the stores know that one.
fn other_contents(context: &Context) -> Option<Gate> {
    let name = identity::changed(context)?;
    Some(Gate::closed(
        Reason::CredentialsMissing,
        format!(
            "Secret {name} holds something else than what was recorded, and what exists was made with that. Put the old content back. If what it holds now is right, delete ConfigMap {}: it is recorded anew.",
            context.names.identity()
        ),
    ))
}
