//! `mode: Observe`: pods that somebody else made are verified and spoken of. No action is ever planned here.
//!
//! Without a declared database and key ring nothing is anchored, so what a pair shows accuses both of its sides: a replica
//! is blamed only where most of the others agree with each other.

use std::time::Duration;

use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::status::{AuthServiceStatus, Consistency, Replica};
use accord_crds::{ConditionType, PodReason, Reason, Verdict};

use crate::build::deployment;
use crate::context::Context;
use crate::gate::Gate;
use crate::key::Object;
use crate::outcome::Plan;
use crate::phases::edge;
use crate::phases::standing::containers;
use crate::phases::verification::{INTERVAL, together};
use crate::phases::workload::{condition, has_started};
use crate::probe::{ProbeRequest, ProbeTarget};
use crate::revision;
use crate::status::{self, Findings, bounded};

/// What is said of the pods, and what the prober is to ask them.
pub(crate) fn plan(context: &Context, contradiction: Option<String>) -> Plan {
    let consistency = consistency(context);
    let gate = gate(context, &consistency);
    let declared = revision::declared(context.spec());
    let refused = contradiction.is_some();
    let findings = Findings {
        gates: vec![(ConditionType::ReplicasAgree, gate)],
        obstacle: contradiction.map(|message| (Reason::InvalidSpec, message)),
        released: None,
        declared: &declared,
        withdrawn: None,
        rolling: false,
    };
    let rest = AuthServiceStatus {
        consistency: Some(consistency),
        ..AuthServiceStatus::default()
    };
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let ready = |p: &&Object| condition(p, "Ready").is_some_and(|c| c["status"] == "True");
    let status = AuthServiceStatus {
        replicas: count(pods(context).count()),
        ready_replicas: count(pods(context).filter(ready).count()),
        selector: selector(context),
        candidate: None,
        runs: Vec::new(),
        ..status::compose(context, &findings, rest)
    };
    let mut events = status::news(context, &status);
    events.extend(edge::news(context));
    Plan {
        probe: request(context).filter(|_| !refused),
        status,
        events,
        ..Plan::default()
    }
}

/// A service that is to be managed, where only observing is allowed: none of its objects is even seen.
pub(crate) fn not_ours(context: &Context) -> Plan {
    let declared = revision::declared(context.spec());
    let findings = Findings {
        gates: Vec::new(),
        obstacle: Some((
            Reason::InvalidSpec,
            "spec.mode is Manage, and this Accord only observes (observeOnly): set mode to Observe in an AuthService of another name, or install Accord without it.".into(),
        )),
        released: None,
        declared: &declared,
        withdrawn: None,
        rolling: false,
    };
    let stored = context.stored_status().cloned().unwrap_or_default();
    let told = status::compose(context, &findings, AuthServiceStatus::default());
    let status = AuthServiceStatus {
        conditions: told.conditions,
        observed_generation: told.observed_generation,
        // What was recorded stays: another Accord may have managed it, and may do so again.
        ..stored
    };
    Plan {
        events: status::news(context, &status),
        status,
        ..Plan::default()
    }
}

/// The labels that pods are looked for by.
fn selector(context: &Context) -> String {
    let labels = context.spec().selector.iter().flat_map(|s| &s.match_labels);
    labels
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// The pods that aren't being deleted and haven't ended.
fn pods<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Object> + use<'a> {
    let over = |p: &Object| matches!(p.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let found = context.observed.watched.iter().flatten();
    found.filter(move |p| !p.is_deleting() && !over(p))
}

/// The Secret of the canary, and what is missing in it.
fn canary(context: &Context) -> Result<(String, String), Gate> {
    let verification = context.spec().verification.as_ref();
    let reference = verification
        .and_then(|v| v.canary.as_ref())
        .and_then(|c| c.secret_ref.as_ref());
    let name = reference.map(|r| r.name.as_str()).unwrap_or_default();
    let secret = context.observed.referenced.get(name).and_then(Option::as_ref);
    let value = |key: &str| {
        secret
            .and_then(|s| s.secret_text(key))
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                Gate::closed(
                    Reason::SecretNotFound,
                    format!("Secret {name} or its key {key:?} isn't there: create it with the keys username and password of an account without rights, Accord goes on by itself."),
                )
            })
    };
    Ok((value("username")?, value("password")?))
}

fn request(context: &Context) -> Option<ProbeRequest> {
    let spec = context.spec();
    let (username, password) = canary(context).ok()?;
    let verification = spec.verification.as_ref();
    let port = u16::try_from(deployment::port(spec)).ok()?;
    let seconds = verification.and_then(|v| v.interval_seconds).unwrap_or(INTERVAL);
    let target = |pod: &Object| {
        Some(ProbeTarget {
            pod: pod.key.name.clone(),
            uid: pod.uid().to_owned(),
            address: pod.value["status"]["podIP"].as_str()?.parse().ok()?,
            port,
            containers: containers(pod),
            revision: revision_of(pod),
            // There is no gate that would remember it: every proof is this process's own.
            proved: false,
        })
    };
    Some(ProbeRequest {
        recipe: Context::recipe(spec)?,
        hostname: spec.hostnames.first().cloned().unwrap_or_default(),
        aliases: spec.hostnames.iter().skip(1).cloned().collect(),
        username,
        password,
        keys: Vec::new(),
        database: None,
        cache: None,
        targets: pods(context)
            .filter(|p| has_started(p))
            .filter_map(target)
            .collect(),
        apart: false,
        interval: Duration::from_secs(u64::try_from(seconds).unwrap_or(60)),
        edge: edge::target(context),
        retry: context.annotation(ANNOTATION_RETRY).to_owned(),
    })
}

/// Which of its Deployment's (or other owner's) templates a pod was made from.
fn revision_of(pod: &Object) -> String {
    ["pod-template-hash", "controller-revision-hash"]
        .iter()
        .find_map(|label| pod.label(label))
        .unwrap_or_default()
        .to_owned()
}

fn consistency(context: &Context) -> Consistency {
    let mut replicas: Vec<Replica> = pods(context).map(|pod| replica(context, pod)).collect();
    let disputed = dispute(&mut replicas);
    let mut consistency = together(replicas, edge::status(context));
    if disputed {
        // That they disagree is known, only not with whom it lies.
        (consistency.verdict, consistency.reason) = (Verdict::Diverges, PodReason::Ambiguous);
    }
    consistency
}

fn replica(context: &Context, pod: &Object) -> Replica {
    let containers = containers(pod);
    let proof = context.observed.proofs.get(pod.uid());
    let proof = proof.filter(|p| p.containers == containers);
    let (verdict, reason) = proof.map_or((Verdict::Unknown, PodReason::Pending), |p| (p.verdict, p.reason));
    let message = proof
        .filter(|_| verdict != Verdict::Agrees)
        .map(|p| p.message.as_str());
    Replica {
        pod: pod.key.name.clone(),
        revision: revision_of(pod),
        verdict,
        reason,
        message: bounded(message.unwrap_or_default()),
    }
}

/// What a pod shows without another one.
fn is_its_own(reason: PodReason) -> bool {
    matches!(
        reason,
        PodReason::AcceptsInvalid
            | PodReason::HostnameMismatch
            | PodReason::Redirected
            | PodReason::WrongIdentity
    )
}

/// Where those that agree aren't more than those that they accuse, neither side is blamed: the first to be asked may be the
/// odd one. True when it is so.
fn dispute(replicas: &mut [Replica]) -> bool {
    let agrees = |r: &Replica| r.verdict == Verdict::Agrees;
    let accused = |r: &Replica| r.verdict == Verdict::Diverges && !is_its_own(r.reason);
    let (one, other) = (
        replicas.iter().filter(|r| agrees(r)).count(),
        replicas.iter().filter(|r| accused(r)).count(),
    );
    if one == 0 || one > other {
        return false;
    }
    let seen = replicas.iter().find(|r| accused(r)).map(|r| r.message.clone());
    let seen = seen.unwrap_or_default();
    let sides = format!(
        "{one} of the replicas and {other} others disagree, and from outside it can't be told which are right"
    );
    for replica in replicas.iter_mut().filter(|r| agrees(r) || accused(r)) {
        let evidence = if agrees(replica) { &seen } else { &replica.message };
        replica.message = bounded(&format!("{sides}. {evidence}"));
        (replica.verdict, replica.reason) = (Verdict::Unknown, PodReason::Ambiguous);
    }
    true
}

/// Open when every pod agrees. It holds nothing: it is how the conditions come by their words.
fn gate(context: &Context, consistency: &Consistency) -> Gate {
    if let Err(missing) = canary(context) {
        return missing;
    }
    let Consistency { agreeing, total, .. } = consistency;
    if *total == 0 {
        return match &context.observed.watched {
            None => Gate::closed(Reason::Verifying, "The pods are being looked for."),
            Some(_) => Gate::closed(
                Reason::NothingToObserve,
                format!(
                    "No pod in namespace {} carries the labels {}: correct spec.selector, or start the Deployment.",
                    context.namespace(),
                    selector(context)
                ),
            ),
        };
    }
    let told = |reason: Reason, replica: &Replica| {
        let message = format!(
            "{agreeing} of {total} replicas agree. Pod {}: {}: {}",
            replica.pod,
            replica.reason.as_str(),
            replica.message
        );
        Gate::closed(reason, message)
    };
    let mut replicas = consistency.replicas.iter();
    let first = consistency.replicas.first();
    match (consistency.verdict, first) {
        (Verdict::Diverges, Some(first)) => return told(Reason::ReplicasDiverge, first),
        _ if agreeing == total => return Gate::open(format!("{total} of {total} replicas agree.")),
        _ => {}
    }
    if let Some(blocked) = replicas.clone().find(|r| r.reason == PodReason::ProbeBlocked) {
        return told(Reason::ProbeBlocked, blocked);
    }
    match replicas.find(|r| r.verdict == Verdict::Unknown && r.reason != PodReason::Pending) {
        Some(unproved) => told(Reason::VerificationBroken, unproved),
        None => Gate::closed(
            Reason::Verifying,
            format!("{agreeing} of {total} replicas agree so far."),
        ),
    }
}
