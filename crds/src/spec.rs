//! The declaration: `AuthService.spec`, with the rules that admission checks.
//!
//! Only fields that work exist. Optional blocks are absent rather than empty, so that what is stored is what was written.

// The derives put each type into a module of its own, where `pub` can't be reached.
#![allow(unreachable_pub)]

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements};
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::edge::EdgeCheck;
use crate::environment::Environment;
use crate::observe::{Mode, PodSelector};
use crate::preflight::Preflight;
use crate::recipe::Recipe;
use crate::status::AuthServiceStatus;

/// An auth service whose replicas Accord keeps in agreement: servers, shared database and cache, keys, migrations and
/// seeds, and the proof, pod by pod, that what one replica issues every other one honours.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "accord.dev",
    version = "v1alpha1",
    kind = "AuthService",
    plural = "authservices",
    shortname = "auth",
    category = "all",
    namespaced,
    status = "AuthServiceStatus",
    derive = "PartialEq",
    doc = "An auth service whose replicas Accord keeps in agreement.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Agree", type_ = "string", json_path = ".status.consistency.summary", description = "Replicas that proved that they agree, of all."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Framework", type_ = "string", json_path = ".spec.framework", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40").message("metadata.name is longer than 40 characters: the names of pods and volumes are made from it and end at 63. Choose a shorter name."),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name has to begin with a letter and consist of a-z, 0-9 and '-': a Service of that name is made.")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("(has(self.mode) && self.mode == 'Observe') || (has(self.image) && self.image.matches('^[A-Za-z0-9][-A-Za-z0-9._:/@]*$'))").message("spec.image is empty, or has blanks or other characters that no image's name has: name the image that serves logins, for example registry.example/login:1.4.2.").field_path(".image"),
    validation = Rule::new("!has(self.replicas) || self.replicas <= 1 || has(self.database)").message("spec.replicas is greater than 1 without spec.database: each replica would keep users of its own, and logins would work on one of them only. Declare 'database: {managed: {}}' (or 'external'), or set replicas to 1.").field_path(".replicas"),
    validation = Rule::new("(has(self.mode) ? self.mode : 'Manage') == (has(oldSelf.mode) ? oldSelf.mode : 'Manage')").message("spec.mode can't be changed: what is observed was made by somebody else, and what is managed would be left without care. Put it back; create an AuthService of another name.").field_path(".mode"),
    validation = Rule::new("!(has(self.mode) && self.mode == 'Observe') || has(self.selector)").message("spec.mode is Observe and spec.selector is not set: Accord has to know which pods are meant. Add selector.matchLabels, those of the Deployment."),
    validation = Rule::new("!(has(self.mode) && self.mode == 'Observe') || (has(self.verification) && has(self.verification.canary) && has(self.verification.canary.secretRef))").message("spec.mode is Observe and spec.verification.canary.secretRef is not set: Accord makes no account there. Create one without rights, put its username and password into a Secret, and name that."),
    validation = Rule::new("!(has(self.mode) && self.mode == 'Observe') || !(has(self.database) || has(self.cache) || has(self.migration) || has(self.seeds) || has(self.bindings) || has(self.preflight) || self.deletionPolicy == 'Delete')").message("spec.mode is Observe: nothing is made, loaded or deleted there. Take away database, cache, migration, seeds, bindings, preflight and deletionPolicy."),
    validation = Rule::new("!(has(self.mode) && self.mode == 'Observe') || !has(self.verification) || !(has(self.verification.isolation) || has(self.verification.whenNoneAgree) || has(self.verification.onUnverifiable))").message("spec.mode is Observe: nobody is isolated, held or admitted there. Take away verification.isolation, whenNoneAgree and onUnverifiable."),
    validation = Rule::new("!(has(self.mode) && self.mode == 'Observe') || self.framework != 'Custom' || (has(self.verification) && has(self.verification.recipe))").message("spec.framework is Custom and spec.verification.recipe is not set: Accord has to know how to log in. Add the recipe, or use a preset."),
    validation = Rule::new("(has(self.mode) && self.mode == 'Observe') || !has(self.selector)").message("spec.selector is set and spec.mode isn't Observe: Accord finds the pods that it made by itself. Take the selector away, or set mode to Observe.").field_path(".selector"),
    validation = Rule::new("(has(self.mode) && self.mode == 'Observe') || !has(self.verification) || !has(self.verification.canary) || !has(self.verification.canary.secretRef)").message("spec.verification.canary.secretRef is set and spec.mode isn't Observe: there Accord makes the account itself. Take it away."),
    validation = Rule::new("!has(oldSelf.database) || has(self.database)").message("spec.database can't be taken away once declared: the users are in it. Put it back; to start over, create an AuthService of another name.").field_path(".database"),
    validation = Rule::new("!has(oldSelf.cache) || has(self.cache)").message("spec.cache can't be taken away once declared: the sessions are in it. Put it back; to start over, create an AuthService of another name.").field_path(".cache"),
    validation = Rule::new("has(self.database) || ((!has(self.seeds) || self.seeds.size() == 0) && !has(self.migration))").message("spec.seeds or spec.migration is set without spec.database: there is nothing to load or to migrate. Declare 'database: {managed: {}}' (or 'external'), or take them away."),
    validation = Rule::new("self.framework != 'Custom' || !has(self.database) || (has(self.verification) && has(self.verification.recipe))").message("spec.framework is Custom and spec.verification.recipe is not set: Accord has to know how to log in to prove that replicas agree. Add the recipe, or use a preset."),
    validation = Rule::new("self.framework != 'Custom' || !has(self.database) || (has(self.verification) && has(self.verification.canary))").message("spec.framework is Custom and spec.verification.canary is not set: Accord has to know the command that creates the account it logs in with. Add canary.command, or use a preset."),
    validation = Rule::new("!has(self.verification) || !has(self.verification.isolation) || !has(self.verification.isolation.minAvailable) || !has(self.replicas) || self.replicas <= 1 || self.verification.isolation.minAvailable < self.replicas").message("spec.verification.isolation.minAvailable is not less than spec.replicas: no replica that diverges could ever be isolated. Lower it, or declare more replicas.").field_path(".verification.isolation.minAvailable")
)]
pub struct AuthServiceSpec {
    /// Whether Accord makes the servers, or only verifies those that somebody else made. It can't be changed. Default: `Manage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// With `mode: Observe`: which pods are verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<PodSelector>,
    /// The preset: default bindings, command, port, health path and recipe. Every part can be overridden.
    pub framework: Framework,
    /// The image that serves logins. Migrations and seeds run in it too. Needed unless the mode is `Observe`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub image: String,
    /// When images are pulled. Default: as Kubernetes decides by the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets for pulling images, used by every pod of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// The public names of the service. The first is canonical. Allowed hosts and CSRF origins are made from them.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(max = 253),
            regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    pub hostnames: Vec<String>,
    /// What the service is for. It is handed to the application where a binding asks for it, and never guessed from a
    /// hostname. Default: `Production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The number of server pods. Default: 1.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 500))]
    pub replicas: i32,
    /// The shared database. Needed for more than one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// The shared cache: sessions, and what else the application keeps there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The server pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Values that reach the containers, besides the preset's. An entry with a name that the preset has replaces it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub bindings: Vec<Binding>,
    /// The schema migration. Default: the preset's command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// Data that has to be there, each loaded once per revision, in this order, after the migration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a.name == b.name))").message("spec.seeds has two entries with the same name: the ledger records a seed under its name. Rename one."))]
    pub seeds: Vec<Seed>,
    /// What is asked of an image before the first pod of a revision starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<Preflight>,
    /// How agreement is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// What becomes of data, keys and passwords when the AuthService is deleted. Default: `Retain`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn default_replicas() -> i32 {
    1
}

/// A preset: data only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Framework {
    /// Django, with `DATABASE_URL`, `REDIS_URL`, `SECRET_KEY`, `ALLOWED_HOSTS`, `CSRF_TRUSTED_ORIGINS`,
    /// `SESSION_COOKIE_DOMAIN`, `CSRF_COOKIE_DOMAIN`, `DJANGO_ENV`.
    Django,
    /// Flask with SQLAlchemy, with `DATABASE_URL`, `REDIS_URL`, `SECRET_KEY`, `SECRET_KEY_FALLBACKS`, `TRUSTED_HOSTS`,
    /// `CORS_ORIGINS`, `SESSION_COOKIE_DOMAIN`, `FLASK_ENV`.
    Flask,
    /// `FastAPI` with asyncpg, with `DATABASE_URL`, `REDIS_URL`, `SECRET_KEY`, `ALLOWED_HOSTS`, `CORS_ORIGINS`,
    /// `COOKIE_DOMAIN`, `ENVIRONMENT`.
    #[serde(rename = "FastAPI")]
    FastApi,
    /// Nothing is assumed: declare bindings, the recipe, the canary's command and the migration.
    Custom,
    /// A preset of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl Framework {
    /// Every name.
    pub const NAMES: [&'static str; 4] = [
        Self::Django.as_str(),
        Self::Flask.as_str(),
        Self::FastApi.as_str(),
        Self::Custom.as_str(),
    ];

    /// The name as it is declared.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Django => "Django",
            Self::Flask => "Flask",
            Self::FastApi => "FastAPI",
            Self::Custom => "Custom",
            Self::Unknown => "Unknown",
        }
    }
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node lacks the image.
    IfNotPresent,
    /// Never: the image has to be on the node.
    Never,
}

impl ImagePullPolicy {
    /// The name as Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What becomes of what was there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Volumes, keys and passwords stay; an AuthService of the same name takes them over.
    #[default]
    Retain,
    /// Volumes, keys and passwords are deleted with the AuthService.
    Delete,
}

/// The shared database: exactly one kind.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.managed) || has(self.external)").message("spec.database names no kind: set 'managed: {}' for a Postgres that Accord runs, or 'external' for a server of yours."),
    validation = Rule::new("!(has(self.managed) && has(self.external))").message("spec.database names two kinds, but users can live in one database only: keep either 'managed' or 'external'."),
    validation = Rule::new("has(self.managed) == has(oldSelf.managed) && has(self.external) == has(oldSelf.external)").message("The kind of spec.database can't be changed: the users would stay in the old one. Put it back; to move, create an AuthService of another name and import the data.")
)]
pub struct Database {
    /// A Postgres that Accord runs: one instance with a volume of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedDatabase>,
    /// A Postgres server of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalDatabase>,
}

/// A Postgres that Accord runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.name) ? self.name : 'app') == (has(oldSelf.name) ? oldSelf.name : 'app')").message("spec.database.managed.name can't be changed: the users are in the database of the old name. Put it back.").field_path(".name"),
    validation = image_has_a_name("registry.example/postgres:17"),
    validation = storage_class_stays(),
    validation = storage_never_shrinks(),
)]
pub struct ManagedDatabase {
    /// The database's name. Default: `app`. It can't be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[a-z_][a-z0-9_]*$"))]
    pub name: Option<String>,
    /// An image with the standard Postgres programs on its PATH and a user `postgres` in /etc/passwd. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// CPU and memory. Default: requests of 100m and 256Mi, a limit of 1Gi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// A Postgres server that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDatabase {
    /// A Secret in the same namespace with the keys `uri` (as the application uses it), optionally `directUri` (past any
    /// pooler, for migrations and the ledger; its role has to be allowed to create a schema), `replicaUri` (a read replica,
    /// for the source `database.replicaUri`) and `ca.crt`.
    pub secret_ref: SecretRef,
}

/// Of a data store's fields: its image. A pod of a store is replaced for another image, and one that can't start takes the
/// users' logins with it: what is no name at all doesn't get that far.
fn image_has_a_name(example: &str) -> Rule {
    Rule::new("!has(self.image) || self.image.matches('^[A-Za-z0-9][-A-Za-z0-9._:/@]*$')")
        .message(format!("image has characters that no image's name has: write it as in {example}.").as_str())
        .field_path(".image")
}

/// Of a data store's fields: the class of its volume.
fn storage_class_stays() -> Rule {
    Rule::new("(has(self.storage) && has(self.storage.className) ? self.storage.className : '') == (has(oldSelf.storage) && has(oldSelf.storage.className) ? oldSelf.storage.className : '')")
        .message("storage.className can't be changed: a volume can't move to another class. Put it back; to move, back up and restore into an AuthService of another name.")
}

/// Of a data store's fields: the size of its volume.
fn storage_never_shrinks() -> Rule {
    Rule::new("!isQuantity((has(self.storage) && has(self.storage.size) ? self.storage.size : '1Gi')) || !isQuantity((has(oldSelf.storage) && has(oldSelf.storage.size) ? oldSelf.storage.size : '1Gi')) || quantity((has(self.storage) && has(self.storage.size) ? self.storage.size : '1Gi')).compareTo(quantity((has(oldSelf.storage) && has(oldSelf.storage.size) ? oldSelf.storage.size : '1Gi'))) >= 0")
        .message("storage.size can't shrink: a volume grows only. Set it to the old size or a larger one.")
}

/// A volume.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.size) || isQuantity(self.size)").message("storage.size is not a quantity: write a number with a suffix, for example 10Gi.").field_path(".size"),
)]
pub struct Storage {
    /// The size of the volume, for example `10Gi`. Default: `1Gi`. It can grow, where the storage class allows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub size: Option<String>,
    /// The storage class. Default: the cluster's. It can't be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub class_name: Option<String>,
}

/// The shared cache: exactly one kind.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.managed) || has(self.external)").message("spec.cache names no kind: set 'managed: {}' for a Valkey that Accord runs, or 'external' for a server of yours."),
    validation = Rule::new("!(has(self.managed) && has(self.external))").message("spec.cache names two kinds, but sessions can live in one cache only: keep either 'managed' or 'external'."),
    validation = Rule::new("has(self.managed) == has(oldSelf.managed) && has(self.external) == has(oldSelf.external)").message("The kind of spec.cache can't be changed: every session would be lost. Put it back; to move, create an AuthService of another name.")
)]
pub struct Cache {
    /// A Valkey that Accord runs: one instance with a volume of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedCache>,
    /// A Valkey or Redis server of yours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalCache>,
}

/// A Valkey (or Redis) that Accord runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = image_has_a_name("registry.example/valkey:8"),
    validation = storage_class_stays(),
    validation = storage_never_shrinks(),
)]
pub struct ManagedCache {
    /// An image with `valkey-server` and `valkey-cli` on its PATH. Default: the operator's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// The volume of the append-only file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// CPU and memory. `maxmemory` is three quarters of the memory limit. Default: requests of 50m and 64Mi, a limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// A Valkey or Redis server that somebody else runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalCache {
    /// A Secret in the same namespace with the keys `uri` (`rediss://…` or `redis://…`) and optionally `ca.crt`.
    pub secret_ref: SecretRef,
}

/// A Secret in the namespace of the AuthService.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The server pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// The port that the server listens on. Default: the preset's (Django: 8000); Custom: 8080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The entry point. Default: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments to the entry point. Default: the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment of the server, the migration and the seeds, besides the bindings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub env: Vec<EnvVar>,
    /// CPU and memory. Default: a request of 100m and 128Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// The path that kubelet asks; it has to answer 200 to 299 by itself. Default: the preset's (Django: `/health/`); without one, the port is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub health_path: Option<String>,
    /// How long a server may take to start, in seconds. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 3600))]
    pub startup_seconds: Option<i32>,
    /// How long a stopping pod goes on serving before it is told to end, in seconds, so that routers learn of it. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub drain_seconds: Option<i32>,
    /// A strategic merge patch of the pod template, for what has no field here. It is not validated beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open_object")]
    pub pod_template: Option<serde_json::Value>,
}

fn open_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// One value that reaches the containers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.env) != has(self.file)").message("A binding is either an environment variable ('env') or a file ('file'): set exactly one."))]
pub struct Binding {
    /// The environment variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub env: Option<String>,
    /// The file's name under `/etc/accord`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z0-9][-A-Za-z0-9._]*$"))]
    pub file: Option<String>,
    /// Where the value comes from.
    pub source: BindingSource,
    /// The driver's form of a database URI. Default: `libpq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<UriFormat>,
}

/// Where a binding's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BindingSource {
    /// The database's URI for the application. In the migration's container: with the migration's role.
    #[serde(rename = "database.uri")]
    DatabaseUri,
    /// The URI of the external database's read replica (`replicaUri` of its Secret); where there is none, and in Jobs, that
    /// of the database itself. Users that a replica doesn't have yet can't log in: read them from the database.
    #[serde(rename = "database.replicaUri")]
    DatabaseReplicaUri,
    /// The database's host name.
    #[serde(rename = "database.host")]
    DatabaseHost,
    /// The database's port.
    #[serde(rename = "database.port")]
    DatabasePort,
    /// The database's name.
    #[serde(rename = "database.name")]
    DatabaseName,
    /// The role that logs in.
    #[serde(rename = "database.user")]
    DatabaseUser,
    /// The role's password.
    #[serde(rename = "database.password")]
    DatabasePassword,
    /// The cache's URI.
    #[serde(rename = "cache.uri")]
    CacheUri,
    /// The cache's host name.
    #[serde(rename = "cache.host")]
    CacheHost,
    /// The cache's port.
    #[serde(rename = "cache.port")]
    CachePort,
    /// The cache's password.
    #[serde(rename = "cache.password")]
    CachePassword,
    /// The key that signs.
    #[serde(rename = "keys.active")]
    KeysActive,
    /// The keys that still verify, newest first, separated by commas.
    #[serde(rename = "keys.fallbacks")]
    KeysFallbacks,
    /// The canonical hostname.
    #[serde(rename = "hostname")]
    Hostname,
    /// All hostnames, separated by commas.
    #[serde(rename = "hostnames")]
    Hostnames,
    /// `https://` and each hostname, separated by commas.
    #[serde(rename = "origins")]
    Origins,
    /// `https://` and the canonical hostname.
    #[serde(rename = "origin")]
    Origin,
    /// The hostname that all the others end in, for example `example.com` beside `www.example.com`: a cookie with that
    /// `Domain` reaches each of them. Empty where there is only one, or no such one: then a cookie without `Domain` belongs to
    /// the host that set it. A domain that isn't declared is never made up.
    #[serde(rename = "cookieDomain")]
    CookieDomain,
    /// `production`, `staging` or `development`, as declared in `environment`.
    #[serde(rename = "environment")]
    Environment,
    /// The certificate authority of database and cache, in PEM.
    #[serde(rename = "ca")]
    Ca,
}

/// A driver's form of a database URI: each names TLS parameters otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UriFormat {
    /// `postgres://…?sslmode=verify-full&sslrootcert=…` (libpq, psycopg, sqlx, pgx).
    #[default]
    #[serde(rename = "libpq")]
    Libpq,
    /// `postgresql+psycopg://…?sslmode=verify-full&sslrootcert=…` (SQLAlchemy with psycopg 3).
    #[serde(rename = "psycopg")]
    Psycopg,
    /// `postgresql+asyncpg://…` without parameters: asyncpg refuses them and reads `PGSSLMODE` and `PGSSLROOTCERT`, which are set.
    #[serde(rename = "asyncpg")]
    Asyncpg,
    /// `jdbc:postgresql://…?sslmode=verify-full&sslrootcert=…`, user and password apart.
    #[serde(rename = "jdbc")]
    Jdbc,
}

/// The schema migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// The command, run in the service's image. Default: the preset's (Django: `python manage.py migrate --noinput`); Custom: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Environment for this run only. References count by name, so that a rotated password reruns nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,
    /// How long a statement of the migration waits for a lock before it gives up, in seconds, so that users don't queue behind it. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub lock_timeout_seconds: Option<i32>,
}

/// Data that has to be there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seed {
    /// The name under which the ledger records it.
    #[schemars(
        length(min = 1, max = 40),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// The command, run in the service's image.
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// Environment for this run only, for example a password from a Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub env: Vec<EnvVar>,
    /// True when running it twice does no harm. Then it runs for every new image, and again after an interruption; otherwise
    /// once for its command, and an interrupted run waits for a person. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
}

/// How agreement is proved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// How to log in. Default: the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// The account that the prober logs in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Seconds from one sweep over all replicas to the next. Default: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 3600))]
    pub interval_seconds: Option<i32>,
    /// What becomes of replicas that agreed and don't any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What users get when every replica was examined and none agrees. Default: `Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_none_agree: Option<WhenNoneAgree>,
    /// What becomes of new replicas about which nothing can be said, for example because the canary is locked. Default: `Hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unverifiable: Option<OnUnverifiable>,
    /// Try the way in from outside too: a login through the canonical hostname, once for each sweep. Default: not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeCheck>,
}

/// What becomes of replicas that agreed and don't any more: they get no new connections, and are replaced if it lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// How many ready, proved replicas have to be left for another one to be isolated or evicted. It has to be less than
    /// `replicas` (and than an autoscaler's minimum). Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub min_available: Option<i32>,
    /// Seconds after which an isolated replica that still diverges is evicted, one at a time, so that connections that were
    /// open before end too. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub replace_after_seconds: Option<i32>,
}

/// What users get when every replica was examined and none agrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenNoneAgree {
    /// What takes traffic goes on, what doesn't takes none.
    #[default]
    Hold,
    /// The oldest replica alone takes traffic, so that users meet one consistent state.
    ServeOne,
    /// A choice of a newer version: as `Hold`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What becomes of new replicas about which nothing can be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnverifiable {
    /// They wait until they can be verified.
    #[default]
    Hold,
    /// They take traffic unproved. One that diverges never does.
    Admit,
    /// A choice of a newer version: as `Hold`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The account that the prober logs in with: without any right.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.command) != has(self.secretRef)").message("spec.verification.canary has to say either the 'command' that makes the account, or, with mode: Observe, the 'secretRef' of one that exists: set exactly one."))]
pub struct Canary {
    /// The command, run in the service's image, that makes sure that the account exists. It finds `ACCORD_CANARY_USERNAME`,
    /// `ACCORD_CANARY_PASSWORD` and `ACCORD_CANARY_EMAIL` in its environment, and may run more than once. Default: the preset's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub command: Vec<String>,
    /// With `mode: Observe`: a Secret in the same namespace with the keys `username` and `password` of an account without
    /// rights that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}
