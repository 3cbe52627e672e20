//! Verification: what the prober is to prove, which readiness gates open and close, and what is said of the replicas.
//!
//! Proof belongs to containers: the gate of a pod survives a restart of its container, so an open gate that names other
//! containers is closed at once.

use std::time::Duration;

use accord_crds::meta::{ANNOTATION_RETRY, GATE_AGREES, LABEL_REVISION};
use accord_crds::status::{Consistency, REPLICA_LIMIT, Replica};
use accord_crds::{PodReason, Reason, Verdict};

use crate::agreement::Proof;
use crate::build::deployment;
use crate::context::Context;
use crate::digest;
use crate::gate::Gate;
use crate::key::{Kind, Object};
use crate::outcome::{Checks, GatePatch};
use crate::phases::workload::{all_servers, condition, containers_ready, has_started, runs, servers};
use crate::probe::{ProbeRequest, ProbeTarget};
use crate::revision::Revision;

/// One replica as it stands.
struct Standing<'a> {
    pod: &'a Object,
    /// The containers that run now.
    containers: String,
    /// True when its gate is open.
    open: bool,
    /// True when its gate is open for these containers.
    bound: bool,
    /// What was found out about these containers.
    proof: Option<&'a Proof>,
}

/// How an open gate names the containers that it belongs to.
fn binding_message(containers: &str) -> String {
    format!("containers {containers}")
}

fn standings<'a>(context: &Context<'a>) -> Vec<Standing<'a>> {
    servers(context)
        .map(|pod| {
            let containers = containers(pod);
            let gate = condition(pod, GATE_AGREES);
            let open = gate.is_some_and(|c| c["status"] == "True");
            let bound = open && gate.is_some_and(|c| c["message"] == *binding_message(&containers));
            let proof = context
                .observed
                .proofs
                .get(pod.uid())
                .filter(|p| p.containers == containers);
            Standing {
                pod,
                containers,
                open,
                bound,
                proof,
            }
        })
        .collect()
}

/// A digest of the container IDs of a pod. One that has ended counts no more: its gate is closed before the next one runs,
/// so that kubelet has seen it closed when it first works on that one (ADR 3).
fn containers(pod: &Object) -> String {
    let over = |c: &serde_json::Value| {
        ["terminated", "waiting"]
            .iter()
            .any(|state| c["state"][*state].is_object())
    };
    let mut ids: Vec<String> = pod.value["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let id = if over(c) {
                ""
            } else {
                c["containerID"].as_str().unwrap_or_default()
            };
            format!("{}={:?}", c["name"], id)
        })
        .collect();
    ids.sort();
    digest::short(ids.join(" ").as_bytes())
}

/// True when there is nothing to share: one replica with its own state agrees with itself.
fn alone(context: &Context) -> bool {
    context.spec().database.is_none()
}

/// What the prober is to prove.
pub fn request(context: &Context, serving: Option<&Revision>, checks: &Checks) -> Option<ProbeRequest> {
    let revision = serving.filter(|_| !alone(context))?;
    let spec = &revision.spec;
    let declared = spec.verification.as_ref();
    let recipe = declared
        .and_then(|v| v.recipe.clone())
        .or_else(|| Context::preset(spec).recipe)?;
    let canary = context
        .observed
        .objects
        .get(Kind::Secret, &context.names.canary())?;
    let port = u16::try_from(deployment::port(spec)).ok()?;
    let interval = context
        .spec()
        .verification
        .as_ref()
        .and_then(|v| v.interval_seconds)
        .unwrap_or(60);
    let targets = standings(context)
        .into_iter()
        .filter(|s| has_started(s.pod))
        .filter_map(|s| {
            Some(ProbeTarget {
                pod: s.pod.key.name.clone(),
                uid: s.pod.uid().to_owned(),
                address: s.pod.value["status"]["podIP"].as_str()?.parse().ok()?,
                port,
                revision: s.pod.label(LABEL_REVISION).unwrap_or_default().to_owned(),
                proved: s.bound && s.proof.is_none_or(|p| p.verdict != Verdict::Diverges),
                containers: s.containers,
            })
        })
        .collect();
    Some(ProbeRequest {
        recipe,
        hostname: spec.hostnames.first().cloned().unwrap_or_default(),
        username: canary.secret_text("username")?,
        password: canary.secret_text("password")?,
        database: checks.database.clone(),
        targets,
        interval: Duration::from_secs(u64::try_from(interval).unwrap_or(60)),
        retry: context.annotation(ANNOTATION_RETRY).to_owned(),
    })
}

/// The readiness gates that are to change.
pub fn gates(context: &Context) -> Vec<GatePatch> {
    let standings = standings(context);
    // Closing a gate for divergence never leaves nobody: at least one proved replica goes on.
    let mut serving = standings
        .iter()
        .filter(|s| s.bound && containers_ready(s.pod))
        .count();
    let mut patches = Vec::new();
    for s in &standings {
        let verdict = s.proof.map(|p| p.verdict);
        let agrees = verdict == Some(Verdict::Agrees) || (alone(context) && has_started(s.pod));
        let change = if agrees && !s.bound {
            Some((true, PodReason::Verified, binding_message(&s.containers)))
        } else if s.open && !s.bound {
            Some((
                false,
                PodReason::Pending,
                "The container that was proved runs no more.".into(),
            ))
        } else if s.bound && verdict == Some(Verdict::Diverges) && serving > 1 {
            serving -= 1;
            s.proof.map(|p| (false, p.reason, p.message.clone()))
        } else {
            None
        };
        if let Some((open, reason, message)) = change {
            patches.push(GatePatch {
                pod: s.pod.key.name.clone(),
                uid: s.pod.uid().to_owned(),
                open,
                reason: reason.as_str().to_owned(),
                message: crate::status::bounded(&message),
            });
        }
    }
    patches
}

/// What is said of the replicas, one by one and together.
pub fn consistency(context: &Context) -> Consistency {
    let mut replicas: Vec<Replica> = standings(context)
        .into_iter()
        .map(|s| {
            let (verdict, reason, message) = match s.proof {
                Some(p) => (
                    p.verdict,
                    p.reason,
                    if p.verdict == Verdict::Agrees {
                        String::new()
                    } else {
                        p.message.clone()
                    },
                ),
                None if s.bound => (Verdict::Agrees, PodReason::Verified, String::new()),
                None => (Verdict::Unknown, PodReason::Pending, String::new()),
            };
            Replica {
                pod: s.pod.key.name.clone(),
                revision: s.pod.label(LABEL_REVISION).unwrap_or_default().to_owned(),
                verdict,
                reason,
                message: crate::status::bounded(&message),
            }
        })
        .collect();
    let total = replicas.len();
    let agreeing = replicas.iter().filter(|r| r.verdict == Verdict::Agrees).count();
    // Those that don't agree first, then by name.
    replicas.sort_by_key(|r| (rank(r.verdict), r.pod.clone()));
    let worst = replicas
        .first()
        .map_or((Verdict::Unknown, PodReason::Pending), |r| (r.verdict, r.reason));
    replicas.truncate(REPLICA_LIMIT);
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    Consistency {
        verdict: worst.0,
        reason: worst.1,
        agreeing: count(agreeing),
        total: count(total),
        summary: format!("{agreeing}/{total}"),
        replicas,
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Diverges => 0,
        Verdict::Unknown => 1,
        Verdict::Agrees => 2,
    }
}

/// The revision's pods that diverge: the first, with its reason.
pub fn divergence(context: &Context, revision: &str) -> Option<String> {
    standings(context)
        .iter()
        .filter(|s| runs(s.pod, revision))
        .find_map(|s| {
            let proof = s.proof.filter(|p| p.verdict == Verdict::Diverges)?;
            Some(format!(
                "Pod {}: {}: {}",
                s.pod.key.name,
                proof.reason.as_str(),
                proof.message
            ))
        })
}

/// Open when every replica runs the revision, agrees, is ready, and none of the old is left or terminating.
pub fn gate(context: &Context, serving: Option<&Revision>, consistency: &Consistency) -> Gate {
    let Some(revision) = serving else {
        return Gate::closed(Reason::WaitingForEarlierPhase, "Nothing is released yet.");
    };
    let declared = context.spec().replicas;
    if let Some(first) = consistency
        .replicas
        .first()
        .filter(|r| r.verdict == Verdict::Diverges)
    {
        return Gate::closed(
            Reason::ReplicasDiverge,
            format!(
                "{} of {} replicas agree. Pod {}: {}: {}",
                consistency.agreeing,
                consistency.total,
                first.pod,
                first.reason.as_str(),
                first.message
            ),
        );
    }
    let blocked = consistency
        .replicas
        .iter()
        .find(|r| r.reason == PodReason::ProbeBlocked);
    if let Some(replica) = blocked {
        return Gate::closed(
            Reason::ProbeBlocked,
            format!("Pod {}: {}", replica.pod, replica.message),
        );
    }
    let unproved: Vec<&Replica> = consistency
        .replicas
        .iter()
        .filter(|r| r.verdict == Verdict::Unknown && r.reason != PodReason::Pending)
        .collect();
    if let (Some(first), true) = (unproved.first(), consistency.total > 0) {
        return Gate::closed(
            Reason::VerificationBroken,
            format!(
                "{} of {} replicas could be verified. Pod {}: {}: {}",
                consistency.agreeing,
                consistency.total,
                first.pod,
                first.reason.as_str(),
                first.message
            ),
        );
    }
    if declared == 0 {
        return Gate::open("Scaled to zero, as declared.");
    }
    let ready = servers(context)
        .filter(|p| runs(p, &revision.digest) && condition(p, "Ready").is_some_and(|c| c["status"] == "True"))
        .count();
    let old = all_servers(context)
        .filter(|p| !runs(p, &revision.digest))
        .count();
    let count = i32::try_from(ready).unwrap_or(i32::MAX);
    if count < declared || consistency.agreeing < declared || old > 0 {
        return Gate::closed(
            Reason::Verifying,
            format!(
                "{} of {declared} replicas have proved that they agree, {ready} take traffic, {old} of an older revision are left.",
                consistency.agreeing
            ),
        );
    }
    Gate::open(format!(
        "{declared} of {declared} replicas have proved that they agree."
    ))
}
