//! When nothing can be concluded: no answer, a limit, or a witness that isn't sound itself. Never divergence.

use accord_crds::PodReason;

use super::evidence::{answered, told};
use super::{Action, Finding, Meaning, Observations, Role};

fn at_subject(seen: &Observations, meaning: Meaning, reason: PodReason) -> Option<Finding> {
    let step = seen
        .steps
        .iter()
        .find(|s| s.at == Role::Subject && s.meaning == meaning)?;
    Some(Finding::unknown(reason, told(seen, step)))
}

/// The prober can't reach the pod.
pub(super) fn blocked(seen: &Observations) -> Option<Finding> {
    at_subject(seen, Meaning::Unreachable, PodReason::ProbeBlocked)
}

/// The pod took the connection and didn't answer.
pub(super) fn slow(seen: &Observations) -> Option<Finding> {
    at_subject(seen, Meaning::TimedOut, PodReason::Slow)
}

/// The pod limits requests.
pub(super) fn rate_limited(seen: &Observations) -> Option<Finding> {
    at_subject(seen, Meaning::Throttled, PodReason::RateLimited)
}

/// Of the two only the subject is anchored: the witness has nothing to say about it.
pub(super) fn witness_is_not_anchored(seen: &Observations) -> Option<Finding> {
    let witness_in = seen.meaning(Action::Login, Role::Witness, Role::Witness) == Some(Meaning::Accepted);
    let anchors = [
        (
            "was seen connected to the declared database",
            seen.database,
            seen.witness_database,
        ),
        (
            "signs with a key of the declared ring",
            seen.key,
            seen.witness_key,
        ),
        (
            "keeps its session in the declared store",
            seen.stored,
            seen.witness_stored,
        ),
    ];
    let (what, ..) = anchors
        .into_iter()
        .find(|(_, subject, witness)| witness_in && (*subject, *witness) == (Some(true), Some(false)))?;
    let evidence = format!(
        "{} {what}, which isn't so for the witness {}: another is asked",
        seen.subject,
        seen.name(Role::Witness)
    );
    Some(Finding::unknown(PodReason::Pending, evidence))
}

/// The witness doesn't answer, or fails with what is its own before the subject has seen it: its affair.
pub(super) fn witness_fails(seen: &Observations) -> Option<Finding> {
    let step = seen.steps.iter().find(|s| {
        let silent = matches!(
            s.meaning,
            Meaning::Unreachable | Meaning::TimedOut | Meaning::Throttled
        );
        let own = s.of == Role::Witness
            && matches!(
                s.action,
                Action::Csrf | Action::Login | Action::Own(_) | Action::Logout
            );
        s.at == Role::Witness && (silent || (own && s.meaning != Meaning::Accepted))
    })?;
    let evidence = format!(
        "The witness {} failed in its own part and says nothing about {}: it {}; another is asked",
        seen.name(Role::Witness),
        seen.subject,
        answered(step)
    );
    Some(Finding::unknown(PodReason::Pending, evidence))
}
