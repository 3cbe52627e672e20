//! Who is blamed: random mixes of faults over two to seven pods, examined in the order and with the witnesses that the
//! prober would choose. A faulty pod is found out, with one of its own faults as the reason; a healthy one never is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use accord_crds::PodReason::{self, *};
use accord_crds::Verdict;
use accord_exchange::{Client, Limits};

use crate::fake::{App, Fake};
use crate::setup::{Bench, Sees};

/// What may be wrong with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    EmptyDatabase,
    SeededDatabase,
    Key,
    AnyPassword,
    Workers,
    Session,
    Revocation,
    Format,
    SomebodyElse,
    Hangs,
    Throttles,
}

use Fault::*;

/// Shown by one pod alone, or by what is seen beside it.
const ALONE: [Fault; 5] = [EmptyDatabase, SeededDatabase, Key, AnyPassword, Workers];
/// Shown only with a witness.
const TOGETHER: [Fault; 4] = [Session, Revocation, Format, SomebodyElse];
const SILENT: [Fault; 2] = [Hangs, Throttles];

impl Fault {
    fn reason(self) -> Option<PodReason> {
        Some(match self {
            EmptyDatabase | SeededDatabase => LocalDatabase,
            Key => KeyMismatch,
            AnyPassword => AcceptsInvalid,
            Workers | Session => LocalSession,
            Revocation => LocalRevocation,
            Format => TokenFormat,
            SomebodyElse => WrongIdentity,
            Hangs | Throttles => return None,
        })
    }

    fn put_into(self, app: App) -> App {
        match self {
            EmptyDatabase => App {
                users: Arc::default(),
                ..app
            },
            // The canary is in it, and the sessions with it.
            SeededDatabase => App {
                users: App::new("").users,
                sessions: Arc::default(),
                ..app
            },
            Key => App {
                key: "made at start".into(),
                ..app
            },
            AnyPassword => app.with(|f| f.any_password = true),
            Workers => App {
                workers: vec![App {
                    sessions: Arc::default(),
                    ..app.clone()
                }],
                ..app
            },
            Session => App {
                sessions: Arc::default(),
                ..app
            },
            Revocation => App {
                blacklist: Arc::default(),
                ..app
            },
            Format => app.with(|f| f.extra_claim = true),
            SomebodyElse => app.with(|f| f.names = Some("alice".into())),
            Hangs => app.with(|f| f.hangs = true),
            Throttles => app.with(|f| f.throttles = true),
        }
    }
}

/// `SplitMix64`: the same mixes in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// A pod, what is wrong with it, and what is known.
struct Pod {
    fake: Fake,
    faults: Vec<Fault>,
    proved: bool,
    found: Option<(Verdict, PodReason, String)>,
}

/// Like the prober's schedule: each by itself until one is proved, then with a proved one; after a failure with another.
async fn examine(bench: &Bench, pods: &mut [Pod]) {
    for round in 0..3 {
        for at in 0..pods.len() {
            if pods[at].proved {
                continue;
            }
            let witnesses: Vec<usize> = (0..pods.len()).filter(|w| *w != at && pods[*w].proved).collect();
            let witness = witnesses
                .get(round % witnesses.len().max(1))
                .map(|w| &pods[*w].fake);
            let proof = bench.verdict(&pods[at].fake, witness).await;
            // Silence takes nothing back.
            if proof.verdict != Verdict::Unknown || pods[at].found.is_none() {
                pods[at].proved = proof.verdict == Verdict::Agrees;
                pods[at].found = Some((proof.verdict, proof.reason, proof.message));
            }
        }
    }
}

async fn mix(seed: u64, an_update: bool) -> (usize, usize) {
    let dice = &mut Dice(seed);
    let count = 2 + dice.below(6);
    let healthy = dice.below(count);
    let app = App::new("k");
    let mut pods = Vec::new();
    let mut sees = Sees::default();
    for at in 0..count {
        let mut faults = Vec::new();
        if at != healthy && dice.below(3) > 0 {
            let kinds: Vec<Fault> = if an_update {
                [ALONE.as_slice(), &TOGETHER, &SILENT].concat()
            } else {
                // The declared cache is looked into.
                [ALONE.as_slice(), &[Session], &SILENT].concat()
            };
            for _ in 0..=dice.below(2) {
                faults.push(kinds[dice.below(kinds.len())]);
            }
        }
        let own = faults
            .iter()
            .fold(app.replica(), |app, fault| fault.put_into(app));
        let fake = own
            .serve(&format!("pod-{at}"), 20 + u8::try_from(at).unwrap())
            .await;
        let elsewhere = faults.iter().any(|f| matches!(f, EmptyDatabase | SeededDatabase));
        sees.0.insert(fake.address.ip(), !elsewhere);
        pods.push(Pod {
            fake,
            faults,
            // In an update one of the released pods goes on; a first rollout has nobody.
            proved: an_update && at == healthy,
            found: None,
        });
    }
    let mut bench = Bench::new(&sees).declaring_the_key();
    if !an_update {
        bench.recipe.login.session_key = Some("session:{id}".into());
        bench.sees.1 = Some(app);
    }
    bench.client = Client::new(Limits {
        request: Duration::from_millis(700),
        settle: Duration::from_millis(500),
        ..Limits::default()
    })
    .unwrap();
    examine(&bench, &mut pods).await;
    let (mut faulty, mut sound) = (0, 0);
    for pod in pods {
        let told = format!(
            "seed {seed}, {} with {:?}: {:?}",
            pod.fake.name, pod.faults, pod.found
        );
        let verdict = pod.found.as_ref().map(|(verdict, ..)| *verdict);
        let reasons: BTreeSet<_> = pod.faults.iter().filter_map(|f| f.reason()).collect();
        let silent = pod.faults.iter().any(|f| f.reason().is_none());
        if pod.faults.is_empty() {
            assert!(pod.proved, "a healthy pod is blamed: {told}");
            sound += 1;
        } else if silent {
            assert_eq!(
                verdict,
                Some(Verdict::Unknown),
                "silence is no divergence: {told}"
            );
        } else {
            assert_eq!(verdict, Some(Verdict::Diverges), "{told}");
            let reason = pod.found.map(|(_, reason, _)| reason).unwrap();
            assert!(reasons.contains(&reason), "{told}");
            faulty += 1;
        }
    }
    (faulty, sound)
}

async fn all(seeds: std::ops::Range<u64>, an_update: bool) {
    let (mut faulty, mut sound) = (0, 0);
    let runs = seeds.end - seeds.start;
    for seed in seeds {
        let (f, s) = mix(seed, an_update).await;
        (faulty, sound) = (faulty + f, sound + s);
    }
    println!("{runs} mixes: {faulty} of {faulty} faulty pods named, 0 of {sound} healthy ones blamed");
    assert!(faulty > 0 && sound > 0);
}

#[tokio::test]
async fn in_an_update_of_a_good_release_only_faulty_pods_are_blamed() {
    all(1..25, true).await;
}

#[tokio::test]
async fn in_a_first_rollout_only_faulty_pods_are_blamed_for_what_the_anchors_show() {
    all(100..124, false).await;
}
