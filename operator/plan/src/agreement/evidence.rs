//! What was seen, in words, and what the anchors say when they are weighed together.

use super::{Action, Meaning, Observations, Role, Step};

/// Anchor D of the subject. Where a witness that logged in wasn't seen either, addresses don't reach the database as
/// they are (address translation, a pooler), and it says nothing.
pub(super) fn database(seen: &Observations) -> Option<bool> {
    let witness_in = seen.meaning(Action::Login, Role::Witness, Role::Witness) == Some(Meaning::Accepted);
    if seen.witness_database == Some(false) && witness_in {
        None
    } else {
        seen.database
    }
}

/// Anchor R of the subject. Where the witness's session isn't found either, sessions aren't kept where it was declared, and
/// it says nothing; nor does it where a session is its own cookie.
pub(super) fn stored(seen: &Observations) -> Option<bool> {
    let elsewhere = seen.witness_stored == Some(false) || seen.signed_cookie;
    seen.stored.filter(|_| !elsewhere)
}

/// `Date` counts whole seconds, and answers take a while: what is less shows nothing.
const CLOCKS_DIFFER: i64 = 3;

/// How far the subject's clock is ahead of the witness's, in seconds, where they differ.
pub(super) fn clock_skew(seen: &Observations) -> Option<i64> {
    let (clock, witness) = seen.clock.zip(seen.witness_clock)?;
    Some(clock - witness).filter(|skew| skew.abs() >= CLOCKS_DIFFER)
}

/// One step in words: what was asked of whom, and what came.
pub(super) fn told(seen: &Observations, step: &Step) -> String {
    let (at, of) = (seen.name(step.at), seen.name(step.of));
    let asked = match step.action {
        Action::NoCredential => format!("{at}, asked without a credential,"),
        Action::WrongPassword => format!("{at}, given a wrong password,"),
        Action::Stranger => format!("{at}, at the login of somebody whom nobody knows,"),
        Action::Tampered(artifact) => format!("{at}, given a tampered {},", artifact.noun()),
        Action::Csrf => format!("{at}, asked for a CSRF token,"),
        Action::Login => format!("{at}, at the canary's login,"),
        Action::Own(artifact) | Action::Again(artifact) if step.at == step.of => {
            format!("{at}, given its own {},", artifact.noun())
        }
        Action::AtOnce(artifact) => format!(
            "{at}, given its own {} on several connections at once,",
            artifact.noun()
        ),
        Action::SinceLogin(artifact) => {
            format!(
                "{at}, given the {} of {of} after a login of its own,",
                artifact.noun()
            )
        }
        Action::Own(artifact) | Action::Cross(artifact) | Action::Again(artifact) => {
            format!("{at}, given the {} of {of},", artifact.noun())
        }
        Action::Refresh => format!("{at}, at the refresh of a token of {of},"),
        Action::Refreshed => format!("{at}, given the refreshed access token of {of},"),
        Action::Logout => format!("{at}, at logout,"),
        Action::ChangePassword => format!("{at}, asked to change the canary's password,"),
        Action::OldPassword => format!("{at}, given the password as it was before a change,"),
        Action::NewPassword => format!("{at}, given the changed password,"),
        Action::RestorePassword => format!("{at}, asked to change the canary's password back,"),
        Action::LeftPassword => format!("{at}, given a password that an earlier exchange may have left,"),
        Action::Replay(artifact) => format!("{at}, given the {} after logout,", artifact.noun()),
    };
    format!("{asked} {}", answered(step))
}

/// What came.
pub(super) fn answered(step: &Step) -> String {
    let status = step.status.map_or_else(String::new, |s| format!(" {s}"));
    let detail = if step.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", step.detail)
    };
    match step.meaning {
        Meaning::Accepted => format!("accepted it{status}{detail}"),
        Meaning::Rejected
        | Meaning::Unexpected
        | Meaning::ServerError
        | Meaning::Redirected
        | Meaning::OtherIdentity
        | Meaning::Throttled => format!("answered{status}{detail}"),
        Meaning::Unreachable => format!("couldn't be reached{detail}"),
        Meaning::TimedOut => "didn't answer within the limit".into(),
    }
}

/// At most so many bytes, cut between characters.
pub(super) fn limited(mut text: String, bytes: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes - MARK.len())
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.truncate(end);
    text.push_str(MARK);
    text
}
