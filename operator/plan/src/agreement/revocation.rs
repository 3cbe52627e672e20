//! Whether what was ended on one replica is ended on all: V0 where it was ended, V1 at the other.

use accord_crds::{PodReason, Verdict};

use super::evidence::told;
use super::{Action, Artifact, Finding, Meaning, Observations, Role, Step};

/// Where the session of `of` was ended.
fn ended_at(seen: &Observations, of: Role) -> Option<Role> {
    let logout = |s: &&Step| s.action == Action::Logout && s.of == of && s.meaning == Meaning::Accepted;
    seen.steps.iter().find(logout).map(|s| s.at)
}

/// V0 and V1 of every artifact.
fn replays(seen: &Observations) -> impl Iterator<Item = (Artifact, &Step, Option<&Step>)> {
    [Role::Subject, Role::Witness]
        .into_iter()
        .filter_map(|of| Some((of, ended_at(seen, of)?)))
        .flat_map(move |(of, here)| {
            [Artifact::Session, Artifact::Access, Artifact::Refresh]
                .into_iter()
                .filter_map(move |artifact| {
                    let replay = Action::Replay(artifact);
                    let there = seen.step(replay, here.other(), of);
                    Some((artifact, seen.step(replay, here, of)?, there))
                })
        })
}

/// Logout itself doesn't work at the subject.
pub(super) fn logout_fails(seen: &Observations) -> Option<Finding> {
    let failed = |s: &&Step| s.action == Action::Logout && s.meaning != Meaning::Accepted;
    let step = seen.steps.iter().filter(|s| s.at == Role::Subject).find(failed)?;
    let reason = match step.meaning {
        Meaning::ServerError => PodReason::ServerError,
        _ => PodReason::RecipeMismatch,
    };
    Some(Finding::unknown(reason, told(seen, step)))
}

/// Refused where it was ended, and accepted by the other: the end didn't reach it.
pub(super) fn lives_on(seen: &Observations) -> Option<Finding> {
    replays(seen).find_map(|(artifact, v0, v1)| {
        let v1 = v1?;
        (v0.meaning == Meaning::Rejected && v1.meaning == Meaning::Accepted).then(|| {
            let evidence = format!(
                "{} refuses the {} after logout, {} accepts it",
                seen.name(v0.at),
                artifact.noun(),
                seen.name(v1.at)
            );
            Finding::diverges(PodReason::LocalRevocation, evidence)
        })
    })
}

/// Accepted even where it was ended, although the recipe declares that it isn't. It is the application's way on all
/// replicas, unless the witness refuses its own.
pub(super) fn not_as_declared(seen: &Observations) -> Option<Finding> {
    let declared = |artifact| match artifact {
        Artifact::Session => false,
        Artifact::Access => seen.after_logout.access_rejected,
        Artifact::Refresh => seen.after_logout.refresh_rejected,
    };
    replays(seen)
        .filter(|(artifact, ..)| declared(*artifact))
        .find_map(|(artifact, v0, _)| {
            if v0.at != Role::Subject || v0.meaning != Meaning::Accepted {
                return None;
            }
            let witness = seen.meaning(Action::Replay(artifact), Role::Witness, Role::Witness);
            let verdict = if witness == Some(Meaning::Rejected) {
                Verdict::Diverges
            } else {
                Verdict::Unknown
            };
            Some(Finding::new(verdict, PodReason::RecipeMismatch, told(seen, v0)))
        })
}

/// A session that can't be ended is a property of the application (signed cookies), not a divergence.
pub(super) fn not_revocable(seen: &Observations) -> bool {
    replays(seen).any(|(artifact, v0, _)| artifact == Artifact::Session && v0.meaning == Meaning::Accepted)
}
