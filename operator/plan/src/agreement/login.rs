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
    if matches!(login.status, Some(400..=499)) && is_about(login, FORGERY) {
        let evidence = told(seen, login);
        let evidence =
            format!("{evidence}; it wants a token against forged requests, and got none that it takes");
        return Some(Finding::unknown(PodReason::RecipeMismatch, evidence));
    }
    let door = match login.status {
        Some(400 | 401) if is_about(login, NOT_THE_ACCOUNT) => true,
        Some(400) => is_about(login, &["bad request (400)", "disallowedhost", "invalid host"]),
        // No such path, method or encoding.
        Some(404 | 405 | 415) => true,
        // A success that lacks what the recipe promises. Where the witness keeps the promise it is a refusal, and so is a form
        // that is shown again.
        Some(200..=299) => {
            login.meaning == Meaning::Unexpected
                && seen.meaning(Action::Login, Witness, Witness) != Some(Meaning::Accepted)
        }
        _ => false,
    };
    if door {
        return Some(Finding::unknown(PodReason::RecipeMismatch, told(seen, login)));
    }
    // Sent on, and without what the recipe promises: the recipe has another name for it, or that is the refusal.
    let sent_on = matches!(login.status, Some(300..=399)) && login.meaning == Meaning::Unexpected;
    let alone = seen.meaning(Action::Login, Witness, Witness) != Some(Meaning::Accepted);
    (sent_on && alone && database(seen) != Some(false)).then(|| {
        let mut causes = vec![PodReason::RecipeMismatch, PodReason::CanaryMissing];
        if database(seen).is_none() {
            causes.push(PodReason::LocalDatabase);
        }
        Finding::one_of(Verdict::Unknown, &causes, told(seen, login))
    })
}

/// Errors of OAuth (RFC 6749, section 5.2) that are about the request or its client, and not about who logs in.
const NOT_THE_ACCOUNT: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// What protection against forged requests says, in whatever status: Django's, Flask-WTF's, Express', Rails', Laravel's.
const FORGERY: &[&str] = &[
    "csrf",
    "xsrf",
    "origin checking",
    "origin is not trusted",
    "authenticity token",
    "authenticitytoken",
    "page expired",
];

/// One of the words, which are in small letters.
fn is_about(step: &Step, words: &[&str]) -> bool {
    let detail = step.detail.to_lowercase();
    words.iter().any(|w| detail.contains(w))
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
    (!one.same_but_for_the_key(other)).then(|| {
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
        if answers_alike(seen) && database(seen) != Some(true) {
            causes.push(PodReason::LocalDatabase);
        }
        let evidence = format!("{evidence}; {} honours its own", seen.name(Witness));
        return Some(Finding::one_of(Verdict::Diverges, &causes, evidence));
    }
    let mut causes = vec![PodReason::RecipeMismatch, PodReason::LocalSession];
    if answers_alike(seen) {
        causes.push(PodReason::CanaryMissing);
        if database(seen) != Some(true) {
            causes.push(PodReason::LocalDatabase);
        }
    }
    Some(Finding::one_of(Verdict::Unknown, &causes, evidence))
}

/// The status of the login doesn't say whether anybody was let in: a form sends people on, with a session of nobody, also
/// where it refuses them, and a wrong password may be answered with the same status in other ways.
fn answers_alike(seen: &Observations) -> bool {
    let status = |action| seen.step(action, Subject, Subject).and_then(|step| step.status);
    let login = status(Action::Login);
    matches!(login, Some(300..=399)) || login.is_some() && login == status(Action::WrongPassword)
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
