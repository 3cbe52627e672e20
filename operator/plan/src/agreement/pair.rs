//! What the pair shows once both are sound by themselves: whether either honours what the other issues.

use accord_crds::{PodReason, Verdict};

use super::evidence::{clock_skew, database, stored, told};
use super::{Action, Artifact, Conventions, Finding, Meaning, Observations, Role, Step};

use Artifact::{Access, Session};
use Role::{Subject, Witness};

/// The peer refused an artifact: in which direction doesn't tell the cause, so the first one is told.
fn refused(seen: &Observations, artifact: Artifact) -> Option<&Step> {
    seen.steps.iter().find(|s| {
        s.action == Action::Cross(artifact) && matches!(s.meaning, Meaning::Rejected | Meaning::Unexpected)
            // The witness is sound: what breaks it is what it was given.
            || s.action == Action::Cross(artifact) && s.at == Witness && s.meaning == Meaning::ServerError
    })
}

/// Each peer that was asked accepted it, and at least one was.
fn honoured(seen: &Observations, artifact: Artifact) -> bool {
    let mut asked = seen
        .steps
        .iter()
        .filter(|s| s.action == Action::Cross(artifact))
        .peekable();
    asked.peek().is_some() && asked.all(|s| s.meaning == Meaning::Accepted)
}

/// A login at the subject is what makes it honour what the witness issues: it knows only who has logged in there.
pub(super) fn knows_who_logged_in(seen: &Observations) -> Option<Finding> {
    let accepted = |s: &&Step| matches!(s.action, Action::SinceLogin(_)) && s.meaning == Meaning::Accepted;
    let since = seen.steps.iter().find(accepted)?;
    let Action::SinceLogin(artifact) = since.action else {
        return None;
    };
    let before = seen.step(Action::Cross(artifact), Subject, Witness)?;
    let mut causes = vec![PodReason::LocalSession];
    if database(seen) != Some(true) {
        causes.push(PodReason::LocalDatabase);
    }
    let evidence = format!(
        "{}; after the canary had logged in at {} too it accepted one: it knows only who has logged in there",
        told(seen, before),
        seen.subject
    );
    Some(Finding::one_of(Verdict::Diverges, &causes, evidence))
}

/// Refused by the subject, and accepted some moments later: what the two share reaches it late.
pub(super) fn only_late(seen: &Observations) -> Option<Finding> {
    let step = refused(seen, Session).or_else(|| refused(seen, Access))?;
    // The other direction is another matter.
    let late = seen.late.contains(&Witness) && (step.at, step.of) == (Subject, Witness);
    let causes = [PodReason::StaleReplica, PodReason::LocalSession];
    late.then(|| {
        let evidence = format!("{}, and a moment later accepted it every time", told(seen, step));
        Finding::one_of(Verdict::Unknown, &causes, evidence)
    })
}

/// X: a session or a token of one is refused by the other.
pub(super) fn not_honoured(seen: &Observations) -> Option<Finding> {
    let broken = |s: &&Step| matches!(s.action, Action::Cross(_)) && s.meaning == Meaning::ServerError;
    if let Some(step) = seen.steps.iter().filter(|s| s.at == Subject).find(broken) {
        return Some(Finding::unknown(PodReason::ServerError, told(seen, step)));
    }
    let (session, access) = (refused(seen, Session), refused(seen, Access));
    let step = session.or(access)?;
    let mut evidence = told(seen, step);
    // Refused by the peer and from then on by its issuer too: the peer found the shared session, couldn't verify it
    // and threw it away. Both see one store, with different keys.
    if let Some(session) = session {
        let again = seen.meaning(Action::Again(Session), session.of, session.of);
        if again == Some(Meaning::Rejected) {
            evidence = format!("{evidence}, and then {} refused it too", seen.name(session.of));
            let mut causes = vec![PodReason::KeyMismatch];
            // Nor could it find the user of a session that it could read, or found another one.
            if !seen.signed_cookie && database(seen) != Some(true) {
                causes.push(PodReason::LocalDatabase);
            }
            // Nor does it keep what has run out by its clock.
            if outlived(seen) {
                causes.push(PodReason::ClockSkew);
            }
            evidence.push_str(&clocks(seen));
            return Some(Finding::one_of(Verdict::Diverges, &causes, evidence));
        }
    }
    if session.is_some() && access.is_some() {
        evidence.push_str("; the access token was refused likewise");
    }
    evidence.push_str(&clocks(seen));
    Some(Finding::one_of(
        Verdict::Diverges,
        &causes(seen, session.is_some(), access.is_some()),
        evidence,
    ))
}

/// How the clocks differ, in words; empty where they don't.
fn clocks(seen: &Observations) -> String {
    clock_skew(seen).map_or_else(String::new, |skew| {
        let (seconds, side) = (skew.abs(), if skew > 0 { "ahead of" } else { "behind" });
        let (subject, witness) = (seen.name(Subject), seen.name(Witness));
        format!("; the clock of {subject} is {seconds} s {side} that of {witness}")
    })
}

/// What a session lives at least, in seconds. Its end is in the store, by the clock of its issuer.
const SHORTEST_SESSION: i64 = 120;

/// The clocks differ by so much that a session which is kept in a store may have run out for one of them.
fn outlived(seen: &Observations) -> bool {
    clock_skew(seen).is_some_and(|skew| skew.abs() >= SHORTEST_SESSION)
}

/// What may be behind it, by what was refused and what is known beside.
fn causes(seen: &Observations, session: bool, access: bool) -> Vec<PodReason> {
    use PodReason::{ClockSkew, KeyMismatch, LocalDatabase, LocalSession, TokenFormat};
    // K: both sign with the declared ring.
    let same_key = seen.key == Some(true) && seen.witness_key != Some(false);
    // A token that stands in the session cookie is refused with it.
    let in_cookie = !seen.steps.iter().any(|s| s.action == Action::Own(Access));
    let issued = access || session && in_cookie;
    let token = access || issued && seen.token.is_some();
    if token && let Some((subject, witness)) = seen.token.as_ref().zip(seen.witness_token.as_ref()) {
        if subject.key_id != witness.key_id && !same_key {
            return vec![KeyMismatch];
        }
        if !subject.alike(witness) {
            return vec![TokenFormat];
        }
    }
    // One issues tokens that carry their contents, the other doesn't.
    if issued
        && seen.meaning(Action::Login, Witness, Witness) == Some(Meaning::Accepted)
        && seen.token.is_some() != seen.witness_token.is_some()
    {
        return vec![TokenFormat];
    }
    // What carries its own times is too early or too late for another clock; the key may be right.
    if clock_skew(seen).is_some() && (token || seen.signed_cookie) {
        return if same_key {
            vec![ClockSkew]
        } else {
            vec![ClockSkew, KeyMismatch]
        };
    }
    let mut causes = match (session, access) {
        // The token of the same login is honoured: keys and people are shared, the sessions aren't.
        (true, false) if honoured(seen, Access) => return vec![LocalSession],
        (false, true) if honoured(seen, Session) && !same_key => return vec![KeyMismatch],
        // No store is involved.
        (true, false) if seen.signed_cookie => vec![KeyMismatch],
        // The key is the declared one: what is left is whatever the peer looks up.
        (_, true) if same_key => vec![LocalSession],
        // R: the session is in the shared store, and the peer can't make anything of it.
        (true, _) if stored(seen) == Some(true) => vec![KeyMismatch],
        // C: of the two only the witness uses the shared cache.
        (true, _) if (seen.cache, seen.witness_cache) == (Some(false), Some(true)) => vec![LocalSession],
        // Django's sessions and SimpleJWT's tokens share one thing: the key.
        (true, true) if seen.conventions == Conventions::Django && seen.token.is_some() => vec![KeyMismatch],
        // The likelier first: a token that carries nothing is looked up.
        (false, _) if seen.token.is_some() => vec![KeyMismatch, LocalSession],
        _ => vec![LocalSession, KeyMismatch],
    };
    if session && outlived(seen) {
        causes.push(ClockSkew);
    }
    if database(seen) != Some(true) {
        causes.push(LocalDatabase);
    }
    causes
}

/// A: accepted by the peer, and then no longer by its issuer. One pod that answers both ways keeps state per worker.
pub(super) fn lost_after_the_peer(seen: &Observations) -> Option<Finding> {
    let step = seen
        .steps
        .iter()
        .find(|s| matches!(s.action, Action::Again(_)) && s.meaning != Meaning::Accepted)?;
    let evidence = format!("{}, after its peer had accepted it", told(seen, step));
    Some(match (step.meaning, step.at) {
        (_, Witness) => Finding::unknown(PodReason::Pending, evidence),
        (Meaning::ServerError, Subject) => Finding::unknown(PodReason::ServerError, evidence),
        (_, Subject) => Finding::one_of(
            Verdict::Unknown,
            &[PodReason::LocalSession, PodReason::RecipeMismatch],
            evidence,
        ),
    })
}

/// A refresh token is refused by the peer, or what the peer gives for it is refused at home.
pub(super) fn not_refreshed(seen: &Observations) -> Option<Finding> {
    let failed =
        |s: &&Step| matches!(s.action, Action::Refresh | Action::Refreshed) && s.meaning != Meaning::Accepted;
    let step = seen.steps.iter().find(failed)?;
    let evidence = told(seen, step);
    let crossed = step.at != step.of;
    let control = seen.meaning(Action::Refresh, step.of, step.of) == Some(Meaning::Accepted);
    if step.action == Action::Refreshed && crossed {
        // Whoever refuses it has issued it, and the other accepts it.
        return Some(if step.at == Witness {
            Finding::unknown(PodReason::Pending, evidence)
        } else {
            let causes = [PodReason::LocalSession, PodReason::KeyMismatch];
            Finding::one_of(Verdict::Diverges, &causes, evidence)
        });
    }
    if step.action == Action::Refreshed && seen.witness.is_some() {
        let causes = [PodReason::KeyMismatch, PodReason::TokenFormat];
        return Some(Finding::one_of(Verdict::Diverges, &causes, evidence));
    }
    if crossed && control {
        let mut causes = vec![PodReason::LocalSession];
        if database(seen) != Some(true) {
            causes.insert(0, PodReason::LocalDatabase);
        }
        let evidence = format!("{evidence}; {} honours it", seen.name(step.of));
        return Some(Finding::one_of(Verdict::Diverges, &causes, evidence));
    }
    let reason = match step.meaning {
        Meaning::ServerError => PodReason::ServerError,
        _ => PodReason::RecipeMismatch,
    };
    Some(Finding::unknown(reason, evidence))
}
