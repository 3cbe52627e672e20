//! What every phase needs to know: the service, its names, what is observed.

use std::cell::OnceCell;

use accord_crds::recipe::Recipe;
use accord_crds::status::{AuthServiceStatus, Identity};
use accord_crds::{AuthService, AuthServiceSpec, ConditionType};

use crate::names::Names;
use crate::observed::Observed;
use crate::phases::cutover::{self, Cutover};
use crate::phases::standing::{self, Standing};
use crate::preset::Preset;
use crate::revision::{self, Revision};

/// The longest value of an annotation that is told apart from another one, in characters.
pub const ANNOTATION_LIMIT: usize = 128;

/// One service in one pass.
pub struct Context<'a> {
    /// The declaration.
    pub service: &'a AuthService,
    /// What is observed.
    pub observed: &'a Observed,
    /// Names of its objects.
    pub names: Names,
    /// What was there once, from status and the retained `ConfigMap`.
    pub identity: Recorded,
    // What several phases ask for, worked out once.
    declared: OnceCell<Revision>,
    released: OnceCell<Option<Revision>>,
    cutover: OnceCell<Cutover>,
    standings: OnceCell<Vec<Standing<'a>>>,
}

/// What was there once, and which Secrets were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Fingerprints and UIDs.
    pub identity: Identity,
    /// Secrets that were made, by name.
    pub secrets: std::collections::BTreeSet<String>,
    /// What they held, as an HMAC, by name.
    pub contents: std::collections::BTreeMap<String, String>,
}

impl<'a> Context<'a> {
    /// A context for one pass.
    pub fn new(service: &'a AuthService, observed: &'a Observed) -> Self {
        let names = Names::new(service.metadata.name.as_deref().unwrap_or_default());
        let identity = crate::identity::recorded(service, observed, &names);
        Self {
            service,
            observed,
            names,
            identity,
            declared: OnceCell::new(),
            released: OnceCell::new(),
            cutover: OnceCell::new(),
            standings: OnceCell::new(),
        }
    }

    /// The declared revision.
    pub fn declared(&self) -> &Revision {
        self.declared.get_or_init(|| revision::declared(self.spec()))
    }

    /// The released revision.
    pub fn released(&self) -> Option<&Revision> {
        self.released.get_or_init(|| revision::released(self)).as_ref()
    }

    /// The state between the two.
    pub fn cutover(&self) -> &Cutover {
        self.cutover.get_or_init(|| cutover::observe(self))
    }

    /// How each replica stands.
    pub fn standings(&self) -> &[Standing<'a>] {
        self.standings.get_or_init(|| standing::standings(self))
    }

    /// The declaration's spec.
    pub fn spec(&self) -> &AuthServiceSpec {
        &self.service.spec
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.service.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The declaration's generation.
    pub fn generation(&self) -> i64 {
        self.service.metadata.generation.unwrap_or_default()
    }

    /// `namespace/name`, the ledger's key.
    pub fn ledger_key(&self) -> String {
        format!("{}/{}", self.namespace(), self.names.service())
    }

    /// The host name of one of the service's Services, inside the cluster.
    pub fn host(&self, service: &str) -> String {
        format!("{service}.{}.svc", self.namespace())
    }

    /// The status as it is stored.
    pub fn stored_status(&self) -> Option<&AuthServiceStatus> {
        self.service.status.as_ref()
    }

    /// True when a condition is stored as true. It stands in for what this process hasn't asked yet, never for an answer.
    pub fn was_true(&self, kind: ConditionType) -> bool {
        self.stored_status().is_some_and(|s| {
            s.conditions
                .iter()
                .any(|c| c.type_ == kind.as_str() && c.status == "True")
        })
    }

    /// An annotation of the service, empty when it isn't set. What is longer than [`ANNOTATION_LIMIT`] is cut: its value is
    /// kept in status and on Jobs.
    pub fn annotation(&self, name: &str) -> &str {
        let annotations = self.service.metadata.annotations.as_ref();
        let value = annotations.and_then(|a| a.get(name)).map_or("", String::as_str);
        match value.char_indices().nth(ANNOTATION_LIMIT) {
            Some((end, _)) => &value[..end],
            None => value,
        }
    }

    /// How users log in: as declared, or as the preset knows it.
    pub fn recipe(spec: &AuthServiceSpec) -> Option<Recipe> {
        let declared = spec.verification.as_ref().and_then(|v| v.recipe.clone());
        declared.or_else(|| Self::preset(spec).recipe)
    }

    /// The preset of a spec; validation has made sure that there is one.
    pub fn preset(spec: &AuthServiceSpec) -> Preset {
        Preset::of(spec.framework).unwrap_or_else(|| Preset {
            port: 8080,
            health_path: None,
            bindings: Vec::new(),
            env: &[],
            migration: &[],
            canary: &[],
            facts: &[],
            recipe: None,
        })
    }
}
