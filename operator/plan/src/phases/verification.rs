//! Verification: what the prober is to prove, and what is said of the replicas. What follows for them is `isolation`'s.

use std::time::Duration;

use accord_crds::edge::EdgeStatus;
use accord_crds::meta::{ANNOTATION_ACCEPT_INCOMPATIBLE, ANNOTATION_RETRY, LABEL_REVISION};
use accord_crds::recipe::Identifier;
use accord_crds::status::{Consistency, REPLICA_LIMIT, Replica};
use accord_crds::{PodReason, Reason, Verdict};

use crate::agreement::Proof;
use crate::build::deployment;
use crate::context::Context;
use crate::gate::Gate;
use crate::key::{Kind, Object};
use crate::outcome::Checks;
use crate::phases::cutover;
use crate::phases::edge;
use crate::phases::isolation::{alone, sole};
use crate::phases::workload::{all_servers, condition, has_started, runs, servers};
use crate::probe::{self, ProbeRequest, ProbeTarget};
use crate::revision::Revision;

/// From one sweep to the next, in seconds, unless declared.
pub const INTERVAL: i32 = 60;

/// What the prober is to prove.
pub fn request(context: &Context, serving: Option<&Revision>, checks: &Checks) -> Option<ProbeRequest> {
    let revision = serving.filter(|_| !alone(context))?;
    let spec = &revision.spec;
    let recipe = Context::recipe(spec)?;
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
        .unwrap_or(INTERVAL);
    let targets = context
        .standings()
        .iter()
        .filter(|s| has_started(s.pod) && !s.superseded)
        .filter_map(|s| {
            Some(ProbeTarget {
                pod: s.pod.key.name.clone(),
                uid: s.pod.uid().to_owned(),
                address: s.pod.value["status"]["podIP"].as_str()?.parse().ok()?,
                port,
                revision: s.pod.label(LABEL_REVISION).unwrap_or_default().to_owned(),
                proved: s.is_bound() && s.proof.is_none_or(|p| p.verdict != Verdict::Diverges),
                containers: s.containers.clone(),
            })
        })
        .collect();
    let identifier = match recipe.login.identifier {
        Some(Identifier::Email) => "email",
        Some(Identifier::Username | Identifier::Unknown) | None => "username",
    };
    Some(ProbeRequest {
        keys: probe::keys(context, spec),
        recipe,
        hostname: spec.hostnames.first().cloned().unwrap_or_default(),
        aliases: spec.hostnames.iter().skip(1).cloned().collect(),
        username: canary.secret_text(identifier)?,
        password: canary.secret_text("password")?,
        database: checks.database.clone(),
        cache: probe::cache(context, checks),
        targets,
        apart: context.cutover().is_apart(),
        interval: Duration::from_secs(u64::try_from(interval).unwrap_or(60)),
        edge: edge::target(context),
        retry: context.annotation(ANNOTATION_RETRY).to_owned(),
    })
}

/// What is said of the replicas, one by one and together.
pub fn consistency(context: &Context) -> Consistency {
    let replicas = context
        .standings()
        .iter()
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
                None if s.is_bound() => (Verdict::Agrees, PodReason::Verified, String::new()),
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
    together(replicas, edge::status(context))
}

/// Replicas together: those that don't agree first.
pub fn together(mut replicas: Vec<Replica>, edge: Option<EdgeStatus>) -> Consistency {
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
        edge,
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

/// Why the declared revision can't be let in, if it can't: a pod of it that diverges by what it shows itself or among its
/// like, else one that doesn't fit the released revision.
pub fn divergence(context: &Context) -> Option<(Reason, String)> {
    let revision = &context.declared().digest;
    let told = |pod: &Object, proof: &Proof| {
        let (name, reason) = (&pod.key.name, proof.reason.as_str());
        format!("Pod {name}: {reason}: {}", proof.message)
    };
    let diverging = || {
        let own = context.standings().iter().filter(|s| runs(s.pod, revision));
        own.filter_map(|s| Some((s.pod, s.proof.filter(|p| p.verdict == Verdict::Diverges)?)))
    };
    if let Some((pod, proof)) = diverging().find(|(_, p)| !cutover::is_between(p, revision)) {
        return Some((Reason::ReplicasDiverge, told(pod, proof)));
    }
    let (pod, proof) = diverging().next()?;
    let way_out = format!(
        "It and the released revision don't honour each other's sessions, and nothing is wrong with either alone. If that is \
         meant, `kubectl annotate --overwrite auth {} {ANNOTATION_ACCEPT_INCOMPATIBLE}={revision}` lets it replace the released \
         one in one step and ends all sessions. {}",
        context.names.service(),
        told(pod, proof)
    );
    Some((Reason::Incompatible, way_out))
}

/// What is told while the declared revision is proved beside the released one.
fn cutting_over(context: &Context) -> Gate {
    let newcomers = || context.standings().iter().filter(|s| s.newcomer);
    let cause = match context.cutover().cause {
        Some(Reason::ReleasedUnanchored) => "no replica of the released revision is what was declared",
        _ => "the end of all sessions was accepted",
    };
    Gate::closed(
        Reason::CuttingOver,
        format!(
            "{} of {} new replicas are proved among themselves, {} are ready; users stay with the released revision until all \
             are ({cause}).",
            newcomers().filter(|s| s.is_proved()).count(),
            context.spec().replicas,
            newcomers().filter(|s| s.stays()).count(),
        ),
    )
}

/// Open when every replica runs the revision, agrees, is ready, and none of the old is left or terminating.
pub fn gate(context: &Context, serving: Option<&Revision>, consistency: &Consistency) -> Gate {
    let Some(revision) = serving else {
        return Gate::closed(Reason::WaitingForEarlierPhase, "Nothing is released yet.");
    };
    let declared = context.spec().replicas;
    if context.cutover().is_apart() && revision.digest == context.declared().digest {
        return cutting_over(context);
    }
    if let Some(only) = sole(context, context.standings()) {
        let why = only
            .proof
            .map_or_else(String::new, |p| format!("{}: {}", p.reason.as_str(), p.message));
        return Gate::closed(
            Reason::ServingOne,
            format!(
                "None of {} replicas agrees: pod {} alone takes traffic (whenNoneAgree: ServeOne). {why}",
                consistency.total, only.pod.key.name
            ),
        );
    }
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
                "{} of {} replicas could be verified{}. Pod {}: {}: {}",
                consistency.agreeing,
                consistency.total,
                match context
                    .standings()
                    .iter()
                    .filter(|s| s.is_admitted() && !s.is_bound())
                    .count()
                {
                    0 => String::new(),
                    n => format!(", {n} take traffic unproved (onUnverifiable: Admit)"),
                },
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
