//! What the plan asks for: writes in order, questions to the data stores, targets for the prober, and the status.

use std::time::Duration;

use accord_crds::status::AuthServiceStatus;
use accord_crds::{ConditionType, Reason};

use crate::key::{Object, ObjectKey};
use crate::probe::ProbeRequest;

/// What is to be done about one service. No action means that the cluster is as it should be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Writes, in order. Each stands for itself: after a crash between two, the next plan goes on.
    pub actions: Vec<Action>,
    /// The status that is true now. It is written when it differs from the stored one.
    pub status: AuthServiceStatus,
    /// Questions to the data stores, asked anew when their trigger changes or the last answer was an error.
    pub checks: Checks,
    /// What the prober is to prove; `None` stops it.
    pub probe: Option<ProbeRequest>,
    /// News, each to be told once: when it wasn't in the status before.
    pub events: Vec<Event>,
    /// When to look again although nothing happened.
    pub requeue: Option<Duration>,
    /// True once nothing is left to do for a service that is being deleted: its finalizer may go.
    pub finished: bool,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create an object that isn't there. If one of its name is there after all, it is never overwritten.
    Create(Object),
    /// Server-side apply, forced, as field manager `accord`.
    Apply(Object),
    /// Replace by PUT; the object carries the observed `resourceVersion`.
    Replace(Object),
    /// Delete, with the UID as precondition and background propagation.
    Delete {
        /// Which object.
        key: ObjectKey,
        /// Its UID.
        uid: String,
    },
    /// Create a Secret whose contents are made at random, once: never when one of its name exists.
    Generate(Generate),
    /// Set the readiness gate of a pod by a strategic merge patch of `pods/status`.
    Gate(GatePatch),
    /// Evict a pod through the Eviction API, with the UID as precondition. A budget that doesn't allow it now is no error.
    Evict {
        /// The pod.
        pod: String,
        /// Its UID.
        uid: String,
    },
    /// Add or remove the finalizer of the service itself.
    Finalizer {
        /// True: add.
        present: bool,
    },
}

/// A Secret whose contents are made when it is created. `object` holds its metadata and what isn't random.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// The Secret without its random part.
    pub object: Object,
    /// What is to be made.
    pub material: Material,
}

/// Random material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    /// A certificate authority: `ca.crt`, `ca.key` (PEM, ECDSA P-256, ten years).
    Authority {
        /// The common name.
        common_name: String,
    },
    /// A server certificate signed by the authority: `tls.crt`, `tls.key`, `ca.crt`.
    Certificate {
        /// The names that it is valid for; the first is the common name.
        dns_names: Vec<String>,
        /// The authority's certificate, PEM.
        ca_certificate: String,
        /// The Secret that holds the authority's key under `ca.key`: the core hands on no private key.
        ca_secret: String,
    },
    /// The key ring: one key under `active` (64 random bytes as URL-safe base64 without padding), an empty `fallbacks`.
    KeyRing,
    /// Passwords, one under each name: 32 random bytes as URL-safe base64 without padding.
    Passwords {
        /// The keys in the Secret.
        names: Vec<String>,
    },
    /// The canary: `username` (`accord-canary-` and 12 random lowercase characters), `password` (32 random bytes in
    /// URL-safe base64 plus `Aa1!`), `email` (`USERNAME@example.com`).
    Canary,
}

/// The readiness gate of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatePatch {
    /// The pod.
    pub pod: String,
    /// Its UID: a pod of the same name that came later is another one.
    pub uid: String,
    /// True opens.
    pub open: bool,
    /// The condition's reason.
    pub reason: String,
    /// The condition's message. When open it names the containers that the proof belongs to.
    pub message: String,
}

/// Questions to the data stores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// The database: make sure of roles, database and ledger (managed), then ask who it is.
    pub database: Option<DatabaseCheck>,
    /// The cache: ask whether it answers.
    pub cache: Option<CacheCheck>,
}

/// How to reach the database, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseCheck {
    /// Changes when there is a reason to ask again.
    pub trigger: String,
    /// `namespace/name` of the service: the ledger's key.
    pub service: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role that reads the ledger, and its password.
    pub ledger: Login,
    /// With managed Postgres: the superuser, and the roles that have to be there.
    pub managed: Option<ManagedRoles>,
    /// The certificate authority, PEM; without it the connection isn't verified (external servers only).
    pub ca_certificate: Option<String>,
    /// The server's read replica, where servers may read from one.
    pub replica: Option<ReplicaCheck>,
}

/// How to ask a read replica how far it is.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplicaCheck {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role, and its password.
    pub login: Login,
}

/// Role and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The role.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Roles of managed Postgres. `owner` (NOLOGIN) owns the database; each of `members` logs in and acts as `owner`; the
/// ledger's role owns the schema `accord` and may end sessions of `migrate`.
#[derive(Clone, PartialEq, Eq)]
pub struct ManagedRoles {
    /// The superuser.
    pub superuser: Login,
    /// `app_a`, `app_b`, `migrate`
    pub members: Vec<Login>,
}

/// How to reach the cache.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheCheck {
    /// Changes when there is a reason to ask again.
    pub trigger: String,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user, where the server has more than the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// True for TLS.
    pub tls: bool,
    /// The certificate authority, PEM.
    pub ca_certificate: Option<String>,
}

macro_rules! closed_debug {
    ($($type:ident => $shown:ident),*) => {$(
        /// Without credentials.
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).field(stringify!($shown), &self.$shown).finish_non_exhaustive()
            }
        }
    )*};
}
closed_debug!(DatabaseCheck => host, ReplicaCheck => host, Login => user, ManagedRoles => superuser, CacheCheck => host);

/// News about the service, told as a Kubernetes event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// True for `Warning`, false for `Normal`.
    pub warning: bool,
    /// The phase it comes from.
    pub phase: ConditionType,
    /// The reason.
    pub reason: Reason,
    /// The message, at most 512 bytes; never with a secret.
    pub message: String,
}
