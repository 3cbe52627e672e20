//! From observations of an exchange to a verdict with one reason.

use accord_crds::{PodReason, Verdict};

/// What the prober found out about the containers of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The containers it belongs to: see [`crate::probe::ProbeTarget::containers`].
    pub containers: String,
    /// The verdict.
    pub verdict: Verdict,
    /// One reason.
    pub reason: PodReason,
    /// Evidence and advice, at most 512 bytes, never a secret.
    pub message: String,
}
