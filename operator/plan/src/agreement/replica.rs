//! A read replica that lags: what a pod reads there is from the past, which looks like many other faults, and heals.

use accord_crds::{PodReason, Verdict};

use super::{Finding, Observations};

/// What a lagging replica explains: somebody who isn't there yet, and what was ended and is still there. Nobody is
/// accused of it, since replay goes on and all pods share the replica; it is said, and new pods wait. A fault that hides
/// behind it shows itself once the replica has caught up.
pub(super) fn instead(seen: &Observations, found: Finding) -> Finding {
    use PodReason::{
        Ambiguous, CanaryMissing, LocalDatabase, LocalRevocation, LocalSession, RecipeMismatch,
        SchemaMismatch, StaleCache, StaleReplica,
    };
    let explained = matches!(
        found.reason,
        Ambiguous
            | CanaryMissing
            | LocalDatabase
            | LocalRevocation
            | LocalSession
            | RecipeMismatch
            | SchemaMismatch
            | StaleCache
            | StaleReplica
    );
    if seen.replica_behind != Some(true) || !explained {
        return found;
    }
    let evidence = format!(
        "{}; the read replica was behind the database for more than a second",
        found.evidence
    );
    Finding::new(Verdict::Unknown, StaleReplica, evidence)
}
