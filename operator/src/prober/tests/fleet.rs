//! Whole fleets on a paused clock: each replica is on a store of its own or a shared one, and what follows is judged by the
//! real table. The plan's part, to open gates, is played by [`Fleet::follow`].

use std::collections::BTreeSet;

use super::*;

/// Replicas and what they are connected to.
#[derive(Clone, Default)]
pub(super) struct Fleet {
    /// The store of each pod: what is issued on one is unknown on another.
    stores: Arc<Mutex<BTreeMap<String, &'static str>>>,
    /// The declared one, where it can be seen who is connected to it.
    declared: Option<&'static str>,
    /// The pods whose gates are open.
    open: Arc<Mutex<BTreeSet<String>>>,
    /// What every login comes to, when the canary isn't let in.
    refusal: Arc<Mutex<Option<Meaning>>>,
    /// The pods that were examined, in order; `sweep` for a sweep.
    calls: Arc<Mutex<Vec<String>>>,
}

impl Fleet {
    pub(super) fn new(declared: Option<&'static str>, stores: &[(&str, &'static str)]) -> Self {
        let stores = stores.iter().map(|(pod, store)| ((*pod).to_owned(), *store));
        Self {
            stores: Arc::new(Mutex::new(stores.collect())),
            declared,
            ..Self::default()
        }
    }

    fn store(&self, pod: &ProbeTarget) -> &'static str {
        self.stores.lock().unwrap()[&pod.pod]
    }

    fn login(&self) -> Meaning {
        self.refusal.lock().unwrap().unwrap_or(Meaning::Accepted)
    }

    fn crossed(&self, one: &ProbeTarget, other: &ProbeTarget) -> Meaning {
        if self.store(one) == self.store(other) {
            Meaning::Accepted
        } else {
            Meaning::Rejected
        }
    }

    /// A pod is connected to another store from now on.
    pub(super) fn move_to(&self, pod: &str, store: &'static str) {
        self.stores.lock().unwrap().insert(pod.to_owned(), store);
    }

    pub(super) fn examined(&self, what: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|c| *c == what).count()
    }

    pub(super) fn start(&self, targets: &[ProbeTarget]) -> Prober {
        let prober = Prober::new(|_| {});
        let handle = prober.start(&key(), request(targets), self.clone());
        prober.services.lock().unwrap().insert(key(), handle);
        prober
    }

    /// Opens and closes gates by what is found, for so many seconds.
    async fn follow(&self, prober: &Prober, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for (uid, proof) in prober.proofs(&key()) {
                let pod = uid.trim_start_matches("uid-").to_owned();
                match proof.verdict {
                    Verdict::Agrees => self.open.lock().unwrap().insert(pod),
                    Verdict::Diverges => self.open.lock().unwrap().remove(&pod),
                    Verdict::Unknown => continue,
                };
            }
            let targets: Vec<_> = {
                let (stores, open) = (self.stores.lock().unwrap(), self.open.lock().unwrap());
                stores.keys().map(|pod| target(pod, open.contains(pod))).collect()
            };
            prober.set(&key(), Some(request(&targets)));
        }
    }
}

impl Examiner for Fleet {
    async fn pair(
        &self,
        _: &ProbeRequest,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        _: Extras,
    ) -> Observations {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.calls.lock().unwrap().push(subject.pod.clone());
        let anchored = |pod: &ProbeTarget| self.declared.map(|declared| self.store(pod) == declared);
        let mut seen = Observations {
            subject: subject.pod.clone(),
            witness: witness.map(|w| w.pod.clone()),
            database: anchored(subject),
            witness_database: witness.and_then(anchored),
            ..Observations::default()
        };
        let login = self.login();
        let at = |role: Role| Step {
            status: Some(if login == Meaning::Accepted { 200 } else { 401 }),
            ..step(Action::Login, role, role, login)
        };
        seen.steps.push(at(Role::Subject));
        if let Some(witness) = witness {
            seen.steps.push(at(Role::Witness));
            if login == Meaning::Accepted {
                for (at, of) in [(Role::Witness, Role::Subject), (Role::Subject, Role::Witness)] {
                    let cross = Action::Cross(Artifact::Session);
                    seen.steps
                        .push(step(cross, at, of, self.crossed(subject, witness)));
                }
            }
        }
        seen
    }

    async fn sweep(
        &self,
        _: &ProbeRequest,
        targets: &[ProbeTarget],
        issuer: usize,
        _: usize,
    ) -> Vec<Observations> {
        self.calls.lock().unwrap().push("sweep".into());
        let home = &targets[issuer];
        let mut reports = vec![observed(home, None, Meaning::Accepted)];
        if self.login() != Meaning::Accepted {
            reports[0].steps[0].meaning = self.login();
            reports[0].steps[0].status = Some(401);
        }
        if self.login() == Meaning::Accepted {
            let peers = targets.iter().filter(|t| t.uid != home.uid);
            reports.extend(peers.map(|peer| observed(peer, Some(home), self.crossed(peer, home))));
        }
        reports
    }

    async fn edge(&self, _: &ProbeRequest, _: &EdgeTarget, _: &ProbeTarget) -> EdgeObservations {
        unreachable!("no way in is declared")
    }
}

/// The pods of a verdict.
fn of(prober: &Prober, verdict: Verdict) -> Vec<String> {
    prober
        .proofs(&key())
        .into_iter()
        .filter(|(_, proof)| proof.verdict == verdict)
        .map(|(uid, _)| uid.trim_start_matches("uid-").to_owned())
        .collect()
}

fn new(pods: &[&str]) -> Vec<ProbeTarget> {
    pods.iter().map(|pod| target(pod, false)).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_diverges_after_an_hour_is_found_by_the_next_sweep() {
    let fleet = Fleet::new(Some("ours"), &[("a", "ours"), ("b", "ours"), ("c", "ours")]);
    let prober = fleet.start(&new(&["a", "b", "c"]));
    fleet.follow(&prober, 3600).await;
    assert_eq!(of(&prober, Verdict::Agrees), ["a", "b", "c"]);
    fleet.stores.lock().unwrap().insert("b".into(), "its own");
    // A sweep comes within 66 s, and a finding is confirmed.
    fleet.follow(&prober, 75).await;
    assert_eq!(of(&prober, Verdict::Diverges), ["b"]);
    assert_eq!(
        of(&prober, Verdict::Agrees),
        ["a", "c"],
        "and nobody else is blamed"
    );
}

#[tokio::test(start_paused = true)]
async fn two_anchored_ones_are_kept_against_three_that_agree_on_another_store() {
    // Those on the stale store come first in every order that the prober knows.
    let stale = [("a", "stale"), ("b", "stale"), ("c", "stale")];
    let right = [("d", "ours"), ("e", "ours")];
    let fleet = Fleet::new(Some("ours"), &[stale.as_slice(), right.as_slice()].concat());
    let prober = fleet.start(&new(&["a", "b", "c", "d", "e"]));
    fleet.follow(&prober, 60).await;
    assert_eq!(of(&prober, Verdict::Diverges), ["a", "b", "c"]);
    assert_eq!(of(&prober, Verdict::Agrees), ["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn three_that_move_to_a_stale_store_together_do_not_outvote_two() {
    let pods = ["a", "b", "c", "d", "e"];
    let fleet = Fleet::new(Some("ours"), &pods.map(|pod| (pod, "ours")));
    let prober = fleet.start(&new(&pods));
    fleet.follow(&prober, 60).await;
    assert_eq!(of(&prober, Verdict::Agrees), pods);
    for pod in ["a", "b", "c"] {
        fleet.stores.lock().unwrap().insert(pod.into(), "stale");
    }
    fleet.follow(&prober, 180).await;
    assert_eq!(of(&prober, Verdict::Diverges), ["a", "b", "c"]);
    assert_eq!(of(&prober, Verdict::Agrees), ["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_against_two_without_anchors_one_pair_agrees_and_both_pairs_never_do() {
    let fleet = Fleet::new(None, &[("a", "one"), ("b", "two"), ("c", "one"), ("d", "two")]);
    let prober = fleet.start(&new(&["a", "b", "c", "d"]));
    fleet.follow(&prober, 600).await;
    assert_eq!(of(&prober, Verdict::Agrees), ["a", "c"], "those of the first one");
    assert_eq!(of(&prober, Verdict::Diverges), ["b", "d"]);
}

#[tokio::test(start_paused = true)]
async fn when_all_diverge_from_the_start_each_is_named_and_none_is_a_witness() {
    let fleet = Fleet::new(Some("ours"), &[("a", "x"), ("b", "y"), ("c", "z")]);
    let prober = fleet.start(&new(&["a", "b", "c"]));
    fleet.follow(&prober, 600).await;
    let found = prober.proofs(&key());
    assert!(
        found.values().all(|p| p.reason == PodReason::LocalDatabase),
        "{found:?}"
    );
    assert_eq!(found.len(), 3);
    // They are looked at again, so that a heal is seen, but not all the time.
    let examinations = fleet.examined("a");
    assert!((5..=15).contains(&examinations), "{examinations} in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn twenty_that_come_at_once_are_proved_with_one_examination_each() {
    let names: Vec<String> = (0..23).map(|n| format!("pod-{n:02}")).collect();
    let stores: Vec<_> = names.iter().map(|n| (n.as_str(), "ours")).collect();
    let fleet = Fleet::new(Some("ours"), &stores);
    let targets: Vec<_> = names.iter().zip(0..).map(|(n, i)| target(n, i < 3)).collect();
    let begun = Instant::now();
    let prober = fleet.start(&targets);
    while of(&prober, Verdict::Agrees).len() < 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "20 in {:?}",
            begun.elapsed()
        );
    }
    // One after the other, half a second each and a fifth of a second apart: never more than five a second begin.
    let took = begun.elapsed().as_millis();
    assert!((13_800..14_000).contains(&took), "20 in {took} ms");
    assert_eq!(fleet.calls.lock().unwrap().len(), 20);
    assert!(of(&prober, Verdict::Diverges).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_is_started_anew_in_mid_exchange_takes_back_nothing() {
    let fleet = Fleet::new(Some("ours"), &[("a", "ours"), ("b", "ours"), ("c", "ours")]);
    let joining = [target("a", true), target("b", true), target("c", false)];
    let prober = fleet.start(&joining);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        fleet.calls.lock().unwrap().is_empty(),
        "the exchange is under way"
    );
    drop(prober);
    let prober = fleet.start(&joining);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(of(&prober, Verdict::Agrees), ["c"]);
    assert_eq!(of(&prober, Verdict::Diverges), [""; 0]);
    assert_eq!(
        fleet.examined("a") + fleet.examined("b"),
        0,
        "what was admitted isn't proved again"
    );
}

#[tokio::test(start_paused = true)]
async fn another_canary_proves_proved_ones_anew() {
    let fleet = Fleet::new(Some("ours"), &[("a", "ours"), ("b", "ours")]);
    let proved = [target("a", true), target("b", true)];
    let prober = fleet.start(&proved);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(fleet.calls.lock().unwrap().is_empty());
    // While it is made nobody is asked.
    let mut another = request(&[]);
    another.username = "accord-canary-another".into();
    prober.set(&key(), Some(another.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    another.targets = proved.to_vec();
    prober.set(&key(), Some(another));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(*fleet.calls.lock().unwrap(), ["a", "b"]);
    assert_eq!(of(&prober, Verdict::Agrees), ["a", "b"]);
}

/// A canary that is locked, limited or gone, on all replicas, for an hour.
async fn refused(meaning: Meaning, reason: PodReason) {
    let pods = ["a", "b", "c"];
    let fleet = Fleet::new(Some("ours"), &pods.map(|pod| (pod, "ours")));
    let prober = fleet.start(&new(&pods));
    fleet.follow(&prober, 60).await;
    *fleet.refusal.lock().unwrap() = Some(meaning);
    let before = fleet.calls.lock().unwrap().len();
    for _ in 0..60 {
        fleet.follow(&prober, 60).await;
        assert_eq!(
            of(&prober, Verdict::Diverges),
            [""; 0],
            "{meaning:?} isolates nobody"
        );
    }
    let told = prober.proofs(&key());
    assert!(
        told.values()
            .any(|p| (p.verdict, p.reason) == (Verdict::Unknown, reason)),
        "it is told: {told:?}"
    );
    let logins = fleet.calls.lock().unwrap().len() - before;
    assert!(logins < 500, "{logins} logins in an hour of {meaning:?}");
    // The canary is back: all agree again.
    *fleet.refusal.lock().unwrap() = None;
    fleet.follow(&prober, 180).await;
    assert_eq!(of(&prober, Verdict::Agrees), pods);
}

#[tokio::test(start_paused = true)]
async fn a_limited_canary_isolates_nobody() {
    refused(Meaning::Throttled, PodReason::RateLimited).await;
}

#[tokio::test(start_paused = true)]
async fn a_locked_or_deleted_canary_isolates_nobody() {
    refused(Meaning::Rejected, PodReason::CanaryMissing).await;
}
