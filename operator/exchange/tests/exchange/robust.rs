//! Servers that answer late, never, too much or nonsense: bounded, and nothing is concluded from silence.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use accord_crds::PodReason::{self, *};
use accord_crds::Verdict;
use accord_exchange::Replica;
use accord_plan::agreement::{Proof, judge};
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
    is(
        &in_time(verdict(&s, None, &Sees::default())).await,
        Verdict::Unknown,
        Slow,
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
}

impl Fake {
    /// A replica on whose port nobody listens.
    fn closed(other: &Self) -> Replica {
        let listener = std::net::TcpListener::bind((other.address.ip(), 0)).unwrap();
        Replica {
            name: "pod-s".into(),
            address: listener.local_addr().unwrap(),
            tls: false,
        }
    }
}

/// Far beyond every limit of an exchange: who isn't done by then never is.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), work).await.unwrap()
}

/// A server that writes what it likes to each connection, and how many bytes it got rid of.
struct Raw {
    at: Replica,
    written: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a raw server does with a connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Closes it at once.
    Closes,
    /// Resets it when the request is there: closing with unread bytes does that.
    Resets,
    /// Breaks off in the middle of the body.
    BreaksOff,
    /// A byte of the body every 100 ms, for ever.
    Drips,
    /// A header that never ends.
    EndlessHeader,
    /// A body of one gigabyte.
    Gigabyte,
    /// The same answer to everything.
    Says(&'static str),
    /// An alert to a handshake of TLS, and this to all else.
    SpeaksTls(&'static str),
}

impl Manner {
    async fn serve(self, mut stream: TcpStream, written: &AtomicU64) -> std::io::Result<()> {
        match self {
            Self::Closes => return Ok(()),
            Self::Resets => return stream.readable().await,
            _ => {}
        }
        let mut request = [0; 8192];
        let read = stream.read(&mut request).await?;
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        match self {
            Self::BreaksOff => stream.write_all((head(100) + "half").as_bytes()).await,
            Self::Drips => {
                stream.write_all(head(1 << 20).as_bytes()).await?;
                loop {
                    stream.write_all(b"x").await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Self::EndlessHeader => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ").await?;
                pour(&mut stream, written).await
            }
            Self::Gigabyte => {
                stream.write_all(head(1 << 30).as_bytes()).await?;
                pour(&mut stream, written).await
            }
            Self::SpeaksTls(_) if request[..read].starts_with(HANDSHAKE) => stream.write_all(ALERT).await,
            Self::Says(text) | Self::SpeaksTls(text) => stream.write_all(text.as_bytes()).await,
            Self::Closes | Self::Resets => Ok(()),
        }
    }
}

async fn pour(stream: &mut TcpStream, written: &AtomicU64) -> std::io::Result<()> {
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        stream.write_all(&chunk).await?;
        written.fetch_add(chunk.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

async fn raw(manner: Manner) -> Raw {
    let listener = tokio::net::TcpListener::bind("127.0.0.4:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move { manner.serve(stream, &count).await });
        }
    });
    let at = Replica {
        name: "pod-s".into(),
        address,
        tls: false,
    };
    Raw { at, written, task }
}

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const ERROR_INSIDE: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 25\r\nconnection: close\r\n\r\n{\"error\":\"no such table\"}";
const BROKEN: &str = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
/// Of RFC 8446: a record of a handshake begins so, and this one holds the fatal alert `handshake_failure`.
const HANDSHAKE: &[u8] = &[0x16, 0x03];
const ALERT: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28];
const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.9\r\n";

#[rstest]
#[case::closes(Manner::Closes, ProbeBlocked)]
#[case::resets(Manner::Resets, ProbeBlocked)]
#[case::breaks_off(Manner::BreaksOff, ProbeBlocked)]
#[case::drips(Manner::Drips, Slow)]
#[case::endless_header(Manner::EndlessHeader, ProbeBlocked)]
#[case::gigabyte(Manner::Gigabyte, RecipeMismatch)]
#[case::nothing_to_everything(Manner::Says(EMPTY), RecipeMismatch)]
#[case::fine_to_everything(Manner::Says(FINE), RecipeMismatch)]
#[case::error_in_the_body(Manner::Says(ERROR_INSIDE), RecipeMismatch)]
#[case::broken(Manner::Says(BROKEN), PodReason::ServerError)]
#[case::another_protocol(Manner::Says(NO_HTTP), ProbeBlocked)]
#[tokio::test]
async fn no_nonsense_is_divergence_and_none_is_read_to_its_end(
    #[case] manner: Manner,
    #[case] reason: PodReason,
    #[values(false, true)] with_csrf: bool,
) {
    let server = raw(manner).await;
    let mut bench = Bench::new(&Sees::default());
    let mut reason = reason;
    if !with_csrf {
        // The login is reached then.
        bench.recipe.csrf = None;
        if matches!(manner, Manner::Says(BROKEN)) {
            reason = Ambiguous;
        }
    }
    let proof: Proof = judge(&in_time(bench.exchange().pair(&server.at, None)).await, "c1");
    is(&proof, Verdict::Unknown, reason);
    // What sockets hold, for each of a few requests.
    let written = server.written.load(Ordering::Relaxed) >> 20;
    assert!(written < 200, "{written} of 1024 MiB were taken");
}

#[rstest]
#[case::closes(Manner::SpeaksTls(""), true)]
#[case::refuses(Manner::SpeaksTls(BAD_REQUEST), true)]
#[case::no_tls_either(Manner::Closes, false)]
#[case::refuses_tls_too(Manner::Says(BAD_REQUEST), false)]
#[tokio::test]
async fn a_pod_that_speaks_tls_where_plain_http_is_expected_is_told_from_a_blocked_one(
    #[case] manner: Manner,
    #[case] speaks_tls: bool,
) {
    let server = raw(manner).await;
    let bench = Bench::new(&Sees::default());
    let proof = judge(&in_time(bench.exchange().pair(&server.at, None)).await, "c1");
    assert_eq!(proof.verdict, Verdict::Unknown, "{}", proof.message);
    assert_eq!(
        proof.message.contains("it speaks TLS"),
        speaks_tls,
        "{}",
        proof.message
    );
    if speaks_tls {
        is(&proof, Verdict::Unknown, ProbeBlocked);
    }
}
