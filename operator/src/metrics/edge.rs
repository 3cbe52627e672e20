//! What is said of the ways in from outside: whether users get in, and how long the certificate lasts.

use accord_crds::edge::EdgeStatus;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::index::Key;

#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    works: Family<Edge, Gauge>,
    expires: Family<Edge, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Edge {
    namespace: String,
    service: String,
}

impl Edges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "edge_works",
            "1 when a login through the canonical hostname is honoured by the replicas",
            self.works.clone(),
        );
        registry.register_with_unit(
            "edge_certificate_expiry_timestamp",
            "When the certificate of the canonical hostname runs out",
            Unit::Seconds,
            self.expires.clone(),
        );
    }

    /// What isn't known has no series.
    pub(super) fn set(&self, (namespace, service): &Key, status: Option<&EdgeStatus>) {
        let labels = Edge {
            namespace: namespace.clone(),
            service: service.clone(),
        };
        match status.and_then(|s| s.reason.works()) {
            Some(works) => drop(self.works.get_or_create(&labels).set(works.into())),
            None => drop(self.works.remove(&labels)),
        }
        match status.and_then(|s| s.certificate_expires.as_ref()) {
            Some(at) => drop(self.expires.get_or_create(&labels).set(at.0.as_second())),
            None => drop(self.expires.remove(&labels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use accord_crds::edge::EdgeReason;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn text(edges: &Edges) -> String {
        let mut registry = Registry::with_prefix("accord");
        edges.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn what_is_not_known_has_no_series() {
        let edges = Edges::default();
        let key = ("docks".to_owned(), "harbour".to_owned());
        let status = |reason| EdgeStatus {
            reason,
            message: String::new(),
            certificate_expires: Some(Time("2026-01-01T00:00:00Z".parse().unwrap())),
        };
        edges.set(&key, Some(&status(EdgeReason::OtherServers)));
        let known = text(&edges);
        for line in [
            "accord_edge_works{namespace=\"docks\",service=\"harbour\"} 0",
            "accord_edge_certificate_expiry_timestamp_seconds{namespace=\"docks\",service=\"harbour\"} 1767225600",
        ] {
            assert!(known.contains(line), "{line} is not in\n{known}");
        }
        edges.set(&key, Some(&status(EdgeReason::CertificateExpiring)));
        assert!(text(&edges).contains("service=\"harbour\"} 1"));
        edges.set(&key, None);
        assert!(!text(&edges).contains("harbour"));
    }
}
