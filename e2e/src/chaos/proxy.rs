//! What stands between the operator and the API server: it hands on each request, counts it, and does to it what the
//! plan says. It listens on loopback, by plain HTTP, at an address for each copy of the operator; `kubectl proxy` behind
//! it speaks TLS.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};

use super::action::Action;
use super::control::Restarter;
use super::handling::{Shared, lock};
use super::operator::Operator;
use super::plan::Plan;
use super::request::Asked;
use super::wire;

/// One answered request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which copy of the operator asked.
    pub(crate) who: usize,
    /// In which step of the history; empty before the first.
    pub(crate) step: &'static str,
    pub(crate) asked: Asked,
    /// The API server's status; 0 when it was never asked, or gave none.
    pub(crate) code: u16,
    /// What was done to it.
    pub(crate) fault: Option<Action>,
}

/// How much the watches told: by step and resource.
pub(crate) type Told = BTreeMap<(&'static str, String), u32>;

/// The proxy of one run.
#[derive(Debug)]
pub(crate) struct Proxy {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins to listen.
    pub(crate) fn start(upstream: SocketAddr, plan: Plan, restarter: Restarter) -> Result<Self> {
        let copies = plan.copies().len();
        let shared = Arc::new(Shared::new(upstream, plan, restarter));
        let mut addresses = Vec::new();
        for who in 0..copies {
            let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port for the proxy")?;
            addresses.push(listener.local_addr()?);
            let accepting = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, &accepting, who));
        }
        Ok(Self { addresses, shared })
    }

    /// Where the copies of the operator find it.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whom a plan kills and stops.
    pub(crate) fn knows(&self, operators: &[Arc<Operator>]) {
        operators.clone_into(&mut lock(&self.shared.operators));
    }

    /// A step of the history begins.
    pub(crate) fn begin(&self, step: &'static str) {
        *lock(&self.shared.step) = step;
        lock(&self.shared.counter).begin(step);
    }

    /// Everything that was asked until now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Everything that the watches had to tell until now.
    pub(crate) fn told(&self) -> Told {
        lock(&self.shared.told).clone()
    }

    /// How often each fault came.
    pub(crate) fn came(&self) -> Vec<u32> {
        lock(&self.shared.counter).all_that_came()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        lock(&self.shared.operators).clear();
        self.shared.end_watches(None);
        // Wakes the threads that accept.
        for address in &self.addresses {
            drop(TcpStream::connect(address));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, who: usize) {
    for stream in listener.incoming() {
        if shared.over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // What ends a connection is the operator's or the plan's doing: there is nobody to tell.
        std::thread::spawn(move || {
            let _ = serve(&shared, who, &stream);
            // `try_clone` made a second owner: dropping one isn't enough.
            stream.shutdown(Shutdown::Both)
        });
    }
}

/// Everything that comes over one connection.
fn serve(shared: &Shared, who: usize, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::new(stream.try_clone()?);
    while let Some(request) = wire::read_request(&mut from)? {
        if shared.over.load(Ordering::Relaxed) || !shared.answer(who, &request, stream)? {
            break;
        }
    }
    Ok(())
}
