//! The status: conditions that keep their transition times, messages of bounded length, news when a reason changes.

use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::status::{
    AuthServiceStatus, Candidate, CandidateState, MESSAGE_LIMIT, Revision as RevisionStatus,
};
use accord_crds::{ConditionType, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::context::Context;
use crate::gate::Gate;
use crate::hosts;
use crate::labels::{self, Role};
use crate::outcome::Event;
use crate::phases::workload;
use crate::revision::{self, Revision};

/// The largest status, as JSON, in bytes: it travels with every read of the service.
const STATUS_LIMIT: usize = 16 * 1024;

/// A message of at most [`MESSAGE_LIMIT`] bytes, on one line.
pub fn bounded(message: &str) -> String {
    cut(message, MESSAGE_LIMIT)
}

/// A text of at most so many bytes, on one line.
pub fn cut(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= limit {
        return line;
    }
    let mut end = limit - '…'.len_utf8();
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &line[..end])
}

/// What the phases came to.
pub struct Findings<'a> {
    /// The phases in order, with their gates.
    pub gates: Vec<(ConditionType, Gate)>,
    /// What overrides all phases: a contradiction, a conflict, a failed candidate.
    pub obstacle: Option<(Reason, String)>,
    /// The released revision.
    pub released: Option<&'a Revision>,
    /// The declared revision.
    pub declared: &'a Revision,
    /// Set when the declared revision failed and was withdrawn.
    pub withdrawn: Option<(Reason, String)>,
    /// True while pods of the declared revision are being started or verified.
    pub rolling: bool,
}

/// The status that is true now.
pub fn compose(context: &Context, findings: &Findings, rest: AuthServiceStatus) -> AuthServiceStatus {
    let stored = context.stored_status();
    let servers: Vec<_> = workload::servers(context).collect();
    let ready =
        |p: &&&crate::key::Object| workload::condition(p, "Ready").is_some_and(|c| c["status"] == "True");
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut conditions = Conditions {
        context,
        list: Vec::new(),
    };
    summary(findings, &mut conditions);
    let mut open = true;
    for (kind, gate) in &findings.gates {
        match gate {
            Gate::Open { message } => conditions.set(*kind, "True", Reason::Succeeded, message),
            Gate::Waived {
                refuted,
                reason,
                message,
            } => {
                let status = if *refuted { "False" } else { "Unknown" };
                conditions.set(*kind, status, *reason, message);
            }
            Gate::Closed { reason, message } if open || *reason != Reason::WaitingForEarlierPhase => {
                conditions.set(*kind, "False", *reason, message);
            }
            Gate::Closed { .. } => {
                conditions.set(
                    *kind,
                    "Unknown",
                    Reason::WaitingForEarlierPhase,
                    "An earlier phase has to finish first.",
                );
            }
        }
        open &= gate.is_open();
    }
    fit(AuthServiceStatus {
        observed_generation: context.service.metadata.generation,
        replicas: count(servers.len()),
        ready_replicas: count(servers.iter().filter(ready).count()),
        selector: selector(context.names.service()),
        conditions: conditions.list,
        urls: Some(hosts::urls(context.spec())),
        released: findings.released.map_or_else(
            // A release whose record isn't seen was one all the same.
            || stored.and_then(|s| s.released.clone()),
            |r| {
                Some(RevisionStatus {
                    revision: r.digest.clone(),
                    image: r.spec.image.clone(),
                    number: Some(revision::highest(context)).filter(|n| *n > 0),
                })
            },
        ),
        candidate: candidate(context, findings),
        runs: if rest.runs.is_empty() {
            stored.map(|s| s.runs.clone()).unwrap_or_default()
        } else {
            rest.runs
        },
        ..rest
    })
}

/// Evidence gives way until the status fits: first what is said of the last replicas, then the replicas themselves. Those
/// that don't agree stand first, and counts stay true.
fn fit(mut status: AuthServiceStatus) -> AuthServiceStatus {
    let large = |s: &AuthServiceStatus| serde_json::to_vec(s).is_ok_and(|json| json.len() > STATUS_LIMIT);
    let listed = status.consistency.as_ref().map_or(0, |c| c.replicas.len());
    for index in (1..listed).rev() {
        if !large(&status) {
            return status;
        }
        status
            .consistency
            .iter_mut()
            .for_each(|c| c.replicas[index].message.clear());
    }
    while large(&status) && status.consistency.iter_mut().any(|c| c.replicas.pop().is_some()) {}
    status
}

fn selector(service: &str) -> String {
    labels::selector(service, Role::Server)
        .into_iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn candidate(context: &Context, findings: &Findings) -> Option<Candidate> {
    let declared = findings.declared;
    if findings.released.is_some_and(|r| r.digest == declared.digest) {
        return None;
    }
    let (state, reason, message) = match &findings.withdrawn {
        Some((reason, message)) => (
            CandidateState::Withdrawn,
            reason.as_str().to_owned(),
            bounded(message),
        ),
        None if context.cutover().cause.is_some() => (
            CandidateState::CuttingOver,
            context.cutover().cause.map_or("", Reason::as_str).to_owned(),
            String::new(),
        ),
        None if findings.rolling => (CandidateState::RollingOut, String::new(), String::new()),
        None => (CandidateState::Preparing, String::new(), String::new()),
    };
    Some(Candidate {
        revision: declared.digest.clone(),
        image: declared.spec.image.clone(),
        state,
        message,
        reason,
        retry: context.annotation(ANNOTATION_RETRY).to_owned(),
    })
}

/// Ready, Reconciling, Stalled.
fn summary(findings: &Findings, conditions: &mut Conditions) {
    let closed = findings.gates.iter().find_map(|(_, gate)| match gate {
        Gate::Open { .. } | Gate::Waived { .. } => None,
        Gate::Closed { reason, message } => Some((*reason, message.clone())),
    });
    let withdrawn = findings.withdrawn.as_ref().map(|(reason, message)| {
        let text = format!(
            "The declared revision failed ({}); {} {message}",
            reason.as_str(),
            match findings.released {
                Some(released) => format!("{} serves on.", released.digest),
                None => "nothing is released.".into(),
            }
        );
        (Reason::CandidateWithdrawn, text)
    });
    match findings.obstacle.clone().or(withdrawn).or(closed) {
        None => {
            conditions.set(
                ConditionType::Ready,
                "True",
                Reason::AsDeclared,
                "Every replica agrees and takes traffic.",
            );
            conditions.set(ConditionType::Reconciling, "False", Reason::AsDeclared, "");
            conditions.set(ConditionType::Stalled, "False", Reason::AsDeclared, "");
        }
        Some((reason, message)) => {
            let (reconciling, stalled) = if reason.needs_person() {
                ("False", "True")
            } else {
                ("True", "False")
            };
            conditions.set(ConditionType::Ready, "False", reason, &message);
            conditions.set(ConditionType::Reconciling, reconciling, reason, "");
            conditions.set(ConditionType::Stalled, stalled, reason, "");
        }
    }
}

/// Conditions under construction.
struct Conditions<'c, 'a> {
    context: &'c Context<'a>,
    list: Vec<Condition>,
}

impl Conditions<'_, '_> {
    fn set(&mut self, kind: ConditionType, status: &str, reason: Reason, message: &str) {
        let before = self
            .context
            .stored_status()
            .and_then(|s| s.conditions.iter().find(|c| c.type_ == kind.as_str()))
            .filter(|c| c.status == status);
        self.list.push(Condition {
            type_: kind.as_str().into(),
            status: status.into(),
            reason: reason.as_str().into(),
            message: bounded(message),
            observed_generation: self.context.service.metadata.generation,
            last_transition_time: before.map_or(Time(self.context.observed.now), |c| {
                c.last_transition_time.clone()
            }),
        });
    }
}

/// The conditions that sum up the others.
const SUMMARY: [&str; 3] = [
    ConditionType::Ready.as_str(),
    ConditionType::Reconciling.as_str(),
    ConditionType::Stalled.as_str(),
];

/// News: each condition whose reason is another than the stored one, except for what says nothing.
pub fn news(context: &Context, status: &AuthServiceStatus) -> Vec<Event> {
    let stored = context
        .stored_status()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    ConditionType::ALL
        .into_iter()
        .filter(|kind| *kind == ConditionType::Ready || !SUMMARY.contains(&kind.as_str()))
        .filter_map(|kind| {
            let condition = status.conditions.iter().find(|c| c.type_ == kind.as_str())?;
            let before = stored.iter().find(|c| c.type_ == kind.as_str());
            let reason = Reason::ALL
                .iter()
                .copied()
                .find(|r| r.as_str() == condition.reason)?;
            let known = before.is_some_and(|b| b.reason == condition.reason);
            let passing = matches!(reason, Reason::WaitingForEarlierPhase | Reason::LedgerUnreadable);
            // What a phase says needn't be said of the whole.
            let echo = kind == ConditionType::Ready
                && status.conditions.iter().any(|c| {
                    c.reason == condition.reason
                        && c.status == "False"
                        && !SUMMARY.contains(&c.type_.as_str())
                });
            let silent = known || passing || echo;
            (!silent).then(|| Event {
                warning: reason.needs_person()
                    || matches!(
                        reason,
                        Reason::ReplicasDiverge
                            | Reason::ServingOne
                            | Reason::ProbeBlocked
                            | Reason::VerificationBroken
                    ),
                phase: kind,
                reason,
                message: condition.message.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_at_a_character() {
        let long = "ä".repeat(400);
        let cut = bounded(&long);
        assert!(cut.len() <= MESSAGE_LIMIT && cut.ends_with('…'), "{}", cut.len());
        assert_eq!(bounded("two\n lines"), "two lines");
    }
}
