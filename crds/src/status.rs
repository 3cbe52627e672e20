//! What Accord has seen and done: `AuthService.status`. Bounded: messages to 512 bytes, replicas to 50.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::edge::EdgeStatus;
use crate::preflight::PreflightStatus;
use crate::urls::Urls;
use crate::verification::{PodReason, Verdict};

/// The longest message of a condition or of evidence, in bytes.
pub const MESSAGE_LIMIT: usize = 512;
/// The most replicas that are listed one by one.
pub const REPLICA_LIMIT: usize = 50;

/// What Accord has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthServiceStatus {
    /// The generation of the declaration that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Server pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Server pods that take traffic.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The label selector of the server pods, for `/scale`.
    #[serde(default)]
    pub selector: String,
    /// What stands where, phase by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the declared service is reached from outside: for pipelines, a frontend's build, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Urls>,
    /// Whether the replicas agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// The last revision that passed every gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Revision>,
    /// The declared revision, while it isn't the released one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// What was there once and is never made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Migrations and seeds of the declared revision, as the ledger has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// What the declared revision's servers would use, as its image told before the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
}

/// Whether the replicas agree, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Consistency {
    /// The verdict on all of them: `Agrees` when each does, `Diverges` when one does.
    pub verdict: Verdict,
    /// The reason of the first replica that doesn't agree, `Verified` when all do.
    pub reason: PodReason,
    /// Replicas that agree.
    pub agreeing: i32,
    /// Replicas that exist.
    pub total: i32,
    /// `agreeing/total`, for people.
    pub summary: String,
    /// What a login through the canonical hostname shows, where that is declared (`verification.edge`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeStatus>,
    /// One by one, up to 50, those that don't agree first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<Replica>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// The pod.
    pub pod: String,
    /// The revision that it runs.
    pub revision: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: PodReason,
    /// Evidence: which step, what was expected, what was seen; never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A revision of the declaration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// A digest of the declared fields that make a revision: not replicas.
    pub revision: String,
    /// The image.
    pub image: String,
    /// The number of this release: each has a higher one than all before it, also where what was recorded of those isn't seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
}

/// The declared revision on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// A digest of the declared fields that make a revision.
    pub revision: String,
    /// The image.
    pub image: String,
    /// How far it is.
    pub state: CandidateState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The reason of its failure, or of its cutover: `Incompatible` (accepted) or `ReleasedUnanchored`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The value of the annotation `accord.dev/retry` that it was tried with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub retry: String,
}

/// How far a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CandidateState {
    /// Migration and seeds are not done.
    Preparing,
    /// Its pods are being started and verified.
    RollingOut,
    /// Its pods are being proved among themselves beside the released ones, and users are switched to all of them at once.
    CuttingOver,
    /// It failed; the released revision serves on.
    Withdrawn,
    /// A state of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What was there once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// SHA-256 over the ids of the key ring, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ring_fingerprint: Option<String>,
    /// Postgres' system identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_system_identifier: Option<String>,
    /// The UID of the database's volume claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_claim: Option<String>,
    /// The UID of the cache's volume claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_claim: Option<String>,
}

/// A migration or a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// `migration` or `seed`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: String,
    /// `pending`, `started`, `succeeded`, `failed`, `interrupted` or `baseline`.
    pub state: String,
    /// The command's exit code, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The last lines of its output, when it failed; redacted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}
