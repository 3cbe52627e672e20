//! The way in from outside is tried with each sweep, and only where it is declared.

use accord_crds::edge::EdgeReason;

use super::*;

fn declared(targets: &[ProbeTarget]) -> ProbeRequest {
    ProbeRequest {
        edge: Some(EdgeTarget {
            address: None,
            port: 443,
            authorities: None,
        }),
        ..request(targets)
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_once_for_each_sweep_and_accuses_no_pod() {
    let script = Script::default();
    let targets = [target("a", true), target("b", true)];
    let (prober, told) = scripted(&script, &targets);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(!script.calls.lock().unwrap().contains(&"edge".to_owned()));
    prober.set(&key(), Some(declared(&targets)));
    script.calls.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_mins(10)).await;
    let calls = script.calls.lock().unwrap().clone();
    let pairs: Vec<&[String]> = calls.chunks(2).collect();
    assert!((9..=12).contains(&pairs.len()), "{calls:?}");
    assert!(pairs.iter().all(|p| *p == ["sweep", "edge"]), "{calls:?}");
    assert_eq!(
        prober.edge(&key()).map(|s| s.reason),
        Some(EdgeReason::Unreachable)
    );
    assert_eq!(told.load(Ordering::SeqCst), 1, "told once");
    assert!(prober.proofs(&key()).is_empty(), "and nothing of the pods");
    prober.set(&key(), Some(request(&targets)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(prober.edge(&key()), None);
}
