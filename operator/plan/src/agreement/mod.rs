//! From observations of an exchange to a verdict with one reason.
//!
//! [`judge`] asks a chain of small checks in order; the first that finds something decides. The order is the argument:
//! what keeps anything from being concluded comes first, then what one pod shows by itself, then the witness's own
//! controls, and only then what the pair shows, because pair evidence accuses a pair and never a pod.
//!
//! A new reason is a variant in `accord_crds::PodReason`, a check here and a line in `advice`.

mod advice;
mod cookie;
mod edge;
mod evidence;
mod grounds;
mod hostname;
mod login;
mod observation;
mod pair;
mod password;
mod replica;
mod revocation;
mod silence;
mod within;

use accord_crds::{PodReason, Verdict};

pub use cookie::Cookie;
pub use edge::{Connection, EdgeObservations, judge_edge};
pub use grounds::{Basis, Grounds};
pub use hostname::{CookieScope, HostAnswer};
pub use observation::{
    Action, AfterLogoutExpected, Artifact, Conventions, Meaning, Observations, Role, Step, TokenShape,
};

/// Longest message in status, in bytes.
const MESSAGE: usize = 512;

/// What the prober found out about the containers of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The containers it belongs to: see [`crate::probe::ProbeTarget::containers`].
    pub containers: String,
    /// The verdict.
    pub verdict: Verdict,
    /// One reason.
    pub reason: PodReason,
    /// Evidence and advice, at most 512 bytes, never a secret.
    pub message: String,
    /// What it rests on.
    pub grounds: Grounds,
}

/// What a check found.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    reason: PodReason,
    evidence: String,
    /// With `Ambiguous`: what it may be.
    candidates: Vec<PodReason>,
}

impl Finding {
    fn new(verdict: Verdict, reason: PodReason, evidence: String) -> Self {
        Self {
            verdict,
            reason,
            evidence,
            candidates: Vec::new(),
        }
    }

    fn diverges(reason: PodReason, evidence: String) -> Self {
        Self::new(Verdict::Diverges, reason, evidence)
    }

    fn unknown(reason: PodReason, evidence: String) -> Self {
        Self::new(Verdict::Unknown, reason, evidence)
    }

    /// One cause, or several that the evidence doesn't tell apart.
    fn one_of(verdict: Verdict, candidates: &[PodReason], evidence: String) -> Self {
        match candidates {
            [one] => Self::new(verdict, *one, evidence),
            several => Self {
                verdict,
                reason: PodReason::Ambiguous,
                evidence,
                candidates: several.to_vec(),
            },
        }
    }
}

/// A check: `None` when there is nothing to say.
type Check = fn(&Observations) -> Option<Finding>;

/// The checks in order, by what they rest on.
const CHAIN: &[(Basis, &[Check])] = &[
    (
        Basis::Subject,
        &[
            // Nothing can be concluded.
            silence::blocked,
            silence::slow,
            silence::rate_limited,
            // The pod by itself.
            login::accepts_invalid,
            hostname::turned_away,
            hostname::cookie_out_of_scope,
            login::redirected,
            login::turned_away_at_the_door,
            password::left_behind,
            login::refused,
            login::wrong_identity,
            login::not_in_the_database,
            login::signs_with_another_key,
            within::state_of_workers,
            login::keeps_its_sessions,
            login::issues_two_shapes,
            login::forgets_its_own,
            within::fails_at_once,
        ],
    ),
    (Basis::FirstLogin, &[pair::knows_who_logged_in]),
    // From here on the witness speaks: only if it is sound itself.
    (Basis::Witness, &[silence::witness_is_not_anchored]),
    (Basis::Subject, &[silence::witness_fails]),
    (
        Basis::Pair,
        &[
            pair::only_late,
            pair::not_honoured,
            pair::lost_after_the_peer,
            pair::not_refreshed,
        ],
    ),
    (
        Basis::Subject,
        &[
            revocation::logout_fails,
            within::ended_for_some,
            revocation::lives_on,
            revocation::not_as_declared,
            password::stale_cache,
            password::witness_is_stale,
            password::change_fails,
            // Nothing contradicts: is it what is declared?
            cookie::otherwise_than_declared,
        ],
    ),
];

/// What an exchange says about its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The verdict.
    pub verdict: Verdict,
    /// One reason.
    pub reason: PodReason,
    /// What was seen, in one sentence; never a secret.
    pub evidence: String,
    /// What to do about it, a line for each candidate.
    pub advice: Vec<&'static str>,
    /// What decided.
    pub basis: Basis,
}

/// The verdict about the subject of an exchange, with evidence and advice apart.
pub fn diagnose(observations: &Observations) -> Diagnosis {
    told(observations, decide(observations))
}

/// What the first check that finds something says.
fn decide(observations: &Observations) -> (Basis, Finding) {
    CHAIN
        .iter()
        .flat_map(|(basis, checks)| checks.iter().map(move |check| (*basis, check)))
        .find_map(|(basis, check)| Some((basis, check(observations)?)))
        .map_or_else(
            || (Basis::Subject, verified(observations)),
            |(basis, found)| (basis, replica::instead(observations, found)),
        )
}

fn told(observations: &Observations, (basis, finding): (Basis, Finding)) -> Diagnosis {
    let mut evidence = finding.evidence;
    if !finding.candidates.is_empty() {
        let names: Vec<_> = finding.candidates.iter().map(|r| r.as_str()).collect();
        evidence.push_str(". It may be ");
        evidence.push_str(&names.join(" or "));
    }
    evidence.push('.');
    let advice = std::iter::once(&finding.reason)
        .chain(&finding.candidates)
        .filter_map(|reason| advice::advice(observations.conventions, *reason))
        .collect();
    Diagnosis {
        verdict: finding.verdict,
        reason: finding.reason,
        evidence,
        advice,
        basis,
    }
}

/// The verdict about the subject of an exchange, as it stands in status. With which revision it was made is the caller's to
/// say.
pub fn judge(observations: &Observations, containers: &str) -> Proof {
    let diagnosis = told(observations, decide(observations));
    let mut message = diagnosis.evidence;
    for line in diagnosis.advice {
        message.push(' ');
        message.push_str(line);
    }
    Proof {
        containers: containers.to_owned(),
        verdict: diagnosis.verdict,
        reason: diagnosis.reason,
        message: evidence::limited(message, MESSAGE),
        grounds: Grounds {
            basis: diagnosis.basis,
            ..Grounds::default()
        },
    }
}

/// Nothing contradicts: but an exchange without a login has shown nothing.
fn verified(observations: &Observations) -> Finding {
    let login = observations.meaning(Action::Login, Role::Subject, Role::Subject);
    let crossed = observations
        .steps
        .iter()
        .any(|s| matches!(s.action, Action::Cross(_)));
    if login != Some(Meaning::Accepted) && !crossed {
        return Finding::unknown(PodReason::Pending, "The exchange wasn't completed".into());
    }
    let mut text = match (&observations.witness, crossed) {
        (Some(witness), true) => {
            format!(
                "{} and {witness} honour what either issues and ends",
                observations.subject
            )
        }
        _ => format!("{} was proved by itself, as the first", observations.subject),
    };
    if evidence::database(observations) == Some(true) {
        text.push_str(", connected to the declared database");
    }
    if let Some(remark) = password::remark(observations) {
        text.push_str(". ");
        text.push_str(remark);
    }
    if revocation::not_revocable(observations) {
        text.push_str(". A session can't be ended before it expires");
        if observations.signed_cookie {
            text.push_str(": it is kept in a signed cookie");
        }
    }
    Finding::new(Verdict::Agrees, PodReason::Verified, text)
}

#[cfg(test)]
mod tests;
