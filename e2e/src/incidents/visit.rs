//! One visit of one user: login, what only a user may see, refresh, logout, and what must be over then. Each request has
//! a connection of its own (unless the way there keeps it), so behind a Service each may be answered by another replica.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::apps::App;
use crate::http::{Answer, PodHttp, Request};

mod password;

/// How a visit went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Visit {
    /// Every answer was as it should be.
    Right,
    /// The login wasn't.
    NoLogin(String),
    /// The login was, and an answer after it wasn't.
    Wrong(String),
    /// No answer came.
    Unanswered(String),
}

/// Who visits what.
pub(super) struct User<'a> {
    pub(super) app: &'a App,
    pub(super) password: &'a str,
    /// Whether a logout ends the session.
    pub(super) sessions_end: bool,
    /// Where a visit is a change of password: one at a time, and how many there were. Each is another user's, since a
    /// server that just heard of a change isn't stale about it.
    pub(super) turn: Option<Mutex<usize>>,
}

/// What a login gave.
#[derive(Default)]
struct Held {
    cookies: BTreeMap<&'static str, String>,
    access: Option<String>,
    refresh: Option<String>,
}

impl Held {
    /// The refresh token as a request's body.
    fn refresh_body(&self, app: &App) -> serde_json::Value {
        match (&app.tokens, &self.refresh) {
            (Some(tokens), Some(token)) => json!({tokens.refresh: token}),
            _ => json!({}),
        }
    }
}

impl User<'_> {
    /// Logs in at `home` and goes on at `there`.
    pub(super) fn visit(&self, home: &PodHttp, there: &PodHttp) -> Visit {
        let walked = match &self.turn {
            None => self.walk(home, there),
            Some(turn) => {
                let mut turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                *turn += 1;
                password::change(self, *turn, home, there)
            }
        };
        walked.err().unwrap_or(Visit::Right)
    }

    fn walk(&self, home: &PodHttp, there: &PodHttp) -> Result<(), Visit> {
        let app = self.app;
        let mut held = Held::default();
        self.log_in(home, &mut held).map_err(|visit| match visit {
            Visit::Wrong(words) => Visit::NoLogin(words),
            other => other,
        })?;
        self.is_known(there, &held, true)?;
        if let Some(tokens) = &app.tokens {
            let request = self.post(tokens.path, &held.refresh_body(app), &held);
            let answer = ask("the refresh", there, &request)?;
            expect("the refresh", there, &answer, answer.status == 200)?;
            held.access = answer.field(tokens.access).map(str::to_owned);
            held.refresh = answer.field(tokens.refresh).map(str::to_owned).or(held.refresh);
            self.is_known(there, &held, true)?;
        }
        let body = held.refresh_body(app);
        let mut request = self.post(app.logout, &body, &held);
        if let Some(access) = &held.access {
            request = request.bearer(access);
        }
        let answer = ask("the logout", there, &request)?;
        expect("the logout", there, &answer, (200..300).contains(&answer.status))?;
        // An access token lives until it expires; session and refresh token are over, wherever they are shown.
        if self.sessions_end {
            self.is_known(home, &held, false)?;
        }
        if let Some(tokens) = &app.tokens {
            let what = "the refresh token after logout";
            let answer = ask(
                what,
                home,
                &self.post(tokens.path, &held.refresh_body(app), &held),
            )?;
            expect(what, home, &answer, matches!(answer.status, 400 | 401 | 403))?;
        }
        Ok(())
    }

    fn log_in(&self, at: &PodHttp, held: &mut Held) -> Result<(), Visit> {
        self.log_in_with((self.app.user, self.password), at, held)
    }

    fn log_in_with(
        &self,
        (name, password): (&str, &str),
        at: &PodHttp,
        held: &mut Held,
    ) -> Result<(), Visit> {
        let app = self.app;
        if let Some(csrf) = &app.csrf {
            let answer = ask("the CSRF token", at, &Request::get(csrf.path).host(app.host))?;
            let token = answer.cookie(csrf.cookie);
            expect("the CSRF token", at, &answer, token.is_some())?;
            held.cookies.extend(token.map(|token| (csrf.cookie, token)));
        }
        let body = json!({"username": name, "password": password});
        let answer = ask("the login", at, &self.post(app.login, &body, held))?;
        let field = |name: &str| answer.field(name).map(str::to_owned);
        if let Some(tokens) = &app.tokens {
            (held.access, held.refresh) = (field(tokens.access), field(tokens.refresh));
        }
        let cookie = answer.cookie(app.cookie);
        let complete =
            cookie.is_some() && (app.tokens.is_none() || held.access.is_some() && held.refresh.is_some());
        expect("the login", at, &answer, answer.status == 200 && complete)?;
        let attributes = answer.cookie_attributes(app.cookie).unwrap_or_default();
        if let Some(amiss) = amiss(&attributes, app.host) {
            return Err(Visit::Wrong(format!(
                "the login at {}: its cookie {amiss}",
                at.pod()
            )));
        }
        held.cookies.extend(cookie.map(|value| (app.cookie, value)));
        if let Some(csrf) = &app.csrf {
            held.cookies
                .extend(answer.cookie(csrf.cookie).map(|token| (csrf.cookie, token)));
        }
        Ok(())
    }

    /// The session is that of the user or nobody's; while it lives, the access token too.
    fn is_known(&self, at: &PodHttp, held: &Held, lives: bool) -> Result<(), Visit> {
        let app = self.app;
        let right = |answer: &Answer| {
            if lives {
                answer.status == 200 && answer.field("username") == Some(app.user)
            } else {
                answer.status == 401
            }
        };
        if let Some(value) = held.cookies.get(app.cookie) {
            let what = if lives {
                "the session"
            } else {
                "the session after logout"
            };
            let request = Request::get(app.me).host(app.host).cookie(app.cookie, value);
            let answer = ask(what, at, &request)?;
            expect(what, at, &answer, right(&answer))?;
        }
        if let Some(access) = held.access.as_ref().filter(|_| lives) {
            let answer = ask(
                "the access token",
                at,
                &Request::get(app.me).host(app.host).bearer(access),
            )?;
            expect("the access token", at, &answer, right(&answer))?;
        }
        Ok(())
    }

    /// A POST with the cookies that are held, and the CSRF token where one is wanted.
    fn post(&self, path: &str, body: &serde_json::Value, held: &Held) -> Request {
        let mut request = Request::post(path, body).host(self.app.host);
        if !held.cookies.is_empty() {
            let pairs: Vec<String> = held
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("Cookie", &pairs.join("; "));
        }
        if let Some(csrf) = &self.app.csrf
            && let Some(token) = held.cookies.get(csrf.cookie)
        {
            request = request.header(csrf.header, token);
        }
        request
    }
}

/// What a browser would mind about a session cookie, or its user: each application promises the same.
fn amiss(attributes: &[(String, String)], host: &str) -> Option<String> {
    let value = |name: &str| {
        attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, v)| v.as_str())
    };
    if let Some(domain) = value("domain").map(|d| d.trim_start_matches('.'))
        && host != domain
        && !host.ends_with(&format!(".{domain}"))
    {
        return Some(format!("is for {domain}, and the browser at {host} drops it"));
    }
    let lacks = |what: &str| Some(format!("lacks {what}"));
    if value("secure").is_none() {
        return lacks("Secure");
    }
    if value("httponly").is_none() {
        return lacks("HttpOnly");
    }
    if value("samesite") != Some("lax") {
        return lacks("SameSite=Lax");
    }
    if value("max-age").or(value("expires")).is_none() {
        return Some("ends with the browser".to_owned());
    }
    None
}

fn ask(what: &str, at: &PodHttp, request: &Request) -> Result<Answer, Visit> {
    // Errors name the path, never a header or a body.
    at.send(request)
        .map_err(|error| Visit::Unanswered(format!("{what}: {error:#}")))
}

fn expect(what: &str, at: &PodHttp, answer: &Answer, right: bool) -> Result<(), Visit> {
    if right {
        return Ok(());
    }
    Err(Visit::Wrong(format!(
        "{what} at {}: answered {}",
        at.pod(),
        answer.status
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_as_promised_or_it_is_said_what_it_lacks() {
        let attributes = |text: &str| -> Vec<(String, String)> {
            let pair = |part: &str| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                (name.to_owned(), value.to_owned())
            };
            text.split(' ').map(pair).collect()
        };
        let of = |text: &str| amiss(&attributes(text), "api.example.com");
        assert_eq!(of("secure httponly samesite=lax max-age=60"), None);
        assert_eq!(
            of("secure httponly samesite=lax expires=tomorrow domain=.example.com"),
            None
        );
        for (text, what) in [
            ("httponly samesite=lax max-age=60", "Secure"),
            ("secure samesite=lax max-age=60", "HttpOnly"),
            ("secure httponly max-age=60", "SameSite"),
            ("secure httponly samesite=lax", "ends with the browser"),
            (
                "domain=localhost secure httponly samesite=lax max-age=60",
                "localhost",
            ),
            ("domain=le.com secure httponly samesite=lax max-age=60", "le.com"),
        ] {
            assert!(of(text).is_some_and(|amiss| amiss.contains(what)), "{text}");
        }
    }
}
