//! Cutover: from one revision to another that doesn't honour its sessions, without users who meet both.
//!
//! The Service is kept to the released revision by its selector while all pods of the declared one come up beside it and are
//! proved among themselves. Once all of them are ready, one write turns the selector over: no new connection reaches the
//! released revision after it, and none reached the declared one before. Gates alone couldn't do that, because kubelet takes
//! its time over each pod. Everything is read from what is there, so a restarted operator goes on where it was (ADR 8).

use accord_crds::Reason;
use accord_crds::Verdict;
use accord_crds::meta::{ANNOTATION_ACCEPT_INCOMPATIBLE, ANNOTATION_RETRY, GATE_AGREES, LABEL_REVISION};
use accord_crds::status::{Candidate, CandidateState};

use crate::agreement::{Basis, Grounds, Proof};
use crate::context::Context;
use crate::key::{Kind, Object};
use crate::phases::isolation::alone;
use crate::phases::standing::{Standing, proof};
use crate::phases::workload::{condition, runs, servers};
use crate::revision::{self, Revision};

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// None is meant.
    #[default]
    None,
    /// Pods of a third revision take traffic: they go first.
    Waiting,
    /// The pods of the declared revision are proved among themselves, beside those of the released one.
    Proving,
    /// Users are on the declared revision, and all its pods are gone at the moment: it stays theirs.
    Switched,
}

/// The state between two revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cutover {
    /// How far it is.
    pub stage: Stage,
    /// `Incompatible` (and accepted) or `ReleasedUnanchored`.
    pub cause: Option<Reason>,
    /// The revision that the Service is kept to.
    pub kept_to: Option<String>,
}

impl Cutover {
    /// True while revisions are examined apart.
    pub fn is_apart(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Proving)
    }

    /// True while nothing of a revision is rolled out: pods of others have to be out of traffic first, for their kubelets too.
    pub fn holds_back(&self, revision: &Revision) -> bool {
        let kept_to_another = self.kept_to.as_ref().is_some_and(|k| *k != revision.digest);
        self.stage == Stage::Waiting || self.stage == Stage::None && kept_to_another
    }

    /// True when a pod is behind the Service, once it is ready.
    pub fn selects(&self, pod: &Object) -> bool {
        self.kept_to.as_deref().is_none_or(|kept| runs(pod, kept))
    }

    /// True when a pod is neither to take traffic nor a witness any more.
    pub fn supersedes(&self, context: &Context, pod: &Object) -> bool {
        let declared = runs(pod, &context.declared().digest);
        let released = context.released().map(|r| runs(pod, &r.digest));
        match (self.stage, released) {
            // Also what was never released: it says nothing about what comes after it (ADR 5).
            (Stage::Switched, _) | (Stage::None, None) => !declared,
            (Stage::Proving, _) => !declared && released != Some(true),
            (Stage::Waiting, _) => false,
            (Stage::None, Some(_)) => !self.selects(pod),
        }
    }
}

/// The state as it is observed.
pub fn observe(context: &Context) -> Cutover {
    let selected = kept_to(context);
    let declared = &context.declared().digest;
    let meant = context
        .released()
        .filter(|r| r.digest != *declared && !alone(context))
        .and_then(|r| Some((&r.digest, cause(context, &r.digest, selected.as_deref())?)));
    let Some((released, cause)) = meant else {
        // A revision that nobody knows and of which nothing is ready would leave users with nothing.
        let known = |kept: &String| {
            context.released().is_some_and(|r| r.digest == *kept)
                || servers(context).any(|p| runs(p, kept) && is_ready(p))
        };
        return Cutover {
            kept_to: selected.filter(known),
            ..Cutover::default()
        };
    };
    let others_closed = || servers(context).all(|p| !is_open(p) || runs(p, released));
    let stage = match selected.as_deref() {
        Some(kept) if kept == declared => Stage::Switched,
        Some(kept) if kept == released => Stage::Proving,
        _ if others_closed() => Stage::Proving,
        _ => Stage::Waiting,
    };
    Cutover {
        stage,
        cause: Some(cause),
        kept_to: selected,
    }
}

/// Why the declared revision is to replace the released one without being honoured by it, if it is.
fn cause(context: &Context, released: &str, kept_to: Option<&str>) -> Option<Reason> {
    let declared = context.declared().digest.as_str();
    let status = context.stored_status().and_then(|s| s.candidate.as_ref());
    let stored = status.filter(|c| c.revision == declared);
    let because = |c: &&Candidate, reason: Reason| c.reason == reason.as_str();
    let begun = stored.filter(|c| c.state == CandidateState::CuttingOver);
    // Users are on it: nothing takes that back.
    if kept_to == Some(declared)
        && let Some(begun) = begun
    {
        let accepted = because(&begun, Reason::Incompatible);
        return Some(if accepted {
            Reason::Incompatible
        } else {
            Reason::ReleasedUnanchored
        });
    }
    let same_try = stored.filter(|c| c.retry == context.annotation(ANNOTATION_RETRY));
    let incompatible = same_try.filter(|c| because(c, Reason::Incompatible));
    let failed = same_try.is_some_and(|c| c.state == CandidateState::Withdrawn);
    if failed && incompatible.is_none() {
        return None;
    }
    let accepted = context.annotation(ANNOTATION_ACCEPT_INCOMPATIBLE) == declared;
    if accepted && (incompatible.is_some() || contradiction(context).is_some()) {
        return Some(Reason::Incompatible);
    }
    let unanchored = same_try
        .and(begun)
        .is_some_and(|c| because(&c, Reason::ReleasedUnanchored));
    (unanchored || is_unanchored(context, declared, released)).then_some(Reason::ReleasedUnanchored)
}

/// A pod of the declared revision that doesn't fit one of another revision, with nothing known against either alone.
pub fn contradiction<'a>(context: &Context<'a>) -> Option<(&'a Object, &'a Proof)> {
    let declared = &context.declared().digest;
    servers(context)
        .filter(|p| runs(p, declared))
        .find_map(|p| Some((p, proof(context, p).filter(|proof| is_between(proof, declared))?)))
}

/// True when a proof says that two revisions don't fit, and nothing about either pod.
pub fn is_between(proof: &Proof, revision: &str) -> bool {
    proof.verdict == Verdict::Diverges
        && proof.grounds.basis == Basis::Pair
        && proof.grounds.witness.as_deref().is_some_and(|w| w != revision)
}

/// True when no pod of the released revision is what was declared: a newcomer that is says so of each witness, or each was
/// found diverging by what it shows itself. One that is in order has its say.
fn is_unanchored(context: &Context, declared: &str, released: &str) -> bool {
    let of = |revision| servers(context).filter(move |p| runs(p, revision));
    if of(declared).any(is_open) {
        return false;
    }
    let told = of(declared).any(|p| {
        proof(context, p).is_some_and(|proof| {
            let Grounds {
                basis,
                witness,
                apart,
            } = &proof.grounds;
            *basis == Basis::Witness && witness.as_deref() == Some(released) && !apart
        })
    });
    let found = |p: &Object| {
        proof(context, p).is_some_and(|p| p.verdict == Verdict::Diverges && p.grounds.basis.is_own())
    };
    let mut theirs = of(released).filter(|p| is_open(p)).peekable();
    told || theirs.peek().is_some() && theirs.all(found)
}

/// True when every declared replica of the newcomers is proved, so that their gates may open: the Service is kept away.
pub fn may_open(context: &Context, standings: &[Standing]) -> bool {
    let proved = |s: &&Standing| s.is_proved();
    is_kept_to_released(context) && all_newcomers(context, standings, proved)
}

/// True when every declared replica of the newcomers is ready, so that users can be switched: their revision is announced,
/// because to switch users to it is to release it.
pub fn may_switch(context: &Context) -> bool {
    let ready = |s: &&Standing| s.stays();
    is_kept_to_released(context)
        && revision::is_known(context, context.declared())
        && all_newcomers(context, context.standings(), ready)
}

fn is_kept_to_released(context: &Context) -> bool {
    let cutover = context.cutover();
    let released = context.released().map(|r| r.digest.as_str());
    cutover.stage == Stage::Proving && released.is_some() && cutover.kept_to.as_deref() == released
}

fn all_newcomers(context: &Context, standings: &[Standing], hold: impl Fn(&&Standing) -> bool) -> bool {
    let newcomers: Vec<&Standing> = standings.iter().filter(|s| s.newcomer).collect();
    let declared = usize::try_from(context.spec().replicas).unwrap_or_default();
    declared > 0 && newcomers.len() >= declared && newcomers.iter().all(hold)
}

/// The revision that the Service is to be kept to. `rolls` tells that the declared revision is rolled out, `switches` that
/// users are to be switched now.
pub fn keep_to(context: &Context, rolls: bool, switches: bool) -> Option<String> {
    let cutover = context.cutover();
    let declared = || Some(context.declared().digest.clone());
    let released = || context.released().map(|r| r.digest.clone());
    match cutover.stage {
        Stage::Switched => declared(),
        Stage::Proving if rolls && switches => declared(),
        Stage::Proving if rolls => released(),
        // As it is, until nothing else could come behind it.
        Stage::Proving => cutover
            .kept_to
            .clone()
            .filter(|kept| Some(kept) == released().as_ref()),
        Stage::Waiting | Stage::None => {
            let superseded = || context.standings().iter().filter(|s| s.superseded);
            let open = superseded().any(|s| s.is_open() || is_ready(s.pod));
            let recorded = context.released().is_none_or(|r| revision::is_latest(context, r));
            cutover.kept_to.clone().filter(|_| open || !recorded)
        }
    }
}

/// The revision in the selector of the Service.
pub fn kept_to(context: &Context) -> Option<String> {
    let live = context
        .observed
        .objects
        .get(Kind::Service, &context.names.server())?;
    let kept = live.value["spec"]["selector"][LABEL_REVISION].as_str()?;
    Some(kept.to_owned())
}

fn is_open(pod: &Object) -> bool {
    condition(pod, GATE_AGREES).is_some_and(|c| c["status"] == "True")
}

fn is_ready(pod: &Object) -> bool {
    condition(pod, "Ready").is_some_and(|c| c["status"] == "True")
}
