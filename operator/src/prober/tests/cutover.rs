//! Two revisions beside each other: what is found out between them, and that nothing joins them while they are apart.

use accord_plan::agreement::Basis;

use super::fleet::Fleet;
use super::*;

fn of_revision(pod: &str, revision: &str, proved: bool) -> ProbeTarget {
    ProbeTarget {
        revision: revision.into(),
        ..target(pod, proved)
    }
}

fn apart(targets: &[ProbeTarget]) -> ProbeRequest {
    ProbeRequest {
        apart: true,
        ..request(targets)
    }
}

async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Two replicas of the released revision and two newcomers that keep their sessions elsewhere.
fn two_and_two(declared: Option<&'static str>) -> (Fleet, Vec<ProbeTarget>) {
    let stores = [("a", "old"), ("b", "old"), ("c", "new"), ("d", "new")];
    let targets = vec![
        of_revision("a", "r1", true),
        of_revision("b", "r1", true),
        of_revision("c", "r2", false),
        of_revision("d", "r2", false),
    ];
    (Fleet::new(declared, &stores), targets)
}

#[tokio::test(start_paused = true)]
async fn what_lies_between_two_revisions_is_no_fault_of_a_pod() {
    let (fleet, targets) = two_and_two(None);
    let prober = fleet.start(&targets);
    after(5).await;
    let found = prober.proofs(&key());
    let proof = &found["uid-c"];
    assert_eq!(proof.verdict, Verdict::Diverges);
    assert_eq!(
        (proof.grounds.basis, proof.grounds.witness.as_deref()),
        (Basis::Pair, Some("r1"))
    );
}

#[tokio::test(start_paused = true)]
async fn apart_each_revision_is_proved_among_its_like_and_no_sweep_joins_them() {
    let (fleet, mut targets) = two_and_two(None);
    let prober = fleet.start(&targets);
    after(5).await;
    prober.set(&key(), Some(apart(&targets)));
    after(5).await;
    let found = prober.proofs(&key());
    for uid in ["uid-c", "uid-d"] {
        assert_eq!(found[uid].verdict, Verdict::Agrees, "{found:?}");
        assert!(found[uid].grounds.apart);
    }
    assert_eq!(found["uid-d"].grounds.witness.as_deref(), Some("r2"));
    for newcomer in &mut targets[2..] {
        newcomer.proved = true;
    }
    prober.set(&key(), Some(apart(&targets)));
    after(600).await;
    assert!(fleet.examined("sweep") >= 8);
    let examined = fleet.examined("a") + fleet.examined("b");
    assert_eq!(examined, 0, "a sweep over both would have made them suspects");
}

#[tokio::test(start_paused = true)]
async fn newcomers_that_contradict_each_other_are_found_apart_too() {
    let (fleet, targets) = two_and_two(None);
    fleet.move_to("d", "newer");
    let prober = Prober::new(|_| {});
    let handle = prober.start(&key(), apart(&targets), fleet);
    prober.services.lock().unwrap().insert(key(), handle);
    after(10).await;
    let found = prober.proofs(&key());
    assert_eq!(found["uid-c"].verdict, Verdict::Agrees);
    assert_eq!(found["uid-d"].verdict, Verdict::Diverges);
    assert_eq!(found["uid-d"].grounds.witness.as_deref(), Some("r2"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_the_question_before_counts_no_more() {
    let (fleet, targets) = two_and_two(None);
    let prober = fleet.start(&targets);
    // The first exchange takes half a second.
    tokio::time::sleep(Duration::from_millis(100)).await;
    prober.set(&key(), Some(apart(&targets)));
    after(5).await;
    let found = prober.proofs(&key());
    assert!(found.values().all(|p| p.grounds.apart), "{found:?}");
    assert_eq!(found["uid-c"].verdict, Verdict::Agrees);
}

#[tokio::test(start_paused = true)]
async fn an_anchored_newcomer_tells_that_no_witness_is() {
    let (fleet, targets) = two_and_two(Some("new"));
    let prober = fleet.start(&targets[..3]);
    after(10).await;
    let found = prober.proofs(&key());
    let proof = &found["uid-c"];
    assert_eq!(
        (proof.verdict, proof.grounds.basis),
        (Verdict::Unknown, Basis::Witness),
        "{found:?}"
    );
    assert!(found.get("uid-a").is_none_or(|p| p.verdict != Verdict::Diverges));
}

#[tokio::test(start_paused = true)]
async fn one_witness_that_is_anchored_has_its_say() {
    let (fleet, targets) = two_and_two(Some("new"));
    fleet.move_to("b", "new");
    let prober = fleet.start(&targets[..3]);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let found = prober.proofs(&key());
        let told = found.get("uid-c").map(|p| p.grounds.basis);
        assert_ne!(told, Some(Basis::Witness), "{found:?}");
    }
    assert_eq!(prober.proofs(&key())["uid-c"].verdict, Verdict::Agrees);
}
