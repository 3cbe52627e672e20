//! What came of a run: what the judge looks at.

use std::time::Duration;

use serde_json::Value;

use super::canonical::Secret;
use super::logins::Counts;
use super::proxy::{Seen, Told};

/// A step, and what the service was like after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) step: &'static str,
    /// Every object of the service's, without what differs from run to run.
    pub(super) state: Value,
    /// The secrets: who they are and what they hold, as digests.
    pub(super) secrets: Vec<Secret>,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rests: Vec<Rest>,
    /// The ledger's rows, one a line.
    pub(super) ledger: Vec<String>,
    /// How often a recorded command was run.
    pub(super) commands: usize,
    pub(super) seen: Vec<Seen>,
    /// What the watches told.
    pub(super) told: Told,
    /// How often each of the plan's faults came.
    pub(super) came: Vec<u32>,
    /// How often the operator was killed, and ended by itself.
    pub(super) kills: u32,
    pub(super) deaths: u32,
    /// For how long, at most, no ready pod was behind the Service.
    pub(super) unserved: Duration,
    /// What became of those who logged in meanwhile.
    pub(super) logins: Counts,
    pub(super) took: Duration,
}

impl Outcome {
    /// Faults that came.
    pub(super) fn happened(&self) -> u32 {
        self.came.iter().sum()
    }
}
