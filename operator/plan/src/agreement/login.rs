//! What a pod shows by itself: the anchors L and D, the negative controls, and its own sessions.

use accord_crds::{PodReason, Verdict};

use super::evidence::{answered, database, stored, told};
use super::{Action, Finding, Meaning, Observations, Role, Step};

use Role::{Subject, Witness};

/// A wrong password, no credential or a tampered token opens the door.
pub(super) fn accepts_invalid(seen: &Observations) -> Option<Finding> {
    let step = seen.steps.iter().find(|s| {
        s.at == Subject
            && s.meaning == Meaning::Accepted
            && matches!(
                s.action,
                Action::NoCredential | Action::WrongPassword | Action::Tampered(_)
            )
    })?;
    Some(Finding::diverges(PodReason::AcceptsInvalid, told(seen, step)))
}

/// A redirect where the recipe expects an answer: it doesn't serve logins as declared. kubelet takes one for success.
pub(super) fn redirected(seen: &Observations) -> Option<Finding> {
    let step = seen
        .steps
        .iter()
        .find(|s| s.at == Subject && s.meaning == Meaning::Redirected)?;
    Some(Finding::diverges(PodReason::Redirected, told(seen, step)))
}

/// Refused before anybody was looked up: by the CSRF protection, by the list of allowed hosts, by a path that isn't
/// there. It says nothing about databases, although none was asked.
pub(super) fn turned_away_at_the_door(seen: &Observations) -> Option<Finding> {
    if let Some(csrf) = seen
        .step(Action::Csrf, Subject, Subject)
        .filter(|s| s.meaning != Meaning::Accepted)
    {
        let reason = match csrf.meaning {
            Meaning::ServerError => PodReason::ServerError,
            _ => PodReason::RecipeMismatch,
        };
        return Some(Finding::unknown(reason, told(seen, csrf)));
    }
    let login = refused_login(seen)?;
    let door = match login.status {
        Some(400) => is_about(login, &["Bad Request (400)", "DisallowedHost", "Invalid host"]),
        Some(403) => is_about(login, &["CSRF", "Origin checking", "origin is not trusted"]),
        // No such path, method or encoding.
        Some(404 | 405 | 415) => true,
        // A success that lacks what the recipe promises. Where the witness keeps the promise it is a refusal.
        Some(200..=299) => seen.meaning(Action::Login, Witness, Witness) != Some(Meaning::Accepted),
        _ => false,
    };
    door.then(|| Finding::unknown(PodReason::RecipeMismatch, told(seen, login)))
}

fn is_about(step: &Step, words: &[&str]) -> bool {
    words.iter().any(|w| step.detail.contains(w))
}

fn refused_login(seen: &Observations) -> Option<&Step> {
    seen.step(Action::Login, Subject, Subject)
        .filter(|s| s.meaning != Meaning::Accepted)
}

/// The canary can't log in. Where the pod looks people up decides: D.
pub(super) fn refused(seen: &Observations) -> Option<Finding> {
    let login = refused_login(seen)?;
    let error = login.meaning == Meaning::ServerError;
    // A witness that lets the canary in shows that it is in the declared database.
    let elsewhere = seen
        .step(Action::Login, Witness, Witness)
        .filter(|s| s.meaning == Meaning::Accepted);
    let mut evidence = told(seen, login);
    // Turned away before anybody was looked up, or by a database that isn't as it should be. A limit isolates nobody.
    if !error
        && database(seen) != Some(true)
        && let Some(control) = refuses_otherwise(seen, login)
    {
        evidence.push_str("; that isn't how this application refuses whom it doesn't know: ");
        evidence.push_str(&told(seen, control));
        return Some(Finding::one_of(
            Verdict::Unknown,
            &[
                PodReason::HostnameMismatch,
                PodReason::RateLimited,
                PodReason::LocalDatabase,
            ],
            evidence,
        ));
    }
    Some(match database(seen) {
        // An application on an empty database of its own answers 401, or 500 where it has no tables.
        Some(false) => {
            evidence.push_str(", and wasn't seen connected to the declared database meanwhile");
            Finding::diverges(PodReason::LocalDatabase, evidence)
        }
        Some(true) if error => Finding::unknown(PodReason::ServerError, evidence),
        Some(true) => {
            evidence.push_str(", although it was connected to the declared database");
            if elsewhere.is_some() {
                evidence.push_str("; the witness lets the canary in");
                Finding::one_of(
                    Verdict::Diverges,
                    &[PodReason::SchemaMismatch, PodReason::StaleReplica],
                    evidence,
                )
            } else {
                Finding::unknown(PodReason::CanaryMissing, evidence)
            }
        }
        None => match (elsewhere, error) {
            (Some(witness), false) => {
                evidence.push_str("; ");
                evidence.push_str(seen.name(witness.at));
                evidence.push_str(" lets the canary in");
                Finding::diverges(PodReason::LocalDatabase, evidence)
            }
            (_, true) => Finding::one_of(
                Verdict::Unknown,
                &[PodReason::LocalDatabase, PodReason::ServerError],
                evidence,
            ),
            (None, false) => Finding::one_of(
                Verdict::Unknown,
                &[PodReason::LocalDatabase, PodReason::CanaryMissing],
                evidence,
            ),
        },
    })
}

/// The witness's answer to a stranger, where it is another one than the canary got. A limit, a failure or silence there shows
/// nothing.
fn refuses_otherwise<'s>(seen: &'s Observations, login: &Step) -> Option<&'s Step> {
    let control = seen.step(Action::Stranger, Witness, Witness)?;
    let answers = matches!(
        control.meaning,
        Meaning::Rejected | Meaning::Unexpected | Meaning::Accepted
    );
    (answers && control.status != login.status).then_some(control)
}

/// Somebody else's name: to the subject's answer, or to a token that the subject issued.
pub(super) fn wrong_identity(seen: &Observations) -> Option<Finding> {
    let step = seen
        .steps
        .iter()
        .find(|s| s.meaning == Meaning::OtherIdentity && (s.at == Subject || s.of == Subject))?;
    let evidence = format!("{} as a user who isn't the canary", told(seen, step));
    Some(Finding::diverges(PodReason::WrongIdentity, evidence))
}

/// K: the token that the pod issued isn't signed with a key of the declared ring. One login is enough.
pub(super) fn signs_with_another_key(seen: &Observations) -> Option<Finding> {
    (seen.key == Some(false)).then(|| {
        let evidence = format!(
            "{}, at the canary's login, issued an access token that no key of the declared ring verifies",
            seen.subject
        );
        Finding::diverges(PodReason::KeyMismatch, evidence)
    })
}

/// One pod issues tokens of two shapes: code to fall back on. A key may change from one login to the next, claims don't.
pub(super) fn issues_two_shapes(seen: &Observations) -> Option<Finding> {
    let (one, other) = (seen.token.as_ref()?, seen.second_token.as_ref()?);
    ((&one.algorithm, &one.claims) != (&other.algorithm, &other.claims)).then(|| {
        let evidence = format!(
            "{} issued access tokens of two shapes at two logins",
            seen.subject
        );
        Finding::diverges(PodReason::TokenFormat, evidence)
    })
}

/// R: the pod accepts its session, and the declared store doesn't hold it: it is kept elsewhere.
pub(super) fn keeps_its_sessions(seen: &Observations) -> Option<Finding> {
    (stored(seen) == Some(false)).then(|| {
        let evidence = format!(
            "{} accepts the session that it made, and the declared store doesn't hold it",
            seen.subject
        );
        Finding::diverges(PodReason::LocalSession, evidence)
    })
}

/// The pod refuses what it issued a moment ago.
pub(super) fn forgets_its_own(seen: &Observations) -> Option<Finding> {
    let own = |s: &&Step| matches!(s.action, Action::Own(_)) && s.meaning != Meaning::Accepted;
    let step = seen
        .steps
        .iter()
        .filter(|s| s.at == Subject && s.of == Subject)
        .find(own)?;
    let evidence = told(seen, step);
    if step.meaning == Meaning::ServerError {
        return Some(Finding::unknown(PodReason::ServerError, evidence));
    }
    if step.meaning == Meaning::Rejected && super::within::heals(seen) {
        return Some(Finding::one_of(
            Verdict::Unknown,
            &[PodReason::StaleReplica, PodReason::LocalSession],
            format!("{evidence}, and a moment later accepted it every time"),
        ));
    }
    // A witness that does it right by the same recipe clears the recipe.
    let mut controls = seen
        .steps
        .iter()
        .filter(|s| s.at == Witness && s.of == Witness && matches!(s.action, Action::Own(_)))
        .peekable();
    if controls.peek().is_some() && controls.all(|s| s.meaning == Meaning::Accepted) {
        let mut causes = vec![PodReason::LocalSession];
        // A form may send people on, with a session of nobody, also when it didn't let them in.
        let sent_on = seen
            .step(Action::Login, Subject, Subject)
            .is_some_and(|login| matches!(login.status, Some(300..=399)));
        if sent_on && database(seen) != Some(true) {
            causes.push(PodReason::LocalDatabase);
        }
        let evidence = format!("{evidence}; {} honours its own", seen.name(Witness));
        return Some(Finding::one_of(Verdict::Diverges, &causes, evidence));
    }
    Some(Finding::one_of(
        Verdict::Unknown,
        &[PodReason::RecipeMismatch, PodReason::LocalSession],
        evidence,
    ))
}

/// The canary gets in, and the declared database saw nothing of it: a copy, seeded by the pod itself.
pub(super) fn not_in_the_database(seen: &Observations) -> Option<Finding> {
    let login = seen.step(Action::Login, Subject, Subject)?;
    (login.meaning == Meaning::Accepted && database(seen) == Some(false)).then(|| {
        let evidence = format!(
            "{}, at the canary's login, {} and wasn't seen connected to the declared database meanwhile",
            seen.subject,
            answered(login)
        );
        Finding::diverges(PodReason::LocalDatabase, evidence)
    })
}
