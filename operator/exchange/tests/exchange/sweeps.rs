//! The sweep: who is to be examined.

use accord_crds::PodReason::{self, *};
use accord_crds::Verdict;
use accord_plan::agreement::judge;

use crate::fake::{App, Fake};
use crate::setup::{Bench, Sees, replica};

async fn sweep(replicas: &[&Fake], issuer: usize, ender: usize) -> Vec<(String, Verdict, PodReason)> {
    let mut bench = Bench::new(&Sees::default());
    bench.wrong_password = false;
    let replicas: Vec<_> = replicas.iter().map(|f| replica(f)).collect();
    let reports = bench.exchange().sweep(&replicas, issuer, ender).await;
    reports
        .iter()
        .map(|seen| {
            let proof = judge(seen, "c1");
            (seen.subject.clone(), proof.verdict, proof.reason)
        })
        .collect()
}

#[tokio::test]
async fn a_sweep_over_agreeing_replicas_finds_nothing_and_logs_in_once() {
    let app = App::new("k");
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        app.replica().serve("c", 4).await,
    );
    for (issuer, ender) in [(0, 1), (1, 1), (2, 0)] {
        let found = sweep(&[&a, &b, &c], issuer, ender).await;
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|f| (f.1, f.2) == (Verdict::Agrees, Verified)),
            "{found:?}"
        );
    }
    let logins: usize = [&a, &b, &c]
        .iter()
        .map(|f| {
            f.app
                .log
                .lock()
                .unwrap()
                .iter()
                .filter(|s| s.path == "/login/")
                .count()
        })
        .sum();
    assert_eq!(logins, 3, "one for each sweep");
    assert_eq!(app.sessions.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_sweep_finds_the_pod_that_went_its_own_way() {
    let app = App::new("k");
    let odd = App {
        sessions: std::sync::Arc::default(),
        ..app.replica()
    };
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        odd.serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 1).await;
    let wrong: Vec<_> = found.iter().filter(|f| f.1 != Verdict::Agrees).collect();
    assert_eq!(wrong, [&("c".to_owned(), Verdict::Diverges, LocalSession)]);
}

#[tokio::test]
async fn a_sweep_finds_where_a_logout_does_not_arrive() {
    let app = App::new("k");
    let odd = App {
        blacklist: std::sync::Arc::default(),
        ..app.replica()
    };
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        odd.serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 1).await;
    let wrong: Vec<_> = found.iter().filter(|f| f.1 != Verdict::Agrees).collect();
    assert_eq!(wrong, [&("c".to_owned(), Verdict::Diverges, LocalRevocation)]);
}

#[tokio::test]
async fn a_sweep_goes_on_past_a_pod_that_does_not_answer() {
    let app = App::new("k");
    let silent = app.replica().with(|f| f.hangs = true);
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        silent.serve("b", 3).await,
        app.replica().serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 2).await;
    assert_eq!(found[1], ("b".to_owned(), Verdict::Unknown, Slow));
    assert_eq!(found[2], ("c".to_owned(), Verdict::Agrees, Verified));
    assert_eq!(app.sessions.lock().unwrap().len(), 0);
}
