//! Labels, selectors and metadata of every object of a service.

use std::collections::BTreeMap;

use accord_crds::AuthService;
use accord_crds::meta::{GROUP, LABEL_REVISION, LABEL_ROLE, LABEL_SERVICE, MANAGER, VERSION};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use crate::key::Object;

/// Of Kubernetes' recommended labels.
const INSTANCE: &str = "app.kubernetes.io/instance";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The servers.
    Server,
    /// Managed Postgres.
    Postgres,
    /// Managed cache.
    Cache,
    /// A migration.
    Migration,
    /// A seed.
    Seed,
    /// The canary's provisioning.
    Canary,
    /// What is asked of an image before its servers start.
    Preflight,
    /// Credentials, bindings, identities.
    Config,
}

impl Role {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Postgres => "postgres",
            Self::Cache => "cache",
            Self::Migration => "migration",
            Self::Seed => "seed",
            Self::Canary => "canary",
            Self::Preflight => "preflight",
            Self::Config => "config",
        }
    }
}

/// The labels that select a role's pods. They never change.
pub fn selector(service: &str, role: Role) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_SERVICE.to_owned(), service.to_owned()),
        (LABEL_ROLE.to_owned(), role.as_str().to_owned()),
    ])
}

/// The same as a selector.
pub fn label_selector(service: &str, role: Role) -> LabelSelector {
    LabelSelector {
        match_labels: Some(selector(service, role)),
        match_expressions: None,
    }
}

/// All labels of an object.
pub fn labels(service: &str, role: Role, revision: Option<&str>) -> BTreeMap<String, String> {
    let mut labels = selector(service, role);
    labels.insert("app.kubernetes.io/name".into(), role.as_str().into());
    labels.insert(INSTANCE.into(), service.into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if let Some(revision) = revision {
        labels.insert(LABEL_REVISION.into(), revision.into());
    }
    labels
}

/// True when an object's labels name Accord and a service, whatever became of the label that it is found by.
pub fn name_service(object: &Object, service: &str) -> bool {
    object.label(MANAGED_BY) == Some(MANAGER) && object.label(INSTANCE) == Some(service)
}

/// The service as owner: its children are collected with it.
pub fn owner(service: &AuthService) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "AuthService".into(),
        name: service.metadata.name.clone()?,
        uid: service.metadata.uid.clone()?,
        controller: Some(true),
        block_owner_deletion: None,
    })
}

/// Metadata of an object that holds no data: collected with its service.
pub fn owned(service: &AuthService, name: &str, role: Role) -> ObjectMeta {
    ObjectMeta {
        owner_references: owner(service).map(|o| vec![o]),
        ..kept(service, name, role)
    }
}

/// Metadata of an object that holds data: it outlives its service.
pub fn kept(service: &AuthService, name: &str, role: Role) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: service.metadata.namespace.clone(),
        labels: Some(labels(
            service.metadata.name.as_deref().unwrap_or_default(),
            role,
            None,
        )),
        ..ObjectMeta::default()
    }
}
