//! The way in from outside: a login through the canonical hostname, as a browser makes it, beside one at a replica by its
//! own address.

mod greeting;

use std::net::SocketAddr;

use accord_plan::agreement::{Action, Connection, EdgeObservations, Meaning, Role, Step};

use crate::password::Password;
use crate::requests::Run;
use crate::session::Session;
use crate::trace::Outcome;
use crate::{Client, Exchange, Replica};

use Role::{Subject as Edge, Witness as Pod};

/// Addresses of a name that are tried, at most.
const ADDRESSES: usize = 4;

impl Exchange<'_> {
    /// Logs in over HTTPS at one of `addresses` with `browser`, and at `pod` by its own address; what either issues is
    /// checked at the other. About fourteen requests and two logins; every session is ended.
    pub async fn edge(&self, browser: &Client, addresses: &[SocketAddr], pod: &Replica) -> EdgeObservations {
        let mut seen = EdgeObservations {
            hostname: self.hostname.to_owned(),
            pod: pod.name.clone(),
            connection: Connection::NotResolved("no address".into()),
            certificate_expires: None,
            cookies: Vec::new(),
            steps: Vec::new(),
        };
        let mut door = None;
        for address in addresses.iter().take(ADDRESSES) {
            match browser.greet(self.hostname, *address).await {
                Ok(expires) => {
                    (seen.connection, seen.certificate_expires) = (Connection::Made, expires);
                    door = Some(*address);
                    break;
                }
                Err(why) => seen.connection = why,
            }
        }
        let Some(address) = door else {
            return seen;
        };
        let through = Exchange {
            client: browser,
            ..*self
        };
        let edge = Replica {
            name: self.hostname.to_owned(),
            address,
            tls: true,
        };
        let mut walk = Walk {
            runs: [Run::new(through), Run::new(*self)],
            places: [&edge, pod],
            steps: Vec::new(),
        };
        let mut sessions = [None, None];
        // The replica first: where it fails by itself nothing can be said of the way in.
        for side in [Pod, Edge] {
            sessions[at(side)] = walk.log_in(side).await;
        }
        if let [Some(outside), _] = &sessions {
            seen.cookies = walk.runs[at(Edge)].scopes(self.hostname, outside);
        }
        if let [Some(outside), Some(inside)] = &mut sessions {
            walk.cross(Edge, outside).await;
            walk.cross(Pod, inside).await;
        }
        for side in [Edge, Pod] {
            if let Some(session) = &sessions[at(side)] {
                walk.log_out(side, session).await;
            }
        }
        seen.steps = walk.steps;
        seen
    }
}

const fn at(side: Role) -> usize {
    match side {
        Edge => 0,
        Pod => 1,
    }
}

/// Both sides, each with its own client.
struct Walk<'a> {
    runs: [Run<'a>; 2],
    places: [&'a Replica; 2],
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn add(&mut self, action: Action, side: Role, of: Role, outcome: Outcome) -> bool {
        let accepted = outcome.accepted();
        self.steps.push(outcome.step(action, side, of));
        accepted
    }

    /// CSRF token, login, and what it gave at the same side.
    async fn log_in(&mut self, side: Role) -> Option<Session> {
        let (run, place) = (self.runs[at(side)], self.places[at(side)]);
        let mut session = Session::default();
        if let Some(csrf) = run.csrf(place, &mut session).await
            && !self.add(Action::Csrf, side, side, csrf)
        {
            return None;
        }
        let login = run.login(place, &mut session, Password::Declared).await;
        let known = login.accepted();
        self.add(Action::Login, side, side, login);
        if known {
            for artifact in run.artifacts() {
                let check = run.check(place, &mut session, Some(artifact)).await;
                self.add(Action::Own(artifact), side, side, check);
            }
        }
        known.then_some(session)
    }

    /// What one side issued, at the other.
    async fn cross(&mut self, of: Role, session: &mut Session) {
        let side = of.other();
        let (run, place) = (self.runs[at(side)], self.places[at(side)]);
        for artifact in run.artifacts() {
            let check = run.check(place, session, Some(artifact)).await;
            self.add(Action::Cross(artifact), side, of, check);
        }
    }

    async fn log_out(&mut self, side: Role, session: &Session) {
        let (run, place) = (self.runs[at(side)], self.places[at(side)]);
        if let Some(outcome) = run.logout(place, session).await {
            // A refusal is the recipe's business; silence and errors are the way's.
            let mut outcome = outcome;
            if outcome.meaning == Meaning::Rejected {
                outcome.meaning = Meaning::Accepted;
            }
            self.add(Action::Logout, side, side, outcome);
        }
    }
}
