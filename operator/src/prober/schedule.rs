//! Who is to be examined next, with whom, and what becomes of the result. No I/O and no clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use accord_crds::{PodReason, Verdict};
use accord_plan::agreement::Proof;
use accord_plan::probe::{ProbeRequest, ProbeTarget};
use tokio::time::Instant;

mod witnesses;

/// Between two examinations of one service: bounds the logins to a few a second, whatever happens.
const PACE: Duration = Duration::from_millis(200);
/// After a server said that it limits logins, for the whole service: all its pods may share one limit.
const LIMITED: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(2));
/// First and longest wait after an examination that showed nothing.
const UNKNOWN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// First and longest wait before a diverging pod is examined again, so that a heal is seen.
const DIVERGES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// Before a proved pod that was found diverging is examined again: one blip isolates nobody.
const CONFIRM: Duration = Duration::from_secs(1);
/// How often in a row a proved pod has to be found diverging.
const STRIKES: u32 = 2;
/// How often in a row an examination has to show nothing before that is news: one slow answer under load is none.
const SILENCES: u32 = 3;
/// In so many sweeps in a row a pod has to be silent before it is examined by itself.
const SILENT_SWEEPS: u32 = 2;
/// Sweeps don't come closer, whatever is declared.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Examine this pod.
    Pair {
        subject: Box<ProbeTarget>,
        witness: Option<Box<ProbeTarget>>,
        extras: Extras,
    },
    /// Sweep over these.
    Sweep {
        targets: Vec<ProbeTarget>,
        issuer: usize,
        ender: usize,
    },
    /// Nothing until then.
    Wait(Instant),
}

/// What an examination does besides, because it isn't needed or wanted each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// Try a wrong password: until it was refused once by these containers.
    pub(super) wrong_password: bool,
    /// Change the password and back: until that took effect at once with a pod of this revision.
    pub(super) change_password: bool,
}

/// What is known about one pod.
#[derive(Debug)]
struct Entry {
    target: ProbeTarget,
    proof: Option<Proof>,
    /// When it is to be examined; `None` when it isn't.
    due: Option<Instant>,
    /// Examinations in a row that didn't end in agreement.
    failures: u32,
    /// How often in a row it was found diverging while it counts as proved.
    strikes: u32,
    /// How many examinations in a row showed nothing.
    silences: u32,
    /// In how many sweeps in a row it was silent.
    silent_sweeps: u32,
    /// The pod whose examination it failed in as the witness.
    accuser: Option<String>,
    /// The wrong password was refused: it isn't tried again on these containers.
    password_checked: bool,
    /// The witnesses that aren't anchored, while this one is.
    unanchored: BTreeSet<String>,
}

impl Entry {
    fn new(target: ProbeTarget, now: Instant) -> Self {
        let due = (!target.proved).then_some(now);
        Self {
            target,
            proof: None,
            due,
            failures: 0,
            strikes: 0,
            silences: 0,
            silent_sweeps: 0,
            accuser: None,
            password_checked: false,
            unanchored: BTreeSet::new(),
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        self.proof.as_ref().map(|p| p.verdict)
    }

    /// Asked again, these containers would hide what they have shown.
    fn is_told_for_good(&self) -> bool {
        self.proof
            .as_ref()
            .is_some_and(|p| p.grounds.basis.shows_it_once(p.verdict))
    }

    /// Proved for the containers that run now, by us or by one before us.
    fn proved(&self) -> bool {
        match self.verdict() {
            Some(Verdict::Agrees) => true,
            Some(Verdict::Diverges) => false,
            Some(Verdict::Unknown) | None => self.target.proved,
        }
    }
}

/// The state of one service's examinations.
#[derive(Debug)]
pub(super) struct Schedule {
    entries: BTreeMap<String, Entry>,
    interval: Duration,
    sweep_at: Instant,
    /// Counts sweeps, so that issuers and enders take turns.
    sweeps: usize,
    /// Nothing is done before.
    not_before: Instant,
    limited: u32,
    retry: String,
    /// Revisions for which a change of password took effect at once. A new leader finds that out again.
    passwords: BTreeSet<String>,
    /// Proved pods are to be proved anew as soon as there are any.
    anew: bool,
    /// No exchange and no sweep joins two revisions.
    apart: bool,
}

impl Schedule {
    pub(super) fn new(request: &ProbeRequest, now: Instant) -> Self {
        let mut schedule = Self {
            entries: BTreeMap::new(),
            interval: request.interval,
            sweep_at: now,
            sweeps: 0,
            not_before: now,
            limited: 0,
            retry: request.retry.clone(),
            passwords: BTreeSet::new(),
            anew: false,
            apart: request.apart,
        };
        schedule.plan_sweep(now);
        schedule.update(request, now);
        schedule
    }

    /// Takes over a new request. A pod with other containers is another one.
    pub(super) fn update(&mut self, request: &ProbeRequest, now: Instant) {
        self.entries.retain(|uid, entry| {
            request
                .targets
                .iter()
                .any(|t| t.uid == *uid && t.containers == entry.target.containers)
        });
        for target in &request.targets {
            let entry = self
                .entries
                .entry(target.uid.clone())
                .or_insert_with(|| Entry::new(target.clone(), now));
            entry.target = target.clone();
            // Its gate was closed without our doing.
            if !entry.proved() && entry.due.is_none() && !entry.is_told_for_good() {
                entry.due = Some(now);
            }
        }
        // It is another question: what was found out about newcomers answers it no more.
        if self.apart != request.apart {
            self.apart = request.apart;
            for entry in self.entries.values_mut().filter(|e| !e.target.proved) {
                *entry = Entry {
                    password_checked: entry.password_checked,
                    ..Entry::new(entry.target.clone(), now)
                };
            }
        }
        if self.retry != request.retry {
            self.retry.clone_from(&request.retry);
            self.anew = true;
        }
        // While a new canary is made there is nobody to ask.
        if self.anew && !self.entries.is_empty() {
            self.anew = false;
            self.passwords.clear();
            for entry in self.entries.values_mut().filter(|e| !e.is_told_for_good()) {
                entry.due = Some(now);
                entry.failures = 0;
                entry.password_checked = false;
            }
        }
        if self.interval != request.interval {
            self.interval = request.interval;
            self.plan_sweep(now);
        }
    }

    /// There is another canary: what was proved with the one before is proved again with this one.
    pub(super) fn prove_anew(&mut self) {
        self.anew = true;
        // This one has logged in nowhere yet.
        for entry in self.entries.values_mut().filter(|e| e.is_told_for_good()) {
            entry.proof = None;
        }
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.not_before > now {
            return Next::Wait(self.not_before);
        }
        let mut due: Vec<&Entry> = self.entries.values().filter(|e| e.due.is_some()).collect();
        // A pod that has something at stake first, then in the order in which they became due.
        due.sort_by_key(|e| (e.due, e.failures, e.target.pod.clone()));
        let first = due.first().and_then(|e| Some((e.due?, *e)));
        if let Some((at, entry)) = first
            && at <= now
        {
            let witness = self.witness(entry);
            let extras = Extras {
                wrong_password: !entry.password_checked,
                change_password: witness.is_some() && !self.passwords.contains(&entry.target.revision),
            };
            return Next::Pair {
                subject: Box::new(entry.target.clone()),
                witness: witness.map(Box::new),
                extras,
            };
        }
        let targets = self.sweepable();
        if targets.is_empty() {
            // A sweep says nothing where nobody is proved.
            return Next::Wait(first.map_or(now + self.interval.max(SHORTEST_INTERVAL), |(at, _)| at));
        }
        if self.sweep_at > now {
            return Next::Wait(first.map_or(self.sweep_at, |(at, _)| at.min(self.sweep_at)));
        }
        let issuer = self.sweeps % targets.len();
        let ender = (issuer + 1) % targets.len();
        self.sweeps = self.sweeps.wrapping_add(1);
        self.plan_sweep(now);
        Next::Sweep {
            targets,
            issuer,
            ender,
        }
    }

    /// Takes in the result of an examination. True when what is known has changed.
    pub(super) fn settle(
        &mut self,
        uid: &str,
        witness: Option<&str>,
        proof: Proof,
        password_refused: bool,
        now: Instant,
    ) -> bool {
        self.not_before = now + PACE;
        if proof.reason == PodReason::RateLimited {
            self.not_before = now + backoff(LIMITED, self.limited);
            self.limited = self.limited.saturating_add(1);
        } else {
            self.limited = 0;
        }
        // It was asked before the question changed.
        if proof.grounds.apart != self.apart {
            return false;
        }
        // The witness failed in its own part: it is to be looked at.
        if (proof.verdict, proof.reason) == (Verdict::Unknown, PodReason::Pending)
            && let Some(witness) = witness
        {
            self.suspect(witness, now);
            if let Some(entry) = self.entries.get_mut(witness) {
                entry.accuser = Some(uid.to_owned());
            }
        }
        let forsaken = self.note_unanchored(uid, witness, proof.grounds.basis);
        let Some(entry) = self
            .entries
            .get_mut(uid)
            .filter(|e| e.target.containers == proof.containers)
        else {
            return false;
        };
        entry.password_checked |= password_refused;
        let was_proved = entry.proved();
        entry.silences = if proof.verdict == Verdict::Unknown {
            entry.silences.saturating_add(1)
        } else {
            0
        };
        let (due, publish) = match proof.verdict {
            Verdict::Agrees => {
                (entry.failures, entry.strikes, entry.accuser) = (0, 0, None);
                (None, true)
            }
            verdict if proof.grounds.basis.shows_it_once(verdict) => (None, true),
            Verdict::Diverges => {
                entry.strikes += 1;
                if was_proved && entry.strikes < STRIKES {
                    (Some(now + CONFIRM), false)
                } else {
                    (Some(now + backoff(DIVERGES, entry.failures)), true)
                }
            }
            // Silence takes back neither a proof (the gate stays) nor what contradicted one; it is told when it lasts.
            Verdict::Unknown => {
                let contradicted = entry.verdict() == Some(Verdict::Diverges);
                let admitted = entry.verdict() != Some(Verdict::Agrees) || entry.target.proved;
                // A witness that failed says nothing about this one.
                let about_it = proof.reason != PodReason::Pending || !was_proved;
                let lasting = entry.silences >= SILENCES && about_it;
                let news = (lasting || forsaken) && !contradicted && admitted;
                (Some(now + backoff(UNKNOWN, entry.failures)), news)
            }
        };
        if due.is_some() {
            entry.failures = entry.failures.saturating_add(1);
        }
        entry.due = due;
        let changed = publish && entry.proof.as_ref() != Some(&proof);
        if changed {
            entry.proof = Some(proof);
        }
        changed
    }

    /// A change of password took effect at once at a pod of this revision, which agrees.
    pub(super) fn password_was_changed(&mut self, revision: &str) {
        self.passwords.insert(revision.to_owned());
        let there = |known: &String| self.entries.values().any(|e| e.target.revision == *known);
        self.passwords.retain(|known| there(known));
    }

    /// The sweep is over; the suspects are to be examined, in this order. So are those that didn't answer, if that lasts.
    pub(super) fn swept(
        &mut self,
        suspects: &[String],
        answered: &[String],
        silent: &[String],
        now: Instant,
    ) {
        self.not_before = now + PACE;
        for uid in answered {
            if let Some(entry) = self.entries.get_mut(uid) {
                entry.silent_sweeps = 0;
            }
        }
        for uid in silent {
            let Some(entry) = self.entries.get_mut(uid) else {
                continue;
            };
            entry.silent_sweeps = entry.silent_sweeps.saturating_add(1);
            if entry.silent_sweeps >= SILENT_SWEEPS {
                self.suspect(uid, now);
            }
        }
        for (uid, at) in suspects.iter().zip(0..) {
            self.suspect(uid, now + Duration::from_millis(at));
        }
    }

    fn suspect(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid)
            && entry.due.is_none()
        {
            entry.due = Some(now);
        }
    }

    /// What is known, by UID.
    pub(super) fn proofs(&self) -> BTreeMap<String, Proof> {
        self.entries
            .iter()
            .filter_map(|(uid, entry)| Some((uid.clone(), entry.proof.clone()?)))
            .collect()
    }

    /// An interval from now, give or take a tenth: services don't sweep in step.
    fn plan_sweep(&mut self, now: Instant) {
        let interval = self.interval.max(SHORTEST_INTERVAL);
        let permille = 900 + RandomState::new().build_hasher().finish() % 200;
        let permille = u32::try_from(permille).unwrap_or(1000);
        self.sweep_at = now + interval * permille / 1000;
    }
}

/// Doubles with each failure, from the first to the longest.
fn backoff((first, longest): (Duration, Duration), failures: u32) -> Duration {
    first
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(longest)
}
