//! What is observed of one service: the input of the plan besides the declaration.
//!
//! `None` means "not known": missing evidence holds, it never recreates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accord_crds::edge::EdgeStatus;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::agreement::Proof;
use crate::key::{Kind, Object, ObjectKey};

/// What is observed of one service and its namespace.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The time of observation: the plan has no clock of its own.
    pub now: Timestamp,
    /// The operator's settings.
    pub settings: Settings,
    /// What [`crate::contradiction`] says of the declaration.
    pub contradiction: Option<String>,
    /// Objects in the namespace that carry the service's label, overlaid with the answers of the last apply.
    pub objects: Objects,
    /// Objects of a name that Accord needs which exist and don't carry the service's label.
    pub foreign: BTreeSet<ObjectKey>,
    /// Writes that the API server refused for what is in them: they aren't tried all the time.
    pub refused: BTreeMap<ObjectKey, RefusedWrite>,
    /// Secrets that the declaration names, by name: `None` when one isn't there.
    pub referenced: BTreeMap<String, Option<Object>>,
    /// With `mode: Observe`: the pods that carry the declared labels; `None` until they have been listed.
    pub watched: Option<Vec<Object>>,
    /// The last answer to [`crate::outcome::Checks::database`].
    pub database: Option<Answer<DatabaseFacts>>,
    /// The last answer to [`crate::outcome::Checks::cache`].
    pub cache: Option<Answer<CacheFacts>>,
    /// What the prober found, by pod UID.
    pub proofs: BTreeMap<String, Proof>,
    /// What it found on the way in from outside.
    pub edge: Option<EdgeStatus>,
}

/// A write that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedWrite {
    /// The revision that the object's pods were to be of, where it has any: another one may be taken.
    pub revision: Option<String>,
    /// The API server's words.
    pub message: String,
}

impl RefusedWrite {
    /// What happened, and the way out.
    pub fn told(&self, key: &ObjectKey) -> String {
        format!(
            "The API server refuses {} {}: {} Mend the field of the AuthService that reaches it (server.podTemplate, env, resources, storage), or the quota or policy that forbids it.",
            key.kind.as_str(),
            key.name,
            crate::status::cut(&self.message, QUOTED)
        )
    }
}

impl Observed {
    /// The refusal that an object would meet again.
    pub fn refusal(&self, object: &Object) -> Option<&RefusedWrite> {
        let refused = self.refused.get(&object.key)?;
        (refused.revision.as_deref() == object.template_revision()).then_some(refused)
    }
}

/// How much of the API server's words is told, in bytes: the way out comes after them.
const QUOTED: usize = 280;

/// Settings of the operator that reach objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The image that holds `accord-runner`: the operator's own.
    pub operator_image: String,
    /// Its pull policy.
    pub operator_image_pull_policy: Option<String>,
    /// The default image of managed Postgres.
    pub postgres_image: String,
    /// The default image of managed Valkey.
    pub valkey_image: String,
    /// True where nothing is managed: there is no right to.
    pub observe_only: bool,
}

/// The answer to a check, and to which question: an answer to an older question counts as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The trigger of the check that was answered.
    pub trigger: String,
    /// What was found, or why nothing was; never with a secret.
    pub facts: Result<T, String>,
}

/// What the database says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// `system_identifier` of `pg_control_system()`, or, where that isn't allowed, empty.
    pub system_identifier: String,
    /// True when it holds no table besides the ledger's.
    pub is_empty: bool,
    /// The rows of the ledger for this service; `None` when it couldn't be read.
    pub ledger: Option<Vec<LedgerRow>>,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `migration` or `seed`
    pub kind: String,
    /// The name of the seed; `schema` for the migration.
    pub name: String,
    /// The revision.
    pub revision: String,
    /// `started`, `succeeded`, `failed`, `interrupted` or `baseline`
    pub state: String,
    /// The exit code of the command.
    pub exit_code: Option<i32>,
    /// The last lines of the command, redacted.
    pub output_tail: String,
}

/// What the cache says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheFacts {
    /// `maxmemory_policy`
    pub eviction_policy: String,
}

/// Objects by kind and name, shared with whoever keeps them: each pass looks at all of a service, and changes none.
#[derive(Clone, Debug, Default)]
pub struct Objects(BTreeMap<ObjectKey, Arc<Object>>);

impl Objects {
    /// Adds or replaces one.
    pub fn insert(&mut self, object: impl Into<Arc<Object>>) {
        let object = object.into();
        self.0.insert(object.key.clone(), object);
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Object>> {
        self.0.remove(key)
    }

    /// One object.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Object> {
        self.0.get(&ObjectKey::new(kind, name)).map(Arc::as_ref)
    }

    /// One object, typed.
    pub fn typed<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Option<T> {
        self.get(kind, name)?.typed()
    }

    /// All objects of a kind, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.iter().filter(move |o| o.key.kind == kind)
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.0.values().map(Arc::as_ref)
    }
}

impl<O: Into<Arc<Object>>> FromIterator<O> for Objects {
    fn from_iter<I: IntoIterator<Item = O>>(iter: I) -> Self {
        let mut objects = Self::default();
        iter.into_iter().for_each(|o| objects.insert(o));
        objects
    }
}
