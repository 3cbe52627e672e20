//! What every pass shares.

use std::sync::{Arc, Mutex};

use accord_plan::outcome::Checks as Questions;
use kube::Client;

use crate::checks::Checks;
use crate::contradictions::Contradictions;
use crate::events::Events;
use crate::index::{Index, Key};
use crate::metrics::Metrics;
use crate::prober::Prober;
use crate::watched::Watched;

/// See the module.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// What is known of the cluster.
    pub(crate) index: Arc<Mutex<Index>>,
    /// Settings that reach objects.
    pub(crate) settings: accord_plan::observed::Settings,
    /// Questions to the data stores.
    pub(crate) checks: Checks,
    /// What declarations contradict.
    pub(crate) contradictions: Contradictions,
    /// The exchange with the pods.
    pub(crate) prober: Prober,
    /// Pods of services that are only observed.
    pub(crate) watched: Watched,
    /// News.
    pub(crate) events: Events,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Context {
    /// Nothing is asked and nothing is proved for a service that rests.
    pub(crate) fn rest(&self, key: &Key) {
        self.prober.set(key, None);
        self.checks.set(key, Questions::default());
        self.watched.forget(key);
    }

    /// A service is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.rest(key);
        self.contradictions.forget(key);
        self.events.forget(key);
        self.metrics.forget(key);
    }
}
