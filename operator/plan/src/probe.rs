//! What the prober is asked to prove.

use std::net::IpAddr;
use std::time::Duration;

use accord_crds::Recipe;
use accord_crds::spec::{AuthServiceSpec, BindingSource};

use crate::binding;
use crate::context::Context;
use crate::identity;
use crate::key::Kind;
use crate::outcome::{CacheCheck, Checks, DatabaseCheck};
use crate::phases::credentials;

/// One service's replicas, and how to log in to them.
#[derive(Clone, PartialEq)]
pub struct ProbeRequest {
    /// The recipe.
    pub recipe: Recipe,
    /// The canonical hostname: `Host`, `Origin` and `Referer` of every request.
    pub hostname: String,
    /// The other declared hostnames: each replica is asked by each of them once.
    pub aliases: Vec<String>,
    /// The canary's username.
    pub username: String,
    /// The canary's password.
    pub password: String,
    /// The key ring, where the server's bindings take its keys from it: the active key first, then the fallbacks.
    pub keys: Vec<String>,
    /// How to look for a pod's own connections in `pg_stat_activity` (managed Postgres), the anchor D.
    pub database: Option<DatabaseCheck>,
    /// How to look for a pod's commands and its sessions in the managed cache, the anchors C and R.
    pub cache: Option<CacheCheck>,
    /// The replicas that can be asked: not terminating, and their containers have passed the start-up probe.
    pub targets: Vec<ProbeTarget>,
    /// True while one revision is to replace another that doesn't honour its sessions: each is proved among its like, no
    /// exchange and no sweep joins two.
    pub apart: bool,
    /// From one sweep to the next.
    pub interval: Duration,
    /// The way in from outside, where it is to be tried too.
    pub edge: Option<EdgeTarget>,
    /// The value of the annotation `accord.dev/retry`: a new one proves everything again.
    pub retry: String,
}

/// The key ring as the servers have it: the active key first. Empty where no binding takes a server's keys from
/// the ring.
pub fn keys(context: &Context, spec: &AuthServiceSpec) -> Vec<String> {
    let bound = binding::table(spec)
        .iter()
        .any(|b| b.source == BindingSource::KeysActive);
    // Servers have the recorded one, whatever the Secret holds now.
    let secret = if identity::is_other_ring(context) {
        credentials::restorable_ring(context)
    } else {
        context
            .observed
            .objects
            .get(Kind::Secret, &context.names.keys())
            .cloned()
    };
    let Some(secret) = secret.filter(|_| bound) else {
        return Vec::new();
    };
    let text = |key: &str| secret.secret_text(key).unwrap_or_default();
    let (active, fallbacks) = (text("active"), text("fallbacks"));
    std::iter::once(active.as_str())
        .chain(fallbacks.split(','))
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The cache as pods have it. Only a managed one: what else lives in another, and under which number, isn't known.
pub fn cache(context: &Context, checks: &Checks) -> Option<CacheCheck> {
    let declared = context.spec().cache.as_ref()?;
    checks.cache.clone().filter(|_| declared.managed.is_some())
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

/// The way in from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeTarget {
    /// Where it is, when it isn't what the canonical hostname resolves to.
    pub address: Option<String>,
    /// Its port.
    pub port: u16,
    /// The authorities that vouch for it, PEM; without it the public ones.
    pub authorities: Option<String>,
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
