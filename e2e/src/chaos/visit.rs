//! One user who logs in through the Service, as it would send them: at one of its pods, and the session is then used at
//! another where there is one, each on a connection of its own. Says what became of it, and counts nothing.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::random::Random;
use super::traffic::Traffic;
use super::wire::{self, Head, Headers, Request};

/// An ordinary user, who is there before Accord is and whatever becomes of the canary.
pub(super) const USER: &str = "ordinary";
/// The user's, on loopback and for as long as a life lasts.
pub(super) const PASSWORD: &str = "only-for-a-run";

const HOST: &str = "login.example.com";
/// How a connection ends when nobody is there, or not any more.
const CUT: [io::ErrorKind; 5] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::UnexpectedEof,
];

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visit {
    Right,
    /// After the one retry that is allowed, where a connection was sent to a pod that had just been taken out.
    Retried,
    /// An answer, and not the right one.
    Wrong(String),
    /// No answer.
    Failed(String),
}

/// A request that wasn't answered.
struct Broken {
    /// The connection was refused or ended; whoever takes too long is something else.
    is_cut: bool,
    words: String,
}

struct User<'t> {
    service: &'t Traffic,
    random: Random,
    deadline: Instant,
    has_retried: bool,
}

/// Logs in and uses the session, within so long. The pods are drawn.
pub(super) fn visit(service: &Traffic, random: Random, patience: Duration) -> Visit {
    let mut user = User {
        service,
        random,
        deadline: Instant::now() + patience,
        has_retried: false,
    };
    match user.come() {
        Ok(()) if user.has_retried => Visit::Retried,
        Ok(()) => Visit::Right,
        Err(visit) => visit,
    }
}

impl User<'_> {
    fn come(&mut self) -> Result<(), Visit> {
        let who = json!({"username": USER, "password": PASSWORD});
        let login = request("POST", "/login", ("content-type", "application/json"), &who);
        let (first, head, _) = self.ask(&login, None)?;
        let session = head.headers.get("set-cookie").and_then(|c| c.split(';').next());
        let Some(session) = session.filter(|_| head.status == 200) else {
            return Err(Visit::Wrong(format!("{first} answered a login {}", head.status)));
        };
        let me = request("GET", "/me", ("cookie", session), &Value::Null);
        let (second, head, body) = self.ask(&me, Some(first))?;
        let name = serde_json::from_slice::<Value>(&body).unwrap_or_default()["username"].take();
        if head.status == 200 && name == USER {
            return Ok(());
        }
        let status = head.status;
        Err(Visit::Wrong(format!(
            "a session of {first} was answered {status} by {second}, for the user {name}"
        )))
    }

    /// Asks a pod, another than this one where there is one. Who answered, and what.
    fn ask(
        &mut self,
        request: &Request,
        but: Option<SocketAddr>,
    ) -> Result<(SocketAddr, Head, Vec<u8>), Visit> {
        loop {
            let mut pods = self.service.endpoints();
            // Who tries again takes what comes.
            if pods.len() > 1 && !self.has_retried {
                pods.retain(|pod| Some(*pod) != but);
            }
            let Some(to) = pods.get(self.random.below(pods.len())).copied() else {
                return Err(Visit::Failed("the Service has no pod to send to".to_owned()));
            };
            match exchange(to, request, self.deadline) {
                Ok((head, body)) => return Ok((to, head, body)),
                // The fault has to be the pod's own end: one that still counts as ready has to answer.
                Err(broken) if broken.is_cut && !self.has_retried && !self.service.is_behind(to) => {
                    self.has_retried = true;
                }
                Err(Broken { words, .. }) => {
                    let state = match (self.service.is_behind(to), self.has_retried) {
                        (true, _) => "ready",
                        (false, false) => "on its way out",
                        (false, true) => "on its way out, after the retry",
                    };
                    let target = &request.target;
                    return Err(Visit::Failed(format!("{target} at {to} ({state}): {words}")));
                }
            }
        }
    }
}

fn request(method: &str, target: &str, header: (&str, &str), body: &Value) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Headers::of(&[header]),
        body: match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        },
    }
}

/// One request on a connection of its own.
fn exchange(to: SocketAddr, request: &Request, deadline: Instant) -> Result<(Head, Vec<u8>), Broken> {
    let asked = || -> io::Result<(Head, Vec<u8>)> {
        let left = || {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_over = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
            Some(left).filter(|left| !left.is_zero()).ok_or_else(is_over)
        };
        let mut stream = TcpStream::connect_timeout(&to, left()?)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(left()?))?;
        let mut whole = Vec::new();
        wire::write_request(&mut whole, request, HOST)?;
        stream.write_all(&whole)?;
        stream.set_read_timeout(Some(left()?))?;
        let mut from = BufReader::new(stream);
        if from.fill_buf()?.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed without an answer",
            ));
        }
        let head = wire::read_head(&mut from)?;
        let body = wire::read_body(&mut from, &head)?;
        Ok((head, body))
    };
    asked().map_err(|error| Broken {
        is_cut: CUT.contains(&error.kind()),
        words: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Waiting for an answer that doesn't come; longer than one that does takes.
    const PATIENCE: Duration = Duration::from_secs(5);
    const SESSION: (&str, &str) = ("set-cookie", "sid=s; Path=/");

    /// What a tiny server does with a request.
    type Answer = fn(&Request) -> Option<(u16, Value)>;

    fn good(request: &Request) -> (u16, Value) {
        let body = match request.target.as_str() {
            "/login" => json!({}),
            _ if request.headers.get("cookie") == Some("sid=s") => json!({"username": USER}),
            _ => return (401, json!({})),
        };
        (200, body)
    }

    /// A server that answers like this, or hangs up where there is no answer; with how many requests it got.
    fn server(answer: Answer) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut from = BufReader::new(stream.try_clone().unwrap());
                let Ok(Some(request)) = wire::read_request(&mut from) else {
                    continue;
                };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some((status, body)) = answer(&request) {
                    let body = body.to_string();
                    let headers = [SESSION].into_iter();
                    wire::write_answer(&mut &stream, status, headers, body.as_bytes()).unwrap();
                }
            }
        });
        (address, asked)
    }

    /// Where nobody listens.
    fn nobody() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    /// Twenty users, whoever they are sent to.
    fn visits(service: impl Fn() -> Traffic) -> Vec<Visit> {
        let one = |seed| visit(&service(), Random::of(seed), PATIENCE);
        (0..20).map(one).collect()
    }

    #[test]
    fn a_session_is_used_at_another_pod_than_it_was_made_at() {
        let ((a, of_a), (b, of_b)) = (server(|r| Some(good(r))), server(|r| Some(good(r))));
        assert!(
            visits(|| Traffic::to(&[a, b], &[]))
                .iter()
                .all(|v| *v == Visit::Right)
        );
        let counts = [of_a, of_b].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(
            counts,
            [20, 20],
            "each has either the login or the session of each"
        );
        let alone = visits(|| Traffic::to(&[a], &[]));
        assert!(alone.iter().all(|v| *v == Visit::Right), "{alone:?}");
    }

    #[test]
    fn an_answer_that_is_not_right_is_wrong_and_is_not_asked_for_again() {
        let answers: [(Answer, &str); 5] = [
            (|_| Some((401, json!({}))), "answered a login 401"),
            (|_| Some((503, json!({}))), "answered a login 503"),
            (
                |r| Some((if r.target == "/me" { 401 } else { 200 }, json!({}))),
                "was answered 401",
            ),
            (
                |_| Some((200, json!({"username": "another"}))),
                "for the user \"another\"",
            ),
            (|_| Some((200, json!({}))), "for the user null"),
        ];
        for (answer, words) in answers {
            let (at, asked) = server(answer);
            // Also of a pod on its way out.
            let said = visit(&Traffic::to(&[], &[at]), Random::of(1), PATIENCE);
            assert!(
                matches!(&said, Visit::Wrong(w) if w.contains(words)),
                "{words}: {said:?}"
            );
            assert!(asked.load(Ordering::Relaxed) <= 2, "{words}");
        }
        let ((a, _), (b, _)) = (server(|r| Some(good(r))), server(|_| Some((401, json!({})))));
        let said = visits(|| Traffic::to(&[a, b], &[]));
        assert!(said.iter().all(|v| matches!(v, Visit::Wrong(_))), "{said:?}");
    }

    #[test]
    fn a_pod_on_its_way_out_may_be_met_once_and_that_is_told() {
        let (good, _) = server(|r| Some(good(r)));
        for leaving in [nobody(), server(|_| None).0] {
            let said = visits(|| Traffic::to(&[good], &[leaving]));
            let count = |kind: fn(&Visit) -> bool| said.iter().filter(|v| kind(v)).count();
            let retried = count(|v| *v == Visit::Retried);
            let twice = count(|v| matches!(v, Visit::Failed(words) if words.contains("after the retry")));
            // Whoever logs in at the one has to use the session at the other: nobody is spared.
            assert_eq!((retried + twice, retried > 0), (20, true), "{said:?}");
        }
    }

    #[test]
    fn a_ready_pod_that_does_not_answer_is_a_failure_at_once() {
        let (hangs_up, asked) = server(|_| None);
        for dead in [nobody(), hangs_up] {
            let said = visit(&Traffic::to(&[dead], &[]), Random::of(1), PATIENCE);
            assert!(
                matches!(&said, Visit::Failed(words) if words.contains("/login") && words.contains("(ready)")),
                "{said:?}"
            );
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "nobody tries that again");
        let said = visit(&Traffic::to(&[], &[]), Random::of(1), PATIENCE);
        assert!(
            matches!(&said, Visit::Failed(words) if words.contains("no pod")),
            "{said:?}"
        );
    }

    #[test]
    fn who_does_not_answer_in_time_has_failed_whoever_it_is() {
        // The system takes the connection, and nobody reads from it.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        for service in [Traffic::to(&[at], &[]), Traffic::to(&[], &[at])] {
            let said = visit(&service, Random::of(1), Duration::from_millis(50));
            assert!(matches!(&said, Visit::Failed(_)), "{said:?}");
        }
    }
}
