//! The task of one service: one examination at a time, because they share one canary.

use std::sync::PoisonError;

use accord_crds::{PodReason, Verdict};
use accord_plan::agreement::{Action, Meaning, Observations, judge};
use accord_plan::probe::{ProbeRequest, ProbeTarget};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::edge::EdgeMemory;
use super::examiner::Examiner;
use super::schedule::{Next, Schedule};
use super::{Notify, Proofs, ServiceKey};

/// One service.
pub(super) struct Service<E> {
    pub(super) key: ServiceKey,
    pub(super) examiner: E,
    pub(super) request: watch::Receiver<ProbeRequest>,
    pub(super) proofs: Proofs,
    pub(super) notify: Notify,
    pub(super) edge: EdgeMemory,
}

impl<E: Examiner> Service<E> {
    /// Until it is ended.
    pub(super) async fn run(mut self, end: CancellationToken) {
        let work = self.work();
        // Whatever is under way is dropped, with its connections.
        end.run_until_cancelled(work).await;
    }

    async fn work(&mut self) {
        let mut request = self.request.borrow_and_update().clone();
        let mut schedule = Schedule::new(&request, Instant::now());
        loop {
            match schedule.next(Instant::now()) {
                Next::Wait(until) => {
                    tokio::select! {
                        changed = self.request.changed() => if changed.is_err() { return },
                        () = sleep_until(until) => {}
                    }
                    self.take_news(&mut request, &mut schedule);
                }
                Next::Pair {
                    subject,
                    witness,
                    extras,
                } => {
                    let seen = self
                        .examiner
                        .pair(&request, &subject, witness.as_deref(), extras)
                        .await;
                    let apart = request.apart;
                    // First what has become of the pods meanwhile: the result may be about one that is gone.
                    self.take_news(&mut request, &mut schedule);
                    self.settle(&mut schedule, &seen, &subject, witness.as_deref(), apart);
                }
                Next::Sweep {
                    targets,
                    issuer,
                    ender,
                } => {
                    let reports = self.examiner.sweep(&request, &targets, issuer, ender).await;
                    self.take_news(&mut request, &mut schedule);
                    self.sweep_up(&mut schedule, &reports, &targets, issuer);
                    if let (Some(edge), Some(pod)) = (request.edge.clone(), targets.get(ender)) {
                        let seen = self.examiner.edge(&request, &edge, pod).await;
                        self.edge
                            .take_in(&self.key, &self.notify, &seen, Timestamp::now());
                        self.take_news(&mut request, &mut schedule);
                    }
                }
            }
        }
    }

    fn take_news(&mut self, request: &mut ProbeRequest, schedule: &mut Schedule) {
        // Waiting for a change marks it as seen, so what counts is whether the request is another one.
        let latest = self.request.borrow_and_update().clone();
        if latest != *request {
            if (&latest.username, &latest.password) != (&request.username, &request.password) {
                schedule.prove_anew();
            }
            if latest.edge != request.edge {
                self.edge.forget();
            }
            *request = latest;
            schedule.update(request, Instant::now());
            // What is gone is no news to the one who said so.
            self.publish(schedule);
        }
    }

    fn settle(
        &self,
        schedule: &mut Schedule,
        seen: &Observations,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        apart: bool,
    ) {
        let mut proof = judge(seen, &subject.containers);
        proof.grounds.witness = witness.map(|w| w.revision.clone());
        proof.grounds.apart = apart;
        let refused = seen
            .steps
            .iter()
            .any(|s| s.action == Action::WrongPassword && s.meaning == Meaning::Rejected);
        let (namespace, name) = &self.key;
        let (verdict, reason) = (proof.verdict, proof.reason.as_str());
        let changed_password = seen.steps.iter().any(|s| s.action == Action::ChangePassword);
        if changed_password && verdict == Verdict::Agrees {
            schedule.password_was_changed(&subject.revision);
        }
        let known = proof.message.clone();
        let witness_pod = witness.map(|w| w.pod.as_str());
        let changed = schedule.settle(
            &subject.uid,
            witness.map(|w| w.uid.as_str()),
            proof,
            refused,
            Instant::now(),
        );
        if changed {
            tracing::info!(
                namespace,
                service = name,
                pod = subject.pod,
                witness = witness_pod,
                ?verdict,
                reason,
                evidence = known,
                "a replica was examined"
            );
            self.publish(schedule);
            (self.notify)(self.key.clone());
        } else {
            tracing::debug!(
                namespace,
                service = name,
                pod = subject.pod,
                witness = witness_pod,
                ?verdict,
                reason,
                "a replica was examined, nothing new"
            );
        }
    }

    /// A sweep accuses nobody: who answers otherwise than expected is examined. The issuer too, when a peer refuses what
    /// it issued. Who doesn't answer isn't at once: the next sweep asks again.
    fn sweep_up(
        &self,
        schedule: &mut Schedule,
        reports: &[Observations],
        targets: &[ProbeTarget],
        issuer: usize,
    ) {
        let (namespace, name) = &self.key;
        let (mut suspects, mut answered, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
        for seen in reports {
            let Some(target) = targets.iter().find(|t| t.pod == seen.subject) else {
                continue;
            };
            let proof = judge(seen, &target.containers);
            let silent = matches!(
                proof.reason,
                PodReason::ProbeBlocked | PodReason::Slow | PodReason::RateLimited | PodReason::Pending
            );
            match proof.verdict {
                Verdict::Agrees => answered.push(target.uid.clone()),
                Verdict::Unknown if silent => {
                    tracing::info!(
                        namespace,
                        service = name,
                        pod = target.pod,
                        reason = proof.reason.as_str(),
                        evidence = proof.message,
                        "a sweep showed nothing about a replica"
                    );
                    if proof.reason != PodReason::Pending {
                        quiet.push(target.uid.clone());
                    }
                }
                Verdict::Diverges | Verdict::Unknown => {
                    tracing::warn!(
                        namespace,
                        service = name,
                        pod = target.pod,
                        reason = proof.reason.as_str(),
                        evidence = proof.message,
                        "a sweep found a replica that is to be examined"
                    );
                    suspects.push(target.uid.clone());
                }
            }
        }
        if !suspects.is_empty()
            && let Some(issuer) = targets.get(issuer)
        {
            // First: when all peers refuse it, it is the odd one.
            suspects.insert(0, issuer.uid.clone());
        }
        schedule.swept(&suspects, &answered, &quiet, Instant::now());
    }

    fn publish(&self, schedule: &Schedule) {
        *self.proofs.lock().unwrap_or_else(PoisonError::into_inner) = schedule.proofs();
    }
}
