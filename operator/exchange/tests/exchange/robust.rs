//! Servers that answer late, never, too much or nonsense: bounded, and nothing is concluded from silence.

use std::time::{Duration, Instant};

use accord_crds::PodReason::*;
use accord_crds::Verdict;
use accord_exchange::Replica;
use accord_plan::agreement::judge;

use crate::fake::{App, Fake};
use crate::setup::{Bench, Sees, is, verdict};

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let s = App::new("k").with(|f| f.redirects = true).serve("pod-s", 2).await;
    let proof = verdict(&s, None, &Sees::default()).await;
    is(&proof, Verdict::Diverges, Redirected);
    assert!(
        proof.message.contains("https://login.example.com/me/"),
        "{}",
        proof.message
    );
    assert!(!proof.message.contains("secret"), "{}", proof.message);
    let asked: Vec<_> = s
        .app
        .log
        .lock()
        .unwrap()
        .iter()
        .map(|seen| seen.path.clone())
        .collect();
    assert!(
        !asked.contains(&"/login/".into()),
        "no password goes to a server that redirects: {asked:?}"
    );
    assert_eq!(
        asked.iter().filter(|path| *path == "/me/").count(),
        1,
        "not followed: {asked:?}"
    );
}

#[tokio::test]
async fn a_pod_that_hangs_is_slow_and_nothing_is_concluded() {
    let s = App::new("k").with(|f| f.hangs = true).serve("pod-s", 2).await;
    let since = Instant::now();
    is(&verdict(&s, None, &Sees::default()).await, Verdict::Unknown, Slow);
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "the limit of one request holds"
    );
}

#[tokio::test]
async fn a_pod_that_limits_requests_is_left_alone() {
    let s = App::new("k").with(|f| f.throttles = true).serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Unknown,
        RateLimited,
    );
    assert_eq!(s.app.log.lock().unwrap().len(), 1, "not asked again");
}

#[tokio::test]
async fn a_refused_or_broken_connection_is_a_blocked_probe() {
    let s = App::new("k").serve("pod-s", 2).await;
    let nobody = Fake::closed(&s);
    let bench = Bench::new(&Sees::default());
    let exchange = bench.exchange();
    is(
        &judge(&exchange.pair(&nobody, None).await, "c1"),
        Verdict::Unknown,
        ProbeBlocked,
    );

    // Takes connections and closes them at once.
    let listener = tokio::net::TcpListener::bind("127.0.0.4:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let cut = Replica {
        name: "pod-s".into(),
        address,
    };
    is(
        &judge(&exchange.pair(&cut, None).await, "c1"),
        Verdict::Unknown,
        ProbeBlocked,
    );
    closing.abort();
}

impl Fake {
    /// A replica on whose port nobody listens.
    fn closed(other: &Self) -> Replica {
        let listener = std::net::TcpListener::bind((other.address.ip(), 0)).unwrap();
        Replica {
            name: "pod-s".into(),
            address: listener.local_addr().unwrap(),
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let s = App::new("k").with(|f| f.huge = true).serve("pod-s", 2).await;
    let since = Instant::now();
    let proof = verdict(&s, None, &Sees::default()).await;
    is(&proof, Verdict::Unknown, RecipeMismatch);
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "one gigabyte wasn't read"
    );
}
