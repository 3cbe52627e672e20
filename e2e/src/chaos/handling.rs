//! One request on its way through the proxy, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::action::Action;
use super::control::Restarter;
use super::counter::{Counter, Due};
use super::operator::Operator;
use super::plan::Plan;
use super::proxy::{Seen, Told};
use super::request::{Asked, Verb};
use super::watch_faults::{self, BLIND};
use super::wire::{self, Head, Request};

/// Longer than any answer but a watch takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at whether the run is over.
const LOOK: Duration = Duration::from_millis(100);
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// What all connections of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    upstream: SocketAddr,
    restarter: Restarter,
    pub(super) counter: Mutex<Counter>,
    pub(super) step: Mutex<&'static str>,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) told: Mutex<Told>,
    /// Lists as they were answered last, by who asked and for what.
    lists: Mutex<BTreeMap<(usize, String), Vec<u8>>>,
    /// Whose next watch of what tells nothing, since it follows a list of before.
    silent: Mutex<BTreeSet<(usize, String)>>,
    /// Connections to the API server that would outlive the operator that they are for.
    watches: Mutex<Vec<(usize, TcpStream)>>,
    pub(super) operators: Mutex<Vec<Arc<Operator>>>,
    pub(super) over: AtomicBool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr, plan: Plan, restarter: Restarter) -> Self {
        Self {
            upstream,
            restarter,
            counter: Mutex::new(Counter::new(plan)),
            step: Mutex::new(""),
            seen: Mutex::default(),
            told: Mutex::default(),
            lists: Mutex::default(),
            silent: Mutex::default(),
            watches: Mutex::default(),
            operators: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Answers one request; false when the connection is to be closed.
    pub(super) fn answer(&self, who: usize, request: &Request, client: &TcpStream) -> io::Result<bool> {
        let Some(asked) = Asked::parse(&request.method, &request.target) else {
            // Not about objects: no plan speaks of it.
            let (_, head, body) = self.ask(request)?;
            return hand_back(client, &head, &body).map(|()| true);
        };
        let due = lock(&self.counter).asked(&asked);
        let action = due.as_ref().map(|due| &due.action);
        let noted = |code| {
            let (asked, fault) = (asked.clone(), action.cloned());
            let step = *lock(&self.step);
            lock(&self.seen).push(Seen {
                who,
                step,
                asked,
                code,
                fault,
            });
        };
        match action {
            Some(Action::KillBefore) => {
                noted(0);
                self.kill(who);
                return Ok(false);
            }
            Some(Action::HangUp) => {
                noted(0);
                return Ok(false);
            }
            Some(Action::Answer { code, retry_after }) => {
                noted(0);
                return refuse(client, *code, *retry_after).map(|()| true);
            }
            Some(Action::StaleList) if self.tell_of_before(who, request, &asked, due.as_ref(), client)? => {
                noted(200);
                return Ok(true);
            }
            _ => {}
        }
        if asked.verb == Verb::Watch {
            noted(200);
            if let Some(Action::Delay { millis }) = action {
                std::thread::sleep(Duration::from_millis(*millis));
            }
            return self.watch(who, request, &asked.resource, client).map(|()| false);
        }
        let (status, head, body) = self.ask(request)?;
        noted(status);
        match action {
            Some(Action::KillAfter) => {
                self.kill(who);
                return Ok(false);
            }
            Some(Action::LoseAnswer) => return Ok(false),
            Some(Action::PauseAfter { seconds }) => self.pause(who, Duration::from_secs(*seconds)),
            Some(Action::Delay { millis }) => std::thread::sleep(Duration::from_millis(*millis)),
            Some(Action::RestartApi) => self.restarter.restart().map_err(io::Error::other)?,
            _ => {}
        }
        if asked.verb == Verb::List && status == 200 {
            lock(&self.lists).insert((who, request.target.clone()), body.clone());
        }
        hand_back(client, &head, &body).map(|()| true)
    }

    /// Asks the API server.
    fn ask(&self, request: &Request) -> io::Result<(u16, Head, Vec<u8>)> {
        let upstream = TcpStream::connect(self.upstream)?;
        upstream.set_nodelay(true)?;
        upstream.set_read_timeout(Some(PATIENCE))?;
        wire::write_request(&mut &upstream, request, "127.0.0.1")?;
        let mut from = BufReader::new(upstream);
        let head = wire::read_head(&mut from)?;
        let body = wire::read_body(&mut from, &head)?;
        Ok((head.status, head, body))
    }

    /// Answers with the list of before, if there is one; its watch will tell nothing for a while.
    fn tell_of_before(
        &self,
        who: usize,
        request: &Request,
        asked: &Asked,
        due: Option<&Due>,
        client: &TcpStream,
    ) -> io::Result<bool> {
        let before = lock(&self.lists).get(&(who, request.target.clone())).cloned();
        let (Some(body), Some(due)) = (before, due) else {
            return Ok(false);
        };
        lock(&self.counter).came(due);
        lock(&self.silent).insert((who, asked.resource.clone()));
        wire::write_answer(&mut &*client, 200, JSON.into_iter(), &body)?;
        Ok(true)
    }

    /// Hands a watch on, for as long as it lasts.
    fn watch(&self, who: usize, request: &Request, resource: &str, client: &TcpStream) -> io::Result<()> {
        if lock(&self.silent).remove(&(who, resource.to_owned())) {
            return self.tell_nothing(client);
        }
        let upstream = TcpStream::connect(self.upstream)?;
        upstream.set_nodelay(true)?;
        wire::write_request(&mut &upstream, request, "127.0.0.1")?;
        lock(&self.watches).push((who, upstream.try_clone()?));
        let limited = upstream.try_clone()?;
        let mut from = BufReader::new(upstream);
        let head = wire::read_head(&mut from)?;
        if head.status != 200 {
            let body = wire::read_body(&mut from, &head)?;
            return hand_back(client, &head, &body);
        }
        let limit = || limited.set_read_timeout(Some(BLIND));
        let decide = || self.fate(who, resource);
        let ended = watch_faults::hand_on(&mut from, &head, &mut &*client, limit, decide);
        // A clone is still among the watches: the API server has to see the end as well.
        let _ = limited.shutdown(Shutdown::Both);
        ended
    }

    /// What becomes of the next thing that a watch tells.
    fn fate(&self, who: usize, resource: &str) -> watch_faults::Told {
        let step = *lock(&self.step);
        *lock(&self.told).entry((step, resource.to_owned())).or_default() += 1;
        match lock(&self.counter).told(resource).map(|due| due.action) {
            Some(Action::LeaveOut) => watch_faults::Told::LeftOut,
            Some(Action::Answer { .. }) => watch_faults::Told::TooOld,
            Some(Action::HangUp) => watch_faults::Told::CutOff,
            Some(Action::KillBefore) => {
                self.kill(who);
                watch_faults::Told::CutOff
            }
            _ => watch_faults::Told::Whole,
        }
    }

    /// A watch in which nothing happens, until it is too old.
    fn tell_nothing(&self, client: &TcpStream) -> io::Result<()> {
        wire::begin_chunks(&mut &*client, 200, JSON.into_iter())?;
        let begun = Instant::now();
        while begun.elapsed() < BLIND && !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        watch_faults::too_old(&mut &*client)
    }

    fn operator(&self, who: usize) -> Option<Arc<Operator>> {
        lock(&self.operators).get(who).cloned()
    }

    /// The operator is gone when this returns; another one is started by who keeps it.
    fn kill(&self, who: usize) {
        if let Some(operator) = self.operator(who) {
            operator.kill();
        }
        lock(&self.silent).retain(|(whose, _)| *whose != who);
        self.end_watches(Some(who));
    }

    fn pause(&self, who: usize, time: Duration) {
        if let Some(operator) = self.operator(who) {
            operator.pause(time);
        }
    }

    /// Ends the watches of one copy, or of all.
    pub(super) fn end_watches(&self, of: Option<usize>) {
        lock(&self.watches).retain(|(who, watch)| {
            let stays = of.is_some_and(|of| of != *who);
            if !stays {
                let _ = watch.shutdown(Shutdown::Both);
            }
            stays
        });
    }
}

fn hand_back(mut client: &TcpStream, head: &Head, body: &[u8]) -> io::Result<()> {
    wire::write_answer(&mut client, head.status, head.headers.of_message(), body)?;
    client.flush()
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
    let headers = after.iter().map(|s| ("retry-after", s.as_str()));
    let headers = JSON.into_iter().chain(headers);
    wire::write_answer(&mut client, code, headers, body.to_string().as_bytes())
}
