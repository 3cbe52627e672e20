//! What stands between the operator and the API server: it hands on each request, counts it, and does to it what the
//! plan says. It listens on loopback, by plain HTTP; `kubectl proxy` behind it speaks TLS.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::operator::Operator;
use super::plan::{Action, Counter, Plan};
use super::request::{Asked, Verb};
use super::watch_faults::{self, Trouble};
use super::wire::{self, Request};

/// Longer than any answer but a watch takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// One answered request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) asked: Asked,
    /// The API server's status; 0 when it was never asked, or gave none.
    pub(crate) code: u16,
    /// What was done to it.
    pub(crate) fault: Option<Action>,
}

/// The proxy of one run.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    counter: Mutex<Counter>,
    seen: Mutex<Vec<Seen>>,
    /// Lists as they were answered last, by target.
    lists: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Connections to the API server that would outlive the operator that they are for.
    watches: Mutex<Vec<TcpStream>>,
    operator: Mutex<Option<Arc<Operator>>>,
    over: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Begins to listen.
    pub(crate) fn start(upstream: SocketAddr, plan: Plan) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for the proxy")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            counter: Mutex::new(Counter::new(plan)),
            seen: Mutex::default(),
            lists: Mutex::default(),
            watches: Mutex::default(),
            operator: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&accepting);
                // What ends a connection is the operator's or the plan's doing: there is nobody to tell.
                std::thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where the operator finds it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom a plan kills.
    pub(crate) fn kills(&self, operator: Arc<Operator>) {
        *lock(&self.shared.operator) = Some(operator);
    }

    /// Everything that was asked until now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many faults happened.
    pub(crate) fn happened(&self) -> u32 {
        lock(&self.shared.counter).happened
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        lock(&self.shared.operator).take();
        self.shared.end_watches();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// Everything that comes over one connection.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut from = BufReader::new(stream.try_clone()?);
        while let Some(request) = wire::read_request(&mut from)? {
            if self.over.load(Ordering::Relaxed) || !self.answer(&request, stream)? {
                // `try_clone` made a second owner: closing one isn't enough.
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Answers one request; false when the connection is to be closed.
    fn answer(&self, request: &Request, client: &TcpStream) -> io::Result<bool> {
        let asked = Asked::parse(&request.method, &request.target);
        let action = asked.as_ref().and_then(|asked| lock(&self.counter).count(asked));
        let told = |code| {
            if let Some(asked) = &asked {
                lock(&self.seen).push(Seen {
                    asked: asked.clone(),
                    code,
                    fault: action.clone(),
                });
            }
        };
        match &action {
            Some(Action::KillBefore) => {
                told(0);
                self.kill();
                return Ok(false);
            }
            Some(Action::HangUp) => {
                told(0);
                return Ok(false);
            }
            Some(Action::Answer { code, retry_after }) => {
                told(0);
                return refuse(client, *code, *retry_after).map(|()| true);
            }
            Some(Action::StaleList) => {
                let before = lock(&self.lists).get(&request.target).cloned();
                if let Some(body) = before {
                    self.came();
                    told(200);
                    let json = [("content-type", "application/json")];
                    return wire::write_answer(&mut &*client, 200, json.into_iter(), &body).map(|()| true);
                }
            }
            _ => {}
        }
        let upstream = TcpStream::connect(self.upstream)?;
        upstream.set_nodelay(true)?;
        let trouble = Trouble::of(action.as_ref());
        let request = Request {
            target: trouble.target(&request.target),
            ..request.clone()
        };
        wire::write_request(&mut &upstream, &request, "127.0.0.1")?;
        let watching = asked.as_ref().is_some_and(|a| a.verb == Verb::Watch);
        if watching {
            lock(&self.watches).push(upstream.try_clone()?);
        } else {
            upstream.set_read_timeout(Some(PATIENCE))?;
        }
        let mut from = BufReader::new(upstream);
        let head = wire::read_head(&mut from)?;
        if watching && head.status == 200 {
            told(head.status);
            watch_faults::hand_on(&mut from, &head, &trouble, &mut &*client, || self.came())?;
            return Ok(false);
        }
        let body = wire::read_body(&mut from, &head)?;
        told(head.status);
        match &action {
            Some(Action::KillAfter) => {
                self.kill();
                return Ok(false);
            }
            Some(Action::LoseAnswer) => return Ok(false),
            _ => {}
        }
        if asked.is_some_and(|a| a.verb == Verb::List) && head.status == 200 {
            lock(&self.lists).insert(request.target.clone(), body.clone());
        }
        wire::write_answer(&mut &*client, head.status, head.headers.of_message(), &body)?;
        (&*client).flush()?;
        Ok(true)
    }

    /// The operator is gone when this returns; another one is started by who keeps it.
    fn kill(&self) {
        let operator = lock(&self.operator).clone();
        if let Some(operator) = operator {
            operator.kill();
        }
        self.end_watches();
    }

    /// A fault that might have come did.
    fn came(&self) {
        lock(&self.counter).happened += 1;
    }

    fn end_watches(&self) {
        for watch in lock(&self.watches).drain(..) {
            let _ = watch.shutdown(Shutdown::Both);
        }
    }
}

/// An answer in the API server's place.
fn refuse(mut client: &TcpStream, code: u16, retry_after: Option<u32>) -> io::Result<()> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason,
        "message": "the plan of faults says so",
    });
    let after = retry_after.map(|s| s.to_string());
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(after.iter().map(|s| ("retry-after", s.as_str())));
    wire::write_answer(
        &mut client,
        code,
        headers.into_iter(),
        body.to_string().as_bytes(),
    )
}
