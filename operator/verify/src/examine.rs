//! Who is asked with whom, and who is blamed.
//!
//! Each replica by itself first: what it shows there is its own. Then each with a witness that is sound by itself. A pair
//! accuses both of its sides, and no database is looked into here, so the witness is one that most of the others agree
//! with; where there is none, that is said.

use accord_crds::{PodReason, Verdict};
use accord_exchange::{Exchange, Replica};
use accord_plan::agreement::{Diagnosis, diagnose};

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

/// Examines all of them.
pub(crate) async fn examine(exchange: Exchange<'_>, replicas: &[Replica]) -> Findings {
    let mut alone = Vec::with_capacity(replicas.len());
    for replica in replicas {
        alone.push(diagnose(&exchange.pair(replica, None).await));
    }
    // Once for each replica is enough: more could lock the account.
    let exchange = Exchange {
        wrong_password: false,
        ..exchange
    };
    let sound = (0..replicas.len()).filter(|at| alone[*at].verdict == Verdict::Agrees);
    let mut best: Option<Round> = None;
    for witness in sound.take(WITNESSES) {
        let round = round(exchange, replicas, &alone, witness).await;
        let enough = round.agreeing * 2 > replicas.len();
        if best.as_ref().is_none_or(|b| round.agreeing > b.agreeing) {
            best = Some(round);
        }
        if enough {
            break;
        }
    }
    let (diagnoses, note) = match best {
        None => (alone, None),
        Some(round) => {
            let note = note(replicas, &alone, &round);
            (round.diagnoses, note)
        }
    };
    Findings {
        replicas: replicas.iter().map(|r| r.name.clone()).zip(diagnoses).collect(),
        note,
    }
}

async fn round(exchange: Exchange<'_>, replicas: &[Replica], alone: &[Diagnosis], witness: usize) -> Round {
    let mut diagnoses = alone.to_vec();
    for (at, replica) in replicas.iter().enumerate() {
        // What it shows by itself isn't the witness's business.
        if at != witness && alone[at].verdict != Verdict::Diverges {
            diagnoses[at] = diagnose(&exchange.pair(replica, Some(&replicas[witness])).await);
        }
    }
    let mut agreeing = 1 + agreeing(&diagnoses, witness);
    let contradicted = contradicts(alone, &diagnoses, witness).next();
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
    alone: &'a [Diagnosis],
    diagnoses: &'a [Diagnosis],
    witness: usize,
) -> impl Iterator<Item = usize> + 'a {
    (0..diagnoses.len()).filter(move |at| {
        *at != witness && alone[*at].verdict == Verdict::Agrees && diagnoses[*at].verdict == Verdict::Diverges
    })
}

/// Without a majority nobody can be blamed.
fn note(replicas: &[Replica], alone: &[Diagnosis], round: &Round) -> Option<String> {
    let mut against = contradicts(alone, &round.diagnoses, round.witness).peekable();
    against.peek()?;
    (round.agreeing * 2 <= replicas.len()).then(|| {
        "The replicas disagree, and neither side has a majority: from outside it can't be told which of them is right. \
         Compare the databases, caches and keys that they use."
            .to_owned()
    })
}
