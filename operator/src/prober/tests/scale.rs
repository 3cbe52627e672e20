//! How much the prober asks: the requests of a sweep and the logins of replicas that join, counted by real servers on
//! loopback; and, when asked for, the CPU time that it takes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fake::Fake;
use super::*;

async fn serve(replicas: u8) -> Vec<Fake> {
    let app = App::new("k");
    let mut fakes = Vec::new();
    for n in 0..replicas {
        fakes.push(app.replica().serve(&format!("pod-{n:02}"), 20 + n).await);
    }
    fakes
}

/// The replicas at these addresses; the first so many are proved.
fn targets(addresses: &[SocketAddr], proved: usize) -> Vec<ProbeTarget> {
    let numbered = addresses.iter().enumerate();
    let target = |(n, address): (usize, &SocketAddr)| ProbeTarget {
        address: address.ip(),
        port: address.port(),
        ..target(&format!("pod-{n:02}"), n < proved)
    };
    numbered.map(target).collect()
}

fn addresses(fakes: &[Fake]) -> Vec<SocketAddr> {
    fakes.iter().map(|f| f.address).collect()
}

fn network() -> Network {
    Network {
        client: Client::new(Limits::default()).unwrap(),
    }
}

/// The requests that each replica has seen, by a part of their path.
fn seen(fakes: &[Fake], path: &str) -> Vec<usize> {
    let count = |fake: &Fake| {
        let log = fake.app.log.lock().unwrap();
        log.iter().filter(|seen| seen.path.contains(path)).count()
    };
    fakes.iter().map(count).collect()
}

async fn sweep(network: &Network, targets: &[ProbeTarget]) {
    let reports = network.sweep(&request(targets), targets, 0, 1).await;
    assert_eq!(reports.len(), targets.len());
    let agree = |seen: &Observations| accord_plan::agreement::judge(seen, "c1").verdict == Verdict::Agrees;
    assert!(reports.iter().all(agree));
}

#[tokio::test]
async fn a_sweep_takes_five_requests_for_each_replica_and_three_more() {
    for replicas in [3_u8, 10, 50] {
        let fakes = serve(replicas).await;
        let all = targets(&addresses(&fakes), fakes.len());
        sweep(&network(), &all).await;
        let requests: usize = seen(&fakes, "").iter().sum();
        assert_eq!(requests, 5 * usize::from(replicas) + 3, "{replicas} replicas");
        assert_eq!(
            seen(&fakes, LOGIN).iter().sum::<usize>(),
            1,
            "one login, whatever the number"
        );
    }
}

/// The login's path in the fakes' recipe.
const LOGIN: &str = "/login";

#[tokio::test]
async fn each_of_twenty_that_join_costs_the_same_logins() {
    let fakes = serve(23).await;
    let joining = targets(&addresses(&fakes), 3);
    let prober = Prober::new(|_| {});
    prober.set(&key(), Some(request(&joining)));
    let limit = Instant::now() + Duration::from_mins(2);
    let agreeing = || {
        let found = prober.proofs(&key()).into_values();
        found.filter(|p| p.verdict == Verdict::Agrees).count()
    };
    while agreeing() < 20 {
        assert!(Instant::now() < limit, "{} of 20", agreeing());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let logins = seen(&fakes, LOGIN);
    println!("logins at each of 3 proved and 20 new replicas: {logins:?}");
    let new = &logins[3..];
    assert!(new.iter().all(|n| *n == JOINING), "{new:?}");
    let witnesses: usize = logins[..3].iter().sum();
    assert_eq!(witnesses, 20 * WITNESSING, "{logins:?}");
}

/// Logins at a replica that joins, the refused one with a wrong password among them.
const JOINING: usize = 3;
/// Logins at its witness.
const WITNESSING: usize = 1;

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A request with nothing around it: connect, write, read to the end.
async fn bare(address: SocketAddr) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /nothing HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        fake::HOSTNAME
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "));
}

/// Linux only. The servers run on a thread of their own: what is counted is the asking.
#[test]
#[ignore = "a measurement: --ignored --nocapture"]
fn cpu_time_of_a_sweep_over_fifty_replicas() {
    const SWEEPS: u32 = 20;
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let servers = std::thread::spawn(move || {
        runtime().block_on(async {
            let fakes = serve(50).await;
            tell.send(addresses(&fakes)).unwrap();
            ended.await.unwrap();
        });
    });
    let addresses = told.recv().unwrap();
    let all = targets(&addresses, addresses.len());
    runtime().block_on(async {
        let network = network();
        sweep(&network, &all).await;
        let begun = cpu();
        for _ in 0..SWEEPS {
            sweep(&network, &all).await;
        }
        let swept = cpu().saturating_sub(begun) / SWEEPS;
        let requests = 5 * addresses.len() + 3;
        let begun = cpu();
        for _ in 0..SWEEPS {
            for address in addresses.iter().cycle().take(requests) {
                bare(*address).await;
            }
        }
        let plain = cpu().saturating_sub(begun) / SWEEPS;
        println!(
            "a sweep over {} replicas: {requests} requests, {swept:?} of CPU time; as many bare requests: {plain:?}; ratio {:.2}",
            addresses.len(),
            swept.as_secs_f64() / plain.as_secs_f64()
        );
    });
    end.send(()).unwrap();
    servers.join().unwrap();
}
