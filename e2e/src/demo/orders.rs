//! `examples/django-orders` as its users use it: staff1 logs in at one replica and is known, or not, at the others.

use std::io::Read as _;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::service::Service;
use crate::cluster::Cluster;
use crate::http::{Answer, PodHttp, Request};

pub(crate) const HOST: &str = "orders.example.com";
pub(crate) const PORT: u16 = 8000;
const USER: &str = "staff1";
/// The Secret of the demo users' password.
pub(crate) const USERS: &str = "orders-demo-users";

/// The example's users.
pub(crate) struct Orders<'a> {
    service: &'a Service<'a>,
    password: String,
}

/// What a login gave.
pub(crate) struct Session {
    cookie: String,
    access: String,
    refresh: String,
}

/// How many answers were as they should be.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) replicas: usize,
    pub(crate) asked: usize,
    pub(crate) right: usize,
    /// What the others were.
    pub(crate) wrong: Vec<String>,
}

impl Tally {
    pub(crate) fn is_perfect(&self) -> bool {
        self.asked > 0 && self.right == self.asked
    }

    /// An error unless something was asked and every answer was as it should be.
    pub(crate) fn ensure_perfect(&self) -> Result<()> {
        if self.is_perfect() {
            return Ok(());
        }
        bail!(
            "{} of {} answers of {} replicas were as they should be:\n{}",
            self.right,
            self.asked,
            self.replicas,
            self.wrong.join("\n")
        )
    }

    /// Counts an answer.
    fn expect(
        &mut self,
        what: &str,
        answer: Result<Answer>,
        is_right: impl Fn(&Answer) -> bool,
    ) -> Option<Answer> {
        self.asked += 1;
        match answer {
            Ok(answer) if is_right(&answer) => {
                self.right += 1;
                Some(answer)
            }
            Ok(answer) => {
                // Bodies may hold tokens: the status says enough.
                self.wrong.push(format!("{what}: answered {}", answer.status));
                None
            }
            Err(error) => {
                self.wrong.push(format!("{what}: {error:#}"));
                None
            }
        }
    }
}

/// Gives the demo's users a password of their own, once for each namespace.
pub(crate) fn demo_users(cluster: &Cluster, namespace: &str, name: &str) -> Result<()> {
    if cluster.find("secret", namespace, name)?.is_some() {
        return Ok(());
    }
    let mut random = [0_u8; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let password = STANDARD.encode(random);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": password}
    });
    cluster.apply_in(namespace, &secret.to_string()).map(drop)
}

impl<'a> Orders<'a> {
    pub(crate) fn new(cluster: &Cluster, namespace: &str, service: &'a Service<'a>) -> Result<Self> {
        let password = cluster.secret(namespace, USERS, "password")?;
        Ok(Self { service, password })
    }

    /// A session that is kept to the end.
    pub(crate) fn first_session(&self) -> Result<Session> {
        let ways = self.service.ways(PORT)?;
        let first = ways.first().context("there is no ready replica to log in at")?;
        let mut tally = Tally::default();
        match self.login(&mut tally, first) {
            Some(session) => Ok(session),
            None => bail!("{USER} can't log in: {}", tally.wrong.join("; ")),
        }
    }

    /// The status of a login there.
    pub(crate) fn login_status(&self, at: &PodHttp) -> Result<u16> {
        try_login(at, &self.password).map(|answer| answer.status)
    }

    /// Asks every replica by its own address: a login at each, its session and tokens used on every other, the kept
    /// session on all, the logout seen by all, and what must be refused.
    pub(crate) fn ask_every_replica(&self, kept: &Session) -> Result<Tally> {
        let ways = self.service.ways(PORT)?;
        let mut tally = Tally {
            replicas: ways.len(),
            ..Tally::default()
        };
        for (index, here) in ways.iter().enumerate() {
            let at = here.pod().to_owned();
            tally.expect(
                &format!("the session from the beginning at {at}"),
                me_by_cookie(here, kept),
                is_user,
            );
            tally.expect(
                &format!("nobody at {at}"),
                here.send(&Request::get("/api/auth/me/").host(HOST)),
                is_refused,
            );
            tally.expect(
                &format!("a wrong password at {at}"),
                try_login(here, "not the password"),
                is_refused,
            );
            let Some(mut session) = self.login(&mut tally, here) else {
                continue;
            };
            for there in &ways {
                let path = format!("from {at} at {}", there.pod());
                tally.expect(
                    &format!("the session {path}"),
                    me_by_cookie(there, &session),
                    is_user,
                );
                tally.expect(
                    &format!("the access token {path}"),
                    me_by_token(there, &session),
                    is_user,
                );
            }
            // Refreshed at the next replica: with rotation, what it gives out replaces what was given out here.
            let next = &ways[(index + 1) % ways.len()];
            let path = format!("from {at} at {}", next.pod());
            let refreshed = tally.expect(
                &format!("the refresh token {path}"),
                refresh(next, &session),
                |a| a.status == 200 && a.field("access").is_some(),
            );
            if let Some(answer) = refreshed {
                answer
                    .field("access")
                    .unwrap_or_default()
                    .clone_into(&mut session.access);
                session.refresh = answer.field("refresh").map_or(session.refresh, str::to_owned);
            }
            tally.expect(
                &format!("logout at {}", next.pod()),
                logout(next, &session),
                |a| (200..300).contains(&a.status),
            );
            for there in &ways {
                let path = format!("from {at}, logged out at {}, at {}", next.pod(), there.pod());
                tally.expect(
                    &format!("the session {path}"),
                    me_by_cookie(there, &session),
                    is_refused,
                );
                tally.expect(
                    &format!("the refresh token {path}"),
                    refresh(there, &session),
                    is_refused,
                );
            }
        }
        Ok(tally)
    }

    /// Asks every replica what a session's tokens are worth; the refresh token once, since it may be changed for another.
    pub(crate) fn honour_tokens(&self, kept: &Session) -> Result<Tally> {
        let ways = self.service.ways(PORT)?;
        let mut tally = Tally {
            replicas: ways.len(),
            ..Tally::default()
        };
        for way in &ways {
            let at = format!("the access token at {}", way.pod());
            tally.expect(&at, me_by_token(way, kept), is_user);
        }
        if let Some(way) = ways.first() {
            let at = format!("the refresh token at {}", way.pod());
            tally.expect(&at, refresh(way, kept), |a| a.status == 200);
        }
        Ok(tally)
    }

    fn login(&self, tally: &mut Tally, at: &PodHttp) -> Option<Session> {
        let answer = tally.expect(
            &format!("login at {}", at.pod()),
            try_login(at, &self.password),
            |a| {
                a.status == 200
                    && a.cookie("sessionid").is_some()
                    && a.field("access").is_some()
                    && a.field("refresh").is_some()
            },
        )?;
        Some(Session {
            cookie: answer.cookie("sessionid")?,
            access: answer.field("access")?.to_owned(),
            refresh: answer.field("refresh")?.to_owned(),
        })
    }
}

fn try_login(at: &PodHttp, password: &str) -> Result<Answer> {
    let body = json!({"username": USER, "password": password});
    at.send(&Request::post("/api/auth/login/", &body).host(HOST))
}

fn me_by_cookie(at: &PodHttp, session: &Session) -> Result<Answer> {
    at.send(
        &Request::get("/api/auth/me/")
            .host(HOST)
            .cookie("sessionid", &session.cookie),
    )
}

fn me_by_token(at: &PodHttp, session: &Session) -> Result<Answer> {
    at.send(&Request::get("/api/auth/me/").host(HOST).bearer(&session.access))
}

fn refresh(at: &PodHttp, session: &Session) -> Result<Answer> {
    at.send(&Request::post("/api/auth/refresh/", &json!({"refresh": session.refresh})).host(HOST))
}

fn logout(at: &PodHttp, session: &Session) -> Result<Answer> {
    let body = json!({"refresh": session.refresh});
    let request = Request::post("/api/auth/logout/", &body).host(HOST);
    at.send(
        &request
            .bearer(&session.access)
            .cookie("sessionid", &session.cookie),
    )
}

fn is_user(answer: &Answer) -> bool {
    answer.status == 200 && answer.field("username") == Some(USER)
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 401
}
