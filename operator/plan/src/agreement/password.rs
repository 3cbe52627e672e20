//! Whether a change of password takes effect at both at once: changed at the witness, then tried at either.

use accord_crds::PodReason;

use super::evidence::told;
use super::{Action, Finding, Meaning, Observations, Role, Step};

use Meaning::{Accepted, Rejected};
use Role::{Subject, Witness};

/// A login with one of the passwords of the change.
fn login(seen: &Observations, action: Action, at: Role) -> Option<&Step> {
    seen.step(action, at, at)
}

fn means(seen: &Observations, action: Action, at: Role) -> Option<Meaning> {
    login(seen, action, at).map(|s| s.meaning)
}

/// The declared password is refused, and the one that an earlier exchange gave the canary for a moment is accepted.
///
/// Where the witness takes the declared one, the account has it, and the subject still believes what was so before.
/// Otherwise the account was left with it, and couldn't be given its own back: no replica's fault.
pub(super) fn left_behind(seen: &Observations) -> Option<Finding> {
    let declared = seen.meaning(Action::Login, Subject, Subject)?;
    if declared == Accepted || means(seen, Action::LeftPassword, Subject) != Some(Accepted) {
        return None;
    }
    Some(
        if seen.meaning(Action::Login, Witness, Witness) == Some(Accepted) {
            let evidence = format!(
                "{} refuses the canary's password and accepts one that was changed back before; {} has the right one",
                seen.subject,
                seen.name(Witness)
            );
            Finding::diverges(PodReason::StaleCache, evidence)
        } else {
            let evidence = format!(
                "The canary still has the password that an exchange gave it, and {} doesn't change it back",
                seen.subject
            );
            Finding::unknown(PodReason::CanaryMissing, evidence)
        },
    )
}

/// Changed at the witness: the old one lives on at the subject, or the new one isn't known there.
pub(super) fn stale_cache(seen: &Observations) -> Option<Finding> {
    let old = Action::OldPassword;
    let evidence =
        if (means(seen, old, Witness), means(seen, old, Subject)) == (Some(Rejected), Some(Accepted)) {
            format!(
                "The canary's password was changed at {}, which refuses the old one; {} accepts it",
                seen.name(Witness),
                seen.subject
            )
        } else {
            let new = Action::NewPassword;
            let refused = login(seen, new, Subject).filter(|s| s.meaning == Rejected)?;
            (means(seen, new, Witness) == Some(Accepted)).then(|| {
                format!(
                    "The canary's password was changed at {}, which accepts the new one; {}",
                    seen.name(Witness),
                    told(seen, refused)
                )
            })?
        };
    Some(Finding::diverges(PodReason::StaleCache, evidence))
}

/// The witness where the change was made goes on with the old password, and the subject doesn't: its affair.
pub(super) fn witness_is_stale(seen: &Observations) -> Option<Finding> {
    let old = Action::OldPassword;
    ((means(seen, old, Witness), means(seen, old, Subject)) == (Some(Accepted), Some(Rejected))).then(|| {
        let evidence = format!(
            "The canary's password was changed at the witness {}, which still accepts the old one, and {} doesn't: another \
             is asked",
            seen.name(Witness),
            seen.subject
        );
        Finding::unknown(PodReason::Pending, evidence)
    })
}

/// Changing, or logging in with what it was changed to, doesn't work as the recipe says.
pub(super) fn change_fails(seen: &Observations) -> Option<Finding> {
    let step = seen.steps.iter().find(|s| match s.action {
        Action::ChangePassword | Action::NewPassword | Action::RestorePassword => s.meaning != Accepted,
        Action::OldPassword => !matches!(s.meaning, Accepted | Rejected),
        _ => false,
    })?;
    let reason = match step.meaning {
        Meaning::ServerError => PodReason::ServerError,
        _ => PodReason::RecipeMismatch,
    };
    Some(Finding::unknown(reason, told(seen, step)))
}

/// What a completed change showed, for a replica that agrees.
pub(super) fn remark(seen: &Observations) -> Option<&'static str> {
    let old = Action::OldPassword;
    match (means(seen, old, Witness)?, means(seen, old, Subject)?) {
        // The same everywhere, so no replica differs from another.
        (Accepted, Accepted) => {
            Some("After a change of password the old one is accepted for a while, by both")
        }
        (Rejected, Rejected) => Some("A change of password takes effect at both at once"),
        _ => None,
    }
}
