//! Preflight: what a revision's servers would use is asked of its image before the first of them starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verification::Verdict;

/// What is asked of an image before the first pod of a revision starts: which database, cache, session store, keys and
/// hosts its servers would use. Changing it makes no revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// What follows from an answer that contradicts the declaration. Default: `Enforce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<PreflightMode>,
    /// The command, run twice in the service's image with the servers' bindings. It prints a line that begins with
    /// `{"accordFacts":`; what isn't in it isn't judged. Default: the preset's (Django, Flask, `FastAPI`); Custom: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<String>,
}

/// What follows from an answer that contradicts the declaration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreflightMode {
    /// The revision is refused before any pod of it starts. A command that fails or says nothing refuses nothing.
    #[default]
    Enforce,
    /// It is told in the condition `PreflightPassed`, and the revision goes on.
    Report,
    /// Nothing is asked. (Not `Off`: YAML takes that for a boolean.)
    Skip,
    /// A choice of a newer version: as `Enforce`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What preflight found out about a revision. It is asked once: this outlives the Job that asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreflightStatus {
    /// A digest of the revision and of the command that was run.
    pub revision: String,
    /// `Agrees` when nothing that was printed contradicts the declaration, `Diverges` when something does, `Unknown` when
    /// nothing usable was printed.
    pub verdict: Verdict,
    /// The reason of the first contradiction.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What was printed, or what is wrong with it and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The value of the annotation `accord.dev/retry` that it was asked with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry: String,
}
