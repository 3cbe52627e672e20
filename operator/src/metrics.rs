//! What `/metrics` tells. May touch nothing but its own counters.

mod edge;
mod probe;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use accord_crds::status::AuthServiceStatus;
use accord_plan::agreement::Observations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::index::Key;
use crate::lock::lock;

/// Every metric of the operator.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    duration: Histogram,
    errors: Family<Failure, Counter>,
    writes: Family<Write, Counter>,
    watch_errors: Family<Watch, Counter>,
    replicas: Family<Replicas, Gauge>,
    ready: Family<Service, Gauge>,
    verdict: Family<Judged, Gauge>,
    /// The verdict that is told of each service now.
    verdicts: Mutex<HashMap<Key, String>>,
    leader: Gauge,
    probes: probe::Probes,
    edges: edge::Edges,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    verb: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watch {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    namespace: String,
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Replicas {
    namespace: String,
    service: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    namespace: String,
    service: String,
    verdict: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("accord");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the operator", build);
        let metrics = Self {
            reconciles: Family::default(),
            // 1 ms to 33 s.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            errors: Family::default(),
            writes: Family::default(),
            watch_errors: Family::default(),
            replicas: Family::default(),
            ready: Family::default(),
            verdict: Family::default(),
            verdicts: Mutex::default(),
            leader: Gauge::default(),
            probes: probe::Probes::default(),
            edges: edge::Edges::default(),
            registry: Registry::default(),
        };
        registry.register("reconciles", "Passes over a service", metrics.reconciles.clone());
        registry.register_with_unit(
            "reconcile_duration",
            "How long a pass over a service takes",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Passes that ended with an error, by call",
            metrics.errors.clone(),
        );
        registry.register(
            "api_writes",
            "Writes to the API server, the lease and events apart",
            metrics.writes.clone(),
        );
        registry.register(
            "watch_errors",
            "Watches that broke off or were refused",
            metrics.watch_errors.clone(),
        );
        registry.register(
            "replicas",
            "Server pods of a service: agreeing, and total",
            metrics.replicas.clone(),
        );
        registry.register(
            "service_ready",
            "1 when the condition Ready is True",
            metrics.ready.clone(),
        );
        registry.register(
            "service_verdict",
            "1 for the verdict on a service's replicas",
            metrics.verdict.clone(),
        );
        metrics.probes.register(&mut registry);
        metrics.edges.register(&mut registry);
        registry.register("leader", "1 when this copy leads", metrics.leader.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# the metrics can't be encoded");
        }
        text
    }

    /// A pass ended; `error` is the label of its error.
    pub(crate) fn reconciled(&self, took: Duration, error: Option<&'static str>) {
        let outcome = if error.is_none() { "success" } else { "error" };
        self.reconciles.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
        if let Some(error) = error {
            self.errors.get_or_create(&Failure { error }).inc();
        }
    }

    /// A write to the API server.
    pub(crate) fn write(&self, verb: &'static str, kind: &'static str) {
        self.writes.get_or_create(&Write { verb, kind }).inc();
    }

    /// A watch broke off.
    pub(crate) fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&Watch { kind }).inc();
    }

    /// Whether this copy leads.
    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// What an exchange with a service's replicas showed.
    pub(crate) fn probed(&self, key: &Key, seen: &Observations) {
        self.probes.seen(key, seen);
    }

    /// What stands in a service's status now.
    pub(crate) fn service(&self, key: &Key, status: &AuthServiceStatus) {
        let is_ready = status
            .conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        self.ready
            .get_or_create(&service_labels(key))
            .set(is_ready.into());
        let consistency = status.consistency.as_ref();
        for (state, count) in [
            ("agreeing", consistency.map(|c| c.agreeing)),
            ("total", consistency.map(|c| c.total)),
        ] {
            self.replicas
                .get_or_create(&replica_labels(key, state))
                .set(count.unwrap_or_default().into());
        }
        self.tell_verdict(key, consistency.map(|c| format!("{:?}", c.verdict)));
        self.edges.set(key, consistency.and_then(|c| c.edge.as_ref()));
    }

    /// A service is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.ready.remove(&service_labels(key));
        for state in ["agreeing", "total"] {
            self.replicas.remove(&replica_labels(key, state));
        }
        self.tell_verdict(key, None);
        self.probes.forget(key);
        self.edges.set(key, None);
    }

    fn tell_verdict(&self, key: &Key, verdict: Option<String>) {
        let mut verdicts = lock(&self.verdicts);
        let before = match &verdict {
            Some(verdict) => verdicts.insert(key.clone(), verdict.clone()),
            None => verdicts.remove(key),
        };
        if let Some(before) = before.filter(|b| Some(b) != verdict.as_ref()) {
            self.verdict.remove(&verdict_labels(key, before));
        }
        if let Some(verdict) = verdict {
            self.verdict.get_or_create(&verdict_labels(key, verdict)).set(1);
        }
    }
}

fn verdict_labels((namespace, service): &Key, verdict: String) -> Judged {
    Judged {
        namespace: namespace.clone(),
        service: service.clone(),
        verdict,
    }
}

fn service_labels((namespace, service): &Key) -> Service {
    Service {
        namespace: namespace.clone(),
        service: service.clone(),
    }
}

fn replica_labels((namespace, service): &Key, state: &'static str) -> Replicas {
    Replicas {
        namespace: namespace.clone(),
        service: service.clone(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_told_with_its_labels() {
        let metrics = Metrics::default();
        metrics.write("create", "Secret");
        metrics.reconciled(Duration::from_millis(3), Some("apply"));
        metrics.set_leader(true);
        let text = metrics.text();
        for line in [
            "accord_api_writes_total{verb=\"create\",kind=\"Secret\"} 1",
            "accord_reconcile_errors_total{error=\"apply\"} 1",
            "accord_leader 1",
            "accord_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
