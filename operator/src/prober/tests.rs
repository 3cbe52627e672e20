//! The schedule by itself, a service's task with a script on a paused clock, and the whole prober on loopback servers.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accord_crds::{PodReason, Verdict};
use accord_plan::agreement::{
    Action, Artifact, Basis, Connection, EdgeObservations, Grounds, Meaning, Observations, Role, Step,
};
use accord_plan::probe::{EdgeTarget, ProbeTarget};
use tokio::time::Instant;

use super::schedule::{Extras, Next, Schedule};
use super::*;

#[path = "../../exchange/tests/fake/mod.rs"]
mod fake;

mod cutover;
mod edge;
mod fleet;
mod passwords;
mod scale;

use fake::App;

fn key() -> ServiceKey {
    ("ns".into(), "portal".into())
}

fn target(pod: &str, proved: bool) -> ProbeTarget {
    ProbeTarget {
        pod: pod.into(),
        uid: format!("uid-{pod}"),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 1,
        containers: "c1".into(),
        revision: "r1".into(),
        proved,
    }
}

fn request(targets: &[ProbeTarget]) -> ProbeRequest {
    ProbeRequest {
        keys: Vec::new(),
        cache: None,
        recipe: fake::recipe(),
        hostname: fake::HOSTNAME.into(),
        aliases: Vec::new(),
        username: fake::USERNAME.into(),
        password: fake::PASSWORD.into(),
        database: None,
        targets: targets.to_vec(),
        apart: false,
        interval: Duration::from_mins(1),
        edge: None,
        retry: String::new(),
    }
}

fn proof(verdict: Verdict, reason: PodReason) -> Proof {
    Proof {
        containers: "c1".into(),
        verdict,
        reason,
        message: String::new(),
        grounds: Grounds::default(),
    }
}

fn agrees() -> Proof {
    proof(Verdict::Agrees, PodReason::Verified)
}

fn diverges() -> Proof {
    proof(Verdict::Diverges, PodReason::LocalSession)
}

fn silent() -> Proof {
    proof(Verdict::Unknown, PodReason::ProbeBlocked)
}

/// Whom and with whom, in short.
fn names(next: &Next) -> String {
    match next {
        Next::Pair { subject, witness, .. } => {
            format!(
                "{}+{}",
                subject.pod,
                witness.as_ref().map_or("-", |w| w.pod.as_str())
            )
        }
        Next::Sweep {
            targets,
            issuer,
            ender,
        } => format!("sweep {} {issuer}>{ender}", targets.len()),
        Next::Wait(_) => "wait".into(),
    }
}

/// The next examination, and when.
fn due(schedule: &mut Schedule, now: Instant) -> (Instant, String) {
    let mut at = now;
    for _ in 0..5 {
        match schedule.next(at) {
            Next::Wait(until) => at = until,
            other => return (at, names(&other)),
        }
    }
    panic!("nothing is ever due");
}

#[tokio::test]
async fn the_first_pod_is_proved_by_itself_and_is_the_witness_of_the_others() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", false), target("b", false)]), now);
    assert_eq!(names(&schedule.next(now)), "a+-");
    assert!(schedule.settle("uid-a", None, agrees(), true, now));
    assert_eq!(due(&mut schedule, now).1, "b+a");
}

#[tokio::test]
async fn a_pod_whose_gate_is_open_is_a_witness_and_is_not_examined() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", true), target("b", false)]), now);
    assert_eq!(names(&schedule.next(now)), "b+a");
    schedule.settle("uid-b", Some("uid-a"), agrees(), true, now);
    assert!(due(&mut schedule, now).1.starts_with("sweep 2"));
}

/// It knows the canary since it was examined: another examination would find nothing.
#[tokio::test]
async fn what_only_the_first_login_shows_counts_until_the_containers_or_the_canary_are_others() {
    let now = Instant::now();
    let mut first = diverges();
    first.grounds.basis = Basis::FirstLogin;
    for proved in [false, true] {
        let targets = [target("a", true), target("b", proved)];
        let mut schedule = Schedule::new(&request(&targets), now);
        assert!(schedule.settle("uid-b", Some("uid-a"), first.clone(), true, now));
        let closed = [target("a", true), target("b", false)];
        let asked = |targets: &[ProbeTarget]| ProbeRequest {
            retry: "now".into(),
            ..request(targets)
        };
        schedule.update(&asked(&closed), now);
        let next = due(&mut schedule, now);
        assert_eq!(
            (next.1.as_str(), schedule.proofs()["uid-b"].verdict),
            ("a+-", Verdict::Diverges)
        );
        schedule.settle("uid-a", None, agrees(), true, now);
        assert!(due(&mut schedule, now).1.starts_with("sweep 1"), "{proved}");

        let mut another = closed.clone();
        another[1].containers = "c2".into();
        schedule.update(&asked(&another), now);
        assert_eq!(due(&mut schedule, now).1, "b+a", "{proved}");
        let restarted = Proof {
            containers: "c2".into(),
            ..first.clone()
        };
        schedule.settle("uid-b", Some("uid-a"), restarted, true, now);
        schedule.prove_anew();
        schedule.update(&asked(&another), now);
        assert!(!schedule.proofs().contains_key("uid-b"));
        assert_eq!(due(&mut schedule, now).1, "a+-");
        schedule.settle("uid-a", None, agrees(), true, now);
        assert_eq!(due(&mut schedule, now).1, "b+a", "{proved}");
    }
}

#[tokio::test]
async fn what_showed_nothing_is_tried_again_later_and_later() {
    let start = Instant::now();
    let mut now = start;
    let mut schedule = Schedule::new(&request(&[target("a", false)]), now);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (at, what) = due(&mut schedule, now);
        assert_eq!(what, "a+-");
        waits.push((at - now).as_secs());
        now = at;
        schedule.settle("uid-a", None, silent(), false, now);
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 30]);
}

#[tokio::test]
async fn a_new_container_is_examined_anew_and_its_old_proof_is_gone() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", false)]), now);
    schedule.settle("uid-a", None, agrees(), true, now);
    let restarted = ProbeTarget {
        containers: "c2".into(),
        ..target("a", false)
    };
    schedule.update(&request(&[restarted]), now);
    assert!(schedule.proofs().is_empty());
    assert_eq!(due(&mut schedule, now).1, "a+-");
    assert!(
        !schedule.settle("uid-a", None, agrees(), true, now),
        "a late result about the old containers"
    );
}

#[tokio::test]
async fn one_blip_does_not_turn_a_proved_pod_and_two_do() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", true), target("b", true)]), now);
    schedule.swept(&["uid-b".into()], &[], &[], now);
    assert_eq!(due(&mut schedule, now).1, "b+a");
    assert!(!schedule.settle("uid-b", Some("uid-a"), diverges(), true, now));
    assert_eq!(due(&mut schedule, now).1, "b+a", "it is confirmed first");
    assert!(schedule.settle("uid-b", Some("uid-a"), diverges(), true, now));
    assert_eq!(schedule.proofs()["uid-b"].verdict, Verdict::Diverges);
    // And a heal is seen.
    let (at, what) = due(&mut schedule, now);
    assert_eq!((what.as_str(), at > now + Duration::from_secs(4)), ("b+a", true));
    assert!(schedule.settle("uid-b", Some("uid-a"), agrees(), true, at));
    assert_eq!(schedule.proofs()["uid-b"].verdict, Verdict::Agrees);
}

#[tokio::test]
async fn silence_takes_back_neither_a_proof_nor_what_contradicted_one() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", false), target("b", false)]), now);
    schedule.settle("uid-a", None, agrees(), true, now);
    schedule.settle("uid-b", Some("uid-a"), diverges(), true, now);
    for uid in ["uid-a", "uid-b"] {
        assert!(!schedule.settle(uid, None, silent(), false, now));
    }
    let verdicts: Vec<_> = schedule.proofs().into_values().map(|p| p.verdict).collect();
    assert_eq!(verdicts, [Verdict::Agrees, Verdict::Diverges]);
}

#[tokio::test]
async fn silence_about_a_proved_pod_is_told_when_it_lasts_and_forgotten_when_it_ends() {
    let mut now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", true), target("b", true)]), now);
    schedule.settle("uid-a", Some("uid-b"), agrees(), true, now);
    // Silent in one sweep: nothing. In two: it is examined.
    schedule.swept(&[], &[], &["uid-a".into()], now);
    assert!(due(&mut schedule, now).1.starts_with("sweep"));
    schedule.swept(&[], &["uid-a".into()], &[], now);
    schedule.swept(&[], &[], &["uid-a".into()], now);
    assert!(due(&mut schedule, now).1.starts_with("sweep"), "not in a row");
    schedule.swept(&[], &[], &["uid-a".into()], now);
    let mut told = Vec::new();
    for _ in 0..3 {
        let (at, what) = due(&mut schedule, now);
        assert_eq!(what, "a+b");
        now = at;
        told.push(schedule.settle("uid-a", Some("uid-b"), silent(), true, now));
    }
    assert_eq!(told, [false, false, true]);
    assert_eq!(schedule.proofs()["uid-a"].reason, PodReason::ProbeBlocked);
    // It still counts as proved: its gate is open.
    schedule.update(
        &request(&[target("a", true), target("b", true), target("c", false)]),
        now,
    );
    assert!(schedule.settle("uid-a", Some("uid-b"), agrees(), true, now));
    assert_eq!(schedule.proofs()["uid-a"].verdict, Verdict::Agrees);
}

#[tokio::test]
async fn a_slow_answer_of_a_new_pod_is_no_news_at_once() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", true), target("b", false)]), now);
    let slow = || proof(Verdict::Unknown, PodReason::Slow);
    assert!(!schedule.settle("uid-b", Some("uid-a"), slow(), true, now));
    assert!(!schedule.settle("uid-b", Some("uid-a"), slow(), true, now));
    assert!(schedule.settle("uid-b", Some("uid-a"), slow(), true, now));
}

#[tokio::test]
async fn a_witness_that_fails_takes_back_nothing_however_often() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", true), target("b", true)]), now);
    schedule.settle("uid-a", Some("uid-b"), agrees(), true, now);
    for _ in 0..5 {
        let nothing = proof(Verdict::Unknown, PodReason::Pending);
        assert!(!schedule.settle("uid-a", Some("uid-b"), nothing, true, now));
    }
    assert_eq!(schedule.proofs()["uid-a"].verdict, Verdict::Agrees);
}

#[tokio::test]
async fn a_server_that_limits_logins_is_left_alone_with_all_its_pods() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", false), target("b", false)]), now);
    schedule.settle(
        "uid-a",
        None,
        proof(Verdict::Unknown, PodReason::RateLimited),
        false,
        now,
    );
    assert_eq!(due(&mut schedule, now).0, now + Duration::from_secs(10));
}

#[tokio::test]
async fn a_wrong_password_is_tried_until_it_was_refused_once() {
    let now = Instant::now();
    let mut schedule = Schedule::new(&request(&[target("a", false)]), now);
    let mut tried = Vec::new();
    for refused in [false, true, true] {
        let at = due(&mut schedule, now).0;
        let Next::Pair { extras, .. } = schedule.next(at) else {
            panic!()
        };
        tried.push(extras.wrong_password);
        schedule.settle("uid-a", None, silent(), refused, now);
    }
    assert_eq!(tried, [true, true, false]);
}

#[tokio::test]
async fn retry_proves_everything_again_and_keeps_what_is_known_meanwhile() {
    let now = Instant::now();
    let mut again = request(&[target("a", true), target("b", true)]);
    let mut schedule = Schedule::new(&again, now);
    schedule.settle("uid-a", None, agrees(), true, now);
    again.retry = "now".into();
    schedule.update(&again, now);
    assert_eq!(schedule.proofs().len(), 1);
    assert_eq!(due(&mut schedule, now).1, "a+b");
    schedule.settle("uid-a", None, agrees(), true, now);
    assert_eq!(due(&mut schedule, now).1, "b+a");
}

#[tokio::test]
async fn sweeps_take_turns_and_wait_for_whatever_else_is_due() {
    let mut now = Instant::now();
    let targets = [target("a", true), target("b", true), target("c", true)];
    let mut schedule = Schedule::new(&request(&targets), now);
    let mut turns = Vec::new();
    for _ in 0..4 {
        let (at, what) = due(&mut schedule, now);
        assert!((54..=66).contains(&(at - now).as_secs()), "{:?}", at - now);
        turns.push(what);
        now = at;
        schedule.swept(&[], &[], &[], now);
    }
    assert_eq!(
        turns,
        ["sweep 3 0>1", "sweep 3 1>2", "sweep 3 2>0", "sweep 3 0>1"]
    );
    let joined: Vec<_> = targets.iter().cloned().chain([target("d", false)]).collect();
    let later = now + Duration::from_mins(5);
    schedule.update(&request(&joined), later);
    assert!(
        names(&schedule.next(later)).starts_with("d+"),
        "a joining pod before the sweep"
    );
}

#[tokio::test]
async fn a_witness_that_failed_in_its_own_part_is_examined_and_another_is_asked() {
    let now = Instant::now();
    let mut schedule = Schedule::new(
        &request(&[target("a", true), target("b", true), target("c", false)]),
        now,
    );
    assert_eq!(names(&schedule.next(now)), "c+a");
    schedule.settle(
        "uid-c",
        Some("uid-a"),
        proof(Verdict::Unknown, PodReason::Pending),
        true,
        now,
    );
    let (at, what) = due(&mut schedule, now);
    assert_eq!(what, "a+b");
    schedule.settle("uid-a", Some("uid-b"), silent(), true, at);
    assert_eq!(due(&mut schedule, at + Duration::from_secs(1)).1, "c+b");
}

/// Answers as it was told to; when nothing is left, everything is fine.
#[derive(Clone, Default)]
struct Script {
    pairs: Arc<Mutex<VecDeque<Meaning>>>,
    sweeps: Arc<Mutex<VecDeque<Meaning>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

fn step(action: Action, at: Role, of: Role, meaning: Meaning) -> Step {
    Step {
        action,
        at,
        of,
        meaning,
        status: Some(200),
        detail: String::new(),
        millis: 1,
    }
}

fn observed(subject: &ProbeTarget, witness: Option<&ProbeTarget>, crossed: Meaning) -> Observations {
    let mut seen = Observations {
        subject: subject.pod.clone(),
        ..Observations::default()
    };
    seen.steps.push(step(
        Action::Login,
        Role::Subject,
        Role::Subject,
        Meaning::Accepted,
    ));
    if let Some(witness) = witness {
        seen.witness = Some(witness.pod.clone());
        seen.steps.push(step(
            Action::Cross(Artifact::Session),
            Role::Subject,
            Role::Witness,
            crossed,
        ));
    }
    seen
}

impl Examiner for Script {
    async fn pair(
        &self,
        _: &ProbeRequest,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        _: Extras,
    ) -> Observations {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.calls.lock().unwrap().push(subject.pod.clone());
        let crossed = self
            .pairs
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Meaning::Accepted);
        observed(subject, witness, crossed)
    }

    async fn sweep(
        &self,
        _: &ProbeRequest,
        targets: &[ProbeTarget],
        issuer: usize,
        _: usize,
    ) -> Vec<Observations> {
        self.calls.lock().unwrap().push("sweep".into());
        let crossed = self
            .sweeps
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Meaning::Accepted);
        let (home, peer) = (&targets[issuer], &targets[(issuer + 1) % targets.len()]);
        vec![
            observed(home, None, Meaning::Accepted),
            observed(peer, Some(home), crossed),
        ]
    }

    async fn edge(&self, _: &ProbeRequest, _: &EdgeTarget, pod: &ProbeTarget) -> EdgeObservations {
        self.calls.lock().unwrap().push("edge".into());
        EdgeObservations {
            hostname: fake::HOSTNAME.into(),
            pod: pod.pod.clone(),
            connection: Connection::Unreachable("refused".into()),
            certificate_expires: None,
            cookies: Vec::new(),
            steps: Vec::new(),
        }
    }
}

/// A prober with a script, and the number of its notifications.
fn scripted(script: &Script, targets: &[ProbeTarget]) -> (Prober, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let prober = Prober::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let handle = prober.start(&key(), request(targets), script.clone());
    prober.services.lock().unwrap().insert(key(), handle);
    (prober, told)
}

fn verdicts(prober: &Prober) -> Vec<(String, Verdict)> {
    prober
        .proofs(&key())
        .into_iter()
        .map(|(uid, proof)| (uid, proof.verdict))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn news_is_told_once_and_a_quiet_hour_says_nothing() {
    let script = Script::default();
    let (prober, told) = scripted(&script, &[target("a", false), target("b", false)]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        verdicts(&prober),
        [
            ("uid-a".to_owned(), Verdict::Agrees),
            ("uid-b".to_owned(), Verdict::Agrees)
        ]
    );
    assert_eq!(told.load(Ordering::SeqCst), 2);
    prober.set(&key(), Some(request(&[target("a", true), target("b", true)])));
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(told.load(Ordering::SeqCst), 2);
    let sweeps = script
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|c| *c == "sweep")
        .count();
    assert!((54..=67).contains(&sweeps), "about one a minute: {sweeps}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_while_nothing_is_due_is_examined_at_once() {
    let script = Script::default();
    let (prober, told) = scripted(&script, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    prober.set(&key(), Some(request(&[target("a", false)])));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(verdicts(&prober), [("uid-a".to_owned(), Verdict::Agrees)]);
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_a_blip_isolates_nobody() {
    let script = Script::default();
    script.sweeps.lock().unwrap().push_back(Meaning::Rejected);
    let (prober, told) = scripted(&script, &[target("a", true), target("b", true)]);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(
        verdicts(&prober)
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Agrees)
    );
    let examined: Vec<_> = script.calls.lock().unwrap().iter().take(3).cloned().collect();
    assert_eq!(
        examined,
        ["sweep", "a", "b"],
        "both sides of the pair were examined"
    );
    assert!(told.load(Ordering::SeqCst) <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_keeps_diverging_is_told_once_and_its_heal_too() {
    let script = Script::default();
    // Two strikes of each, then b stays so until it heals.
    script.sweeps.lock().unwrap().push_back(Meaning::Rejected);
    script.pairs.lock().unwrap().extend([
        Meaning::Accepted,
        Meaning::Rejected,
        Meaning::Rejected,
        Meaning::Rejected,
    ]);
    let (prober, _) = scripted(&script, &[target("a", true), target("b", true)]);
    tokio::time::sleep(Duration::from_secs(72)).await;
    assert_eq!(
        verdicts(&prober),
        [
            ("uid-a".to_owned(), Verdict::Agrees),
            ("uid-b".to_owned(), Verdict::Diverges)
        ]
    );
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(
        verdicts(&prober)
            .iter()
            .all(|(_, verdict)| *verdict == Verdict::Agrees)
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_set_to_nothing_is_left_alone_and_its_task_ends() {
    let script = Script::default();
    let (prober, _) = scripted(&script, &[target("a", false)]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    prober.set(&key(), None);
    assert!(prober.proofs(&key()).is_empty());
    prober.tasks.close();
    prober.tasks.wait().await;
    let calls = script.calls.lock().unwrap().len();
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(script.calls.lock().unwrap().len(), calls);
}

/// Real requests: three replicas, one of which keeps its sessions to itself.
#[tokio::test]
async fn replicas_on_loopback_are_proved_and_the_odd_one_is_named() {
    let app = App::new("k");
    let odd = App {
        sessions: Arc::default(),
        ..app.replica()
    };
    let fakes = [
        app.replica().serve("a", 12).await,
        app.replica().serve("b", 13).await,
        odd.serve("c", 14).await,
    ];
    let targets: Vec<_> = fakes
        .iter()
        .map(|f| ProbeTarget {
            address: f.address.ip(),
            port: f.address.port(),
            ..target(&f.name, false)
        })
        .collect();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let prober = Prober::new(move |key| drop(sender.send(key)));
    prober.set(&key(), Some(request(&targets)));
    let all = async {
        while prober.proofs(&key()).len() < 3 {
            assert_eq!(told.recv().await, Some(key()));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("three proofs in 20 seconds");
    let found: Vec<_> = prober
        .proofs(&key())
        .into_values()
        .map(|p| (p.verdict, p.reason))
        .collect();
    assert_eq!(
        found,
        [
            (Verdict::Agrees, PodReason::Verified),
            (Verdict::Agrees, PodReason::Verified),
            (Verdict::Diverges, PodReason::LocalSession),
        ]
    );
}
