//! An examiner that tells what it saw before anything is made of it: the figures of a service are those of every
//! request, also of one that shows nothing.

use std::sync::Arc;

use accord_plan::agreement::{EdgeObservations, Observations};
use accord_plan::probe::{EdgeTarget, ProbeRequest, ProbeTarget};

use super::ServiceKey;
use super::examiner::Examiner;
use super::schedule::Extras;

/// Told of every exchange.
pub(super) type Measure = Arc<dyn Fn(&ServiceKey, &Observations) + Send + Sync>;

pub(super) struct Measured<E> {
    pub(super) inner: E,
    pub(super) key: ServiceKey,
    pub(super) measure: Measure,
}

impl<E: Examiner> Examiner for Measured<E> {
    async fn pair(
        &self,
        request: &ProbeRequest,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        extras: Extras,
    ) -> Observations {
        let seen = self.inner.pair(request, subject, witness, extras).await;
        (self.measure)(&self.key, &seen);
        seen
    }

    async fn sweep(
        &self,
        request: &ProbeRequest,
        targets: &[ProbeTarget],
        issuer: usize,
        ender: usize,
    ) -> Vec<Observations> {
        let reports = self.inner.sweep(request, targets, issuer, ender).await;
        for seen in &reports {
            (self.measure)(&self.key, seen);
        }
        reports
    }

    /// Not measured: the figures are those of replicas.
    async fn edge(&self, request: &ProbeRequest, edge: &EdgeTarget, pod: &ProbeTarget) -> EdgeObservations {
        self.inner.edge(request, edge, pod).await
    }
}
