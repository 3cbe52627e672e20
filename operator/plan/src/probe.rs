//! What the prober is asked to prove.

use std::net::IpAddr;
use std::time::Duration;

use accord_crds::Recipe;

use crate::outcome::DatabaseCheck;

/// One service's replicas, and how to log in to them.
#[derive(Clone, PartialEq)]
pub struct ProbeRequest {
    /// The recipe.
    pub recipe: Recipe,
    /// The canonical hostname: `Host`, `Origin` and `Referer` of every request.
    pub hostname: String,
    /// The canary's username.
    pub username: String,
    /// The canary's password.
    pub password: String,
    /// How to look for a pod's own connections in `pg_stat_activity` (managed Postgres), the anchor D.
    pub database: Option<DatabaseCheck>,
    /// The replicas that can be asked: not terminating, and their containers have passed the start-up probe.
    pub targets: Vec<ProbeTarget>,
    /// From one sweep to the next.
    pub interval: Duration,
    /// The value of the annotation `accord.dev/retry`: a new one proves everything again.
    pub retry: String,
}

/// Without credentials.
impl std::fmt::Debug for ProbeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProbeRequest")
            .field("hostname", &self.hostname)
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The pod's name.
    pub pod: String,
    /// The pod's UID.
    pub uid: String,
    /// The pod's own address.
    pub address: IpAddr,
    /// The server's port.
    pub port: u16,
    /// A digest of the container IDs that run now: a proof belongs to these.
    pub containers: String,
    /// The revision that the pod runs.
    pub revision: String,
    /// True when the gate is open for these containers: the replica is proved, and may be a witness.
    pub proved: bool,
}
