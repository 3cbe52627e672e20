//! What follows from verdicts: which readiness gates open and close, and which replica is evicted.
//!
//! Divergence takes a replica out of traffic only while enough proved ones are left; silence takes out nobody. A closed
//! gate keeps new connections away, not those that are open: so a replica that stays isolated is evicted.

use std::time::Duration;

use accord_crds::meta::{GATE_ALONE, GATE_SUPERSEDED, GATE_UNPROVED};
use accord_crds::spec::{OnUnverifiable, Verification, WhenNoneAgree};
use accord_crds::{ConditionType, PodReason, Reason};
use jiff::SignedDuration;

use crate::context::Context;
use crate::outcome::{Action, Event, GatePatch};
use crate::phases::cutover;
use crate::phases::standing::{Standing, binding_message};
use crate::phases::workload::{all_servers, has_started};
use crate::status::bounded;

/// How long a replica is isolated before it is evicted, in seconds, unless declared.
const REPLACE_AFTER: i64 = 300;

/// What the declaration says about it. Policy is today's: it makes no revision.
struct Policy {
    min_available: usize,
    replace_after: SignedDuration,
    serves_one: bool,
    admits: bool,
}

impl Policy {
    fn of(context: &Context) -> Self {
        let declared = context.spec().verification.clone().unwrap_or_default();
        let Verification {
            isolation,
            when_none_agree,
            on_unverifiable,
            recipe: _,
            canary: _,
            interval_seconds: _,
            edge: _,
        } = declared;
        let isolation = isolation.unwrap_or_default();
        let least = isolation.min_available.and_then(|n| usize::try_from(n).ok());
        let seconds = isolation.replace_after_seconds.map_or(REPLACE_AFTER, i64::from);
        Self {
            // Whatever is declared, the last one stays.
            min_available: least.unwrap_or(1).max(1),
            replace_after: SignedDuration::from_secs(seconds),
            serves_one: when_none_agree == Some(WhenNoneAgree::ServeOne),
            admits: on_unverifiable == Some(OnUnverifiable::Admit),
        }
    }
}

/// True when there is nothing to share: one replica with its own state agrees with itself.
pub fn alone(context: &Context) -> bool {
    context.spec().database.is_none()
}

/// The replica that alone takes traffic: the oldest, when every one was examined, none agrees, and the declaration asks
/// for it.
pub fn sole<'s, 'a>(context: &Context, standings: &'s [Standing<'a>]) -> Option<&'s Standing<'a>> {
    let selected = || standings.iter().filter(|s| s.selected);
    let all_there = i32::try_from(selected().count()).is_ok_and(|n| n >= context.spec().replicas);
    let none_agrees = all_there && selected().all(Standing::diverges);
    let oldest = selected().min_by_key(|s| {
        let created = s.pod.value["metadata"]["creationTimestamp"].as_str();
        (created.unwrap_or_default(), s.pod.key.name.as_str())
    })?;
    (none_agrees && context.spec().replicas > 0 && Policy::of(context).serves_one).then_some(oldest)
}

/// A gate that is to change: open or not, reason, message.
type Change = (bool, String, String);

/// The readiness gates that are to change.
pub fn gates(context: &Context) -> Vec<GatePatch> {
    let policy = Policy::of(context);
    let standings = context.standings();
    let sole = sole(context, standings);
    // Who isn't behind the Service is no help to users.
    let relied_upon = standings.iter().filter(|s| s.selected && s.stays());
    let enough = relied_upon.count() >= policy.min_available;
    let newcomers_open = cutover::may_open(context, standings);
    let successors = standings.iter().filter(|s| !s.superseded && s.stays());
    let succeeded = successors.count() >= policy.min_available;
    let change = |s: &Standing| -> Option<Change> {
        let opened = |reason: &str| Some((true, reason.to_owned(), binding_message(&s.containers)));
        if s.superseded && (s.is_admitted() || !s.is_open()) {
            let message = "Another revision takes the traffic.";
            let goes = s.is_open() && (succeeded || !s.selected);
            return goes.then(|| (false, GATE_SUPERSEDED.to_owned(), message.to_owned()));
        }
        let agrees = s.verdict() == Some(accord_crds::Verdict::Agrees);
        // All at once, when the Service is kept away from them.
        if s.newcomer && !s.is_open() {
            let opens = agrees && newcomers_open;
            return opens.then(|| opened(PodReason::Verified.as_str())).flatten();
        }
        if agrees || (alone(context) && has_started(s.pod)) {
            return (!s.is_bound())
                .then(|| opened(PodReason::Verified.as_str()))
                .flatten();
        }
        if s.is_open() && !s.is_admitted() {
            let gone = "The container that was proved runs no more.";
            return Some((false, PodReason::Pending.as_str().to_owned(), gone.to_owned()));
        }
        if s.is_unverifiable() && policy.admits && !s.is_open() {
            return opened(GATE_UNPROVED);
        }
        let proof = s.proof.filter(|_| s.diverges())?;
        let closed = || Some((false, proof.reason.as_str().to_owned(), proof.message.clone()));
        match sole {
            Some(sole) if sole.pod.uid() == s.pod.uid() => (!s.is_admitted() || s.is_bound())
                .then(|| opened(GATE_ALONE))
                .flatten(),
            // Never nobody: the others go once that one is there.
            Some(sole) => (s.is_open() && sole.serves()).then(closed).flatten(),
            None => (s.is_open() && enough).then(closed).flatten(),
        }
    };
    let patched = |s: &Standing| {
        let (open, reason, message) = change(s)?;
        Some(GatePatch {
            pod: s.pod.key.name.clone(),
            uid: s.pod.uid().to_owned(),
            open,
            reason,
            message: bounded(&message),
        })
    };
    standings.iter().filter_map(patched).collect()
}

/// What is to be told of gates that change.
pub fn news(gates: &[GatePatch]) -> Vec<Event> {
    let told = |patch: &GatePatch| {
        let GatePatch {
            pod, reason, message, ..
        } = patch;
        let (reason, message) = match patch.open {
            false if reason != PodReason::Pending.as_str() && reason != GATE_SUPERSEDED => (
                Reason::ReplicaIsolated,
                format!("Pod {pod} gets no new connections: {reason}: {message}"),
            ),
            true if reason == GATE_UNPROVED => (
                Reason::ReplicaAdmitted,
                format!("Pod {pod} can't be verified and takes traffic unproved (onUnverifiable: Admit)."),
            ),
            _ => return None,
        };
        Some(warning(reason, &message))
    };
    gates.iter().filter_map(told).collect()
}

fn warning(reason: Reason, message: &str) -> Event {
    Event {
        warning: true,
        phase: ConditionType::ReplicasAgree,
        reason,
        message: bounded(message),
    }
}

/// The replica that is to be evicted now, or when one will be.
#[derive(Debug, Default)]
pub struct Eviction {
    /// The write.
    pub action: Option<Action>,
    /// What is told of it.
    pub event: Option<Event>,
    /// When the next one is due, if nothing happens before.
    pub due: Option<Duration>,
}

/// Evicts the replica that has been isolated longest, if it is time: one at a time, never the last.
pub fn eviction(context: &Context) -> Eviction {
    let policy = Policy::of(context);
    let standings = context.standings();
    let longest = standings
        .iter()
        .filter_map(|s| Some((s.isolated_since()?, &s.pod.key.name, s)))
        .min_by_key(|(since, name, _)| (*since, *name));
    let Some((since, name, isolated)) = longest else {
        return Eviction::default();
    };
    let left = policy.replace_after - context.observed.now.duration_since(since);
    if let Ok(due) = Duration::try_from(left)
        && !due.is_zero()
    {
        return Eviction {
            due: Some(due),
            ..Eviction::default()
        };
    }
    // The one before has to be replaced, and its successor examined: it may have brought the fault with it.
    let all_there = i32::try_from(standings.len()).is_ok_and(|n| n >= context.spec().replicas);
    let calm = all_there
        && all_servers(context).all(|p| !p.is_deleting())
        && standings.iter().all(|s| s.is_admitted() || s.diverges());
    let enough = standings.iter().filter(|s| s.selected && s.stays()).count() >= policy.min_available;
    if !calm || !enough {
        return Eviction::default();
    }
    let reason = isolated.proof.map_or("", |p| p.reason.as_str());
    let seconds = policy.replace_after.as_secs();
    Eviction {
        action: Some(Action::Evict {
            pod: name.clone(),
            uid: isolated.pod.uid().to_owned(),
        }),
        event: Some(warning(
            Reason::ReplicaEvicted,
            &format!(
                "Pod {name} has been isolated for {seconds} s and still diverges ({reason}): it is evicted, to be replaced."
            ),
        )),
        due: None,
    }
}
