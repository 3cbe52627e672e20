//! Secrets: those whose contents are made at random, and the immutable ones that hold rendered bindings.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::binding::Rendered;
use crate::context::Context;
use crate::digest;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// A Secret to be filled when it is created.
pub fn empty(context: &Context, name: &str) -> Object {
    let secret = Secret {
        metadata: labels::kept(context.service, name, Role::Config),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    Object::new(Kind::Secret, name, &secret)
}

/// The name of rendered bindings: an HMAC over their content. A plain hash would tell whether a guessed password is right.
pub fn binding_name(context: &Context, hmac_key: &[u8], rendered: &Rendered) -> String {
    let content = serde_json::to_vec(&rendered.data).unwrap_or_default();
    context.names.binding(&digest::short_hmac(hmac_key, &content))
}

/// Rendered bindings: immutable, owned by the `ReplicaSets` and Jobs that name them, and so alive as long as a rollback needs them.
pub fn binding(context: &Context, name: &str, rendered: &Rendered, owners: Vec<OwnerReference>) -> Object {
    let data: BTreeMap<String, ByteString> = rendered
        .data
        .iter()
        .map(|(k, v)| (k.clone(), ByteString(v.clone().into_bytes())))
        .collect();
    let mut metadata = labels::kept(context.service, name, Role::Config);
    metadata.owner_references = (!owners.is_empty()).then_some(owners);
    let secret = Secret {
        metadata,
        immutable: Some(true),
        data: Some(data),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    Object::new(Kind::Secret, name, &secret)
}

/// A key ring restored from the bindings that live pods use.
pub fn restored_ring(context: &Context, active: &str, fallbacks: &str) -> Object {
    let name = context.names.keys();
    let value = |text: &str| ByteString(text.as_bytes().to_vec());
    let secret = Secret {
        metadata: labels::kept(context.service, &name, Role::Config),
        data: Some(
            [
                ("active".to_owned(), value(active)),
                ("fallbacks".to_owned(), value(fallbacks)),
            ]
            .into(),
        ),
        type_: Some("Opaque".into()),
        ..Secret::default()
    };
    Object::new(Kind::Secret, &name, &secret)
}
