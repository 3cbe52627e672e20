//! State inside one pod that its workers don't share: one pod answers both ways to the same artifact.
//!
//! One request after the other mostly reaches the same worker; several at once don't. No witness is needed.

use accord_crds::{PodReason, Verdict};

use super::evidence::stored;
use super::{Action, Artifact, Conventions, Finding, Meaning, Observations, Role, Step};

use Artifact::{Access, Session};

/// The steps of this kind at the subject.
fn own(seen: &Observations, action: Action) -> impl Iterator<Item = &Step> {
    let home = |s: &&Step| s.at == Role::Subject && s.of == Role::Subject;
    seen.steps.iter().filter(home).filter(move |s| s.action == action)
}

/// How many of the checks at once were accepted, and of how many; `None` where all answers are the same.
fn mixed(seen: &Observations, artifact: Artifact) -> Option<(usize, usize)> {
    // One that was only late has nothing to do with workers.
    if seen.late.contains(&Role::Subject) {
        return None;
    }
    let count = |meaning: Meaning| {
        own(seen, Action::AtOnce(artifact))
            .filter(|s| s.meaning == meaning)
            .count()
    };
    let accepted = count(Meaning::Accepted);
    let first = own(seen, Action::Own(artifact)).next().map(|s| s.meaning);
    // Refused at first and then always accepted: whatever it is, it heals, and workers don't.
    let both = accepted > 0 && count(Meaning::Rejected) > 0
        || accepted == 0 && count(Meaning::Rejected) > 0 && first == Some(Meaning::Accepted);
    both.then(|| (accepted, own(seen, Action::AtOnce(artifact)).count()))
}

/// Refused at first, and accepted by every one of several checks at once.
pub(super) fn heals(seen: &Observations) -> bool {
    seen.late.contains(&Role::Subject)
        || [Session, Access].into_iter().any(|artifact| {
            let refused = own(seen, Action::Own(artifact)).any(|s| s.meaning == Meaning::Rejected);
            let mut after = own(seen, Action::AtOnce(artifact)).peekable();
            refused && after.peek().is_some() && after.all(|s| s.meaning == Meaning::Accepted)
        })
}

/// Some connections honour what the pod issued, and others don't.
pub(super) fn state_of_workers(seen: &Observations) -> Option<Finding> {
    let (session, access) = (mixed(seen, Session), mixed(seen, Access));
    let (artifact, (accepted, all)) = session
        .map(|n| (Session, n))
        .or_else(|| access.map(|n| (Access, n)))?;
    let evidence = format!(
        "{}, given its own {} over {all} new connections, accepted it on {accepted} of {all}: workers within the pod have \
         state of their own",
        seen.subject,
        artifact.noun()
    );
    let causes = causes(seen, session.is_some(), access.is_some());
    Some(Finding::one_of(Verdict::Diverges, &causes, evidence))
}

/// Ended, and some connections honour it still: what was ended is remembered by one worker.
pub(super) fn ended_for_some(seen: &Observations) -> Option<Finding> {
    [Session, Access].into_iter().find_map(|artifact| {
        let count = |meaning: Meaning| {
            let replays = own(seen, Action::Replay(artifact));
            replays.filter(|s| s.meaning == meaning).count()
        };
        let (accepted, refused) = (count(Meaning::Accepted), count(Meaning::Rejected));
        (accepted > 0 && refused > 0).then(|| {
            let all = accepted + refused;
            let evidence = format!(
                "{}, given its own {} after logout over {all} new connections, accepted it on {accepted} of {all}: workers \
                 within the pod have state of their own",
                seen.subject,
                artifact.noun()
            );
            Finding::diverges(PodReason::LocalRevocation, evidence)
        })
    })
}

/// Sessions in each worker's memory, or a key that each worker makes when it starts.
fn causes(seen: &Observations, session: bool, access: bool) -> Vec<PodReason> {
    use PodReason::{KeyMismatch, LocalSession};
    let django = seen.conventions == Conventions::Django;
    match (session, access) {
        (true, false) if seen.signed_cookie => vec![KeyMismatch],
        // A token beside it is honoured by all: they share the key.
        (true, false) if own(seen, Action::Own(Access)).next().is_some() => vec![LocalSession],
        // Else a key can't be told from a memory, where one is involved.
        (true, false) if !django && !seen.signature => vec![LocalSession],
        (true, false) if stored(seen) == Some(true) => vec![KeyMismatch],
        (_, true) if seen.key == Some(true) || seen.token.is_none() => vec![LocalSession],
        // Django's sessions and SimpleJWT's tokens share one thing: the key.
        (true, true) if django => vec![KeyMismatch],
        _ => vec![LocalSession, KeyMismatch],
    }
}

/// Under several requests at once the pod fails where one alone succeeds.
pub(super) fn fails_at_once(seen: &Observations) -> Option<Finding> {
    let [session, access] = [Session, Access]
        .map(|artifact| own(seen, Action::AtOnce(artifact)).find(|s| s.meaning != Meaning::Accepted));
    let step = session.or(access)?;
    if seen.late.contains(&Role::Subject) {
        let evidence = format!(
            "{}, and a moment later accepted it every time",
            super::evidence::told(seen, step)
        );
        let causes = [PodReason::StaleReplica, PodReason::LocalSession];
        return Some(Finding::one_of(Verdict::Unknown, &causes, evidence));
    }
    let reason = match step.meaning {
        Meaning::ServerError => PodReason::ServerError,
        _ => PodReason::RecipeMismatch,
    };
    Some(Finding::unknown(reason, super::evidence::told(seen, step)))
}
