//! Who is asked with whom, and who is blamed.
//!
//! Each replica by itself: what it shows there is its own. Before that, where one is known to be sound, with that one as the
//! witness: some faults can be seen only until the account has logged in. Then each with a witness that is sound by itself. A
//! pair accuses both of its sides, and no database is looked into here, so the witness is one that most of the others agree
//! with; where there is none, that is said.

use accord_crds::{PodReason, Verdict};
use accord_exchange::{Exchange, Replica};
use accord_plan::agreement::{Basis, Diagnosis, diagnose};

/// Witnesses that are tried, at most: each costs a login at every replica.
const WITNESSES: usize = 3;

/// What was found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Each replica's name with its diagnosis, in the order in which they were given.
    pub(crate) replicas: Vec<(String, Diagnosis)>,
    /// What has to be known about all of them.
    pub(crate) note: Option<String>,
}

/// All replicas, with one witness.
struct Round {
    witness: usize,
    diagnoses: Vec<Diagnosis>,
    /// The witness and those that agree with it.
    agreeing: usize,
}

/// What is known before anybody is chosen as the witness.
struct Known {
    /// What each shows by itself.
    alone: Vec<Diagnosis>,
    /// The first that is sound by itself, and what each after it showed with that one as its witness before the account had
    /// logged in there: some of what it may hide can't be seen any more afterwards.
    first: Option<usize>,
    met: Vec<Option<Diagnosis>>,
}

impl Known {
    /// What one showed with this witness before; with any, where it can't be shown again.
    fn met(&self, at: usize, witness: usize) -> Option<&Diagnosis> {
        let met = self.met[at].as_ref()?;
        (self.first == Some(witness) || is_told_for_good(met)).then_some(met)
    }

    /// Nothing is known against it alone.
    fn is_sound(&self, at: usize) -> bool {
        self.alone[at].verdict == Verdict::Agrees && !self.met[at].as_ref().is_some_and(is_told_for_good)
    }
}

/// The account has logged in there by now.
fn is_told_for_good(found: &Diagnosis) -> bool {
    found.basis.shows_it_once(found.verdict)
}

async fn meet(exchange: Exchange<'_>, quiet: Exchange<'_>, replicas: &[Replica]) -> Known {
    let mut known = Known {
        alone: Vec::with_capacity(replicas.len()),
        first: None,
        met: Vec::with_capacity(replicas.len()),
    };
    for (at, replica) in replicas.iter().enumerate() {
        known.met.push(match known.first {
            Some(first) => Some(diagnose(&quiet.pair(replica, Some(&replicas[first])).await)),
            None => None,
        });
        let by_itself = diagnose(&exchange.pair(replica, None).await);
        if known.first.is_none() && by_itself.verdict == Verdict::Agrees {
            known.first = Some(at);
        }
        known.alone.push(by_itself);
    }
    known
}

/// Examines all of them.
pub(crate) async fn examine(exchange: Exchange<'_>, replicas: &[Replica]) -> Findings {
    // Once for each replica is enough: more could lock the account.
    let quiet = Exchange {
        wrong_password: false,
        ..exchange
    };
    let known = meet(exchange, quiet, replicas).await;
    let sound = (0..replicas.len()).filter(|at| known.is_sound(*at));
    let mut best: Option<Round> = None;
    for witness in sound.take(WITNESSES) {
        let round = round(quiet, replicas, &known, witness).await;
        let enough = round.agreeing * 2 > replicas.len();
        if best.as_ref().is_none_or(|b| round.agreeing > b.agreeing) {
            best = Some(round);
        }
        if enough {
            break;
        }
    }
    let (diagnoses, note) = match best {
        None => (known.alone, None),
        Some(round) => {
            let note = note(replicas, &known, &round);
            (round.diagnoses, note)
        }
    };
    Findings {
        replicas: replicas.iter().map(|r| r.name.clone()).zip(diagnoses).collect(),
        note,
    }
}

async fn round(exchange: Exchange<'_>, replicas: &[Replica], known: &Known, witness: usize) -> Round {
    let alone = &known.alone;
    let mut diagnoses = alone.clone();
    for (at, replica) in replicas.iter().enumerate() {
        // What it shows by itself isn't the witness's business.
        if at != witness && alone[at].verdict != Verdict::Diverges {
            diagnoses[at] = match known.met(at, witness) {
                Some(found) => found.clone(),
                None => diagnose(&exchange.pair(replica, Some(&replicas[witness])).await),
            };
        }
    }
    let mut agreeing = 1 + agreeing(&diagnoses, witness);
    let contradicted = contradicts(known, &diagnoses, witness).next();
    if agreeing > 1 {
        diagnoses[witness] = Diagnosis {
            verdict: Verdict::Agrees,
            reason: PodReason::Verified,
            evidence: format!(
                "{} and {} of {} others honour what either issues and ends.",
                replicas[witness].name,
                agreeing - 1,
                replicas.len() - 1
            ),
            advice: Vec::new(),
            basis: Basis::Subject,
        };
        // A change of password was made at the witness only: does it hear of one that another makes?
        let other =
            (0..replicas.len()).find(|at| *at != witness && diagnoses[*at].verdict == Verdict::Agrees);
        if let Some(other) = other.filter(|_| exchange.change_password) {
            let found = diagnose(&exchange.pair(&replicas[witness], Some(&replicas[other])).await);
            if found.verdict != Verdict::Agrees {
                agreeing -= 1;
                diagnoses[witness] = found;
            }
        }
    } else if let Some(other) = contradicted {
        // Nobody agrees with it: it is as suspect as the others.
        diagnoses[witness] = diagnose(&exchange.pair(&replicas[witness], Some(&replicas[other])).await);
    }
    Round {
        witness,
        diagnoses,
        agreeing,
    }
}

fn agreeing(diagnoses: &[Diagnosis], witness: usize) -> usize {
    let others = diagnoses.iter().enumerate().filter(|(at, _)| *at != witness);
    others.filter(|(_, d)| d.verdict == Verdict::Agrees).count()
}

/// Replicas that are sound by themselves and disagree with the witness.
fn contradicts<'a>(
    known: &'a Known,
    diagnoses: &'a [Diagnosis],
    witness: usize,
) -> impl Iterator<Item = usize> + 'a {
    (0..diagnoses.len()).filter(move |at| {
        *at != witness && known.is_sound(*at) && diagnoses[*at].verdict == Verdict::Diverges
    })
}

/// Without a majority nobody can be blamed.
fn note(replicas: &[Replica], known: &Known, round: &Round) -> Option<String> {
    let mut against = contradicts(known, &round.diagnoses, round.witness).peekable();
    against.peek()?;
    (round.agreeing * 2 <= replicas.len()).then(|| {
        "The replicas disagree, and neither side has a majority: from outside it can't be told which of them is right. \
         Compare the databases, caches and keys that they use."
            .to_owned()
    })
}
