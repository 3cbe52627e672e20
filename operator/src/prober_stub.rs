//! Placeholder of the prober.

use std::collections::BTreeMap;

use accord_plan::agreement::Proof;
use accord_plan::probe::ProbeRequest;

/// Proves nothing.
#[derive(Debug)]
pub struct Prober;

impl Prober {
    /// A prober.
    pub fn new(_notify: impl Fn((String, String)) + Send + Sync + 'static) -> Self {
        Self
    }
    /// What to prove.
    pub fn set(&self, _key: &(String, String), _request: Option<ProbeRequest>) {}
    /// What was found.
    pub fn proofs(&self, _key: &(String, String)) -> BTreeMap<String, Proof> {
        BTreeMap::new()
    }
}
