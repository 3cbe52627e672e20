//! The recipe's requests, one function each, and what their answers mean by the recipe.

use std::collections::BTreeMap;
use std::time::Instant;

use accord_crds::recipe::{Encoding, LogoutMethod};
use accord_plan::agreement::{Artifact, Meaning};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use crate::answer::{absent, find, of_status, said};
use crate::client::{Body, Failure, Reply, Request};
use crate::password::Password;
use crate::redact::snippet;
use crate::session::Session;
use crate::trace::Outcome;
use crate::{Exchange, Replica};

const TLS_ONLY: &str = "it speaks TLS, and was asked over plain HTTP";

/// One exchange with its time limit.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) exchange: Exchange<'a>,
    pub(crate) deadline: Instant,
}

impl<'a> Run<'a> {
    pub(crate) fn new(exchange: Exchange<'a>) -> Self {
        let deadline = Instant::now() + exchange.client.limits.exchange;
        Self { exchange, deadline }
    }

    /// Fetches the CSRF token. `None` when the recipe has no such step.
    pub(crate) async fn csrf(&self, at: &Replica, session: &mut Session) -> Option<Outcome> {
        let csrf = self.exchange.recipe.csrf.as_ref()?;
        let path = csrf.path.as_deref()?;
        let since = Instant::now();
        let reply = match self.send(at, since, session, get(path)).await {
            Ok(reply) => reply,
            Err(outcome) => return Some(outcome),
        };
        session.set(&reply.set_cookies);
        let meaning = match reply.status {
            200..=299 if session.cookies.contains_key(&csrf.cookie) => Meaning::Accepted,
            300..=399 => Meaning::Redirected,
            _ => Meaning::Unexpected,
        };
        let detail = match meaning {
            Meaning::Unexpected if (200..300).contains(&reply.status) => {
                format!("no cookie {} in the answer", csrf.cookie)
            }
            _ => self.detail(&reply, session),
        };
        Some(Outcome::new(meaning, Some(reply.status), detail, since))
    }

    /// Logs in as the canary.
    pub(crate) async fn login(&self, at: &Replica, session: &mut Session, password: Password) -> Outcome {
        let username = self.exchange.canary.username.as_str();
        self.login_as(at, session, username, password).await
    }

    /// Logs in as somebody whom nobody knows.
    pub(crate) async fn login_as_stranger(&self, at: &Replica, session: &mut Session) -> Outcome {
        // In front, so that an e-mail address stays one.
        let username = format!("nobody-{}", self.exchange.canary.username);
        self.login_as(at, session, &username, Password::Wrong).await
    }

    async fn login_as(
        &self,
        at: &Replica,
        session: &mut Session,
        username: &str,
        password: Password,
    ) -> Outcome {
        let since = Instant::now();
        let login = &self.exchange.recipe.login;
        let password = password.text(&self.exchange.canary.password);
        let mut fields: Map<String, Value> = login
            .fields
            .iter()
            .map(|(k, v)| (k.clone(), v.clone().into()))
            .collect();
        fields.insert(login.username_field.clone(), username.into());
        fields.insert(login.password_field.clone(), password.expose_secret().into());
        let body = self.encoded(login.encoding, fields, session);
        let request = Request {
            method: Method::POST,
            path: &login.path,
            cookies: Some(session.cookie_header()),
            credential: None,
            header: None,
            body,
        };
        let reply = match self.send(at, since, session, request).await {
            Ok(reply) => reply,
            Err(outcome) => return outcome,
        };
        let (meaning, detail) = if reply.status == login.status {
            match self.take_artifacts(&reply, session) {
                Ok(()) => (Meaning::Accepted, String::new()),
                Err(missing) => (Meaning::Unexpected, missing),
            }
        } else {
            let meaning = match reply.status {
                // A form is shown again where the password was wrong.
                200 if login.encoding == Encoding::Form => Meaning::Rejected,
                300..=399 => Meaning::Redirected,
                400 | 401 | 403 | 422 => Meaning::Rejected,
                _ => Meaning::Unexpected,
            };
            (meaning, self.detail(&reply, session))
        };
        Outcome::new(meaning, Some(reply.status), detail, since)
    }

    fn take_artifacts(&self, reply: &Reply, session: &mut Session) -> Result<(), String> {
        let login = &self.exchange.recipe.login;
        session.set(&reply.set_cookies);
        session.clock = reply.clock;
        match &login.session_cookie {
            Some(name) if !session.cookies.contains_key(name) => {
                return Err(format!("no cookie {name} in the answer"));
            }
            None if login.access_token.is_none() && session.cookies.is_empty() => {
                return Err("no cookie in the answer, and the recipe names no token".into());
            }
            _ => {}
        }
        let body: Option<Value> = serde_json::from_str(&reply.body).ok();
        let take = |field: &Option<String>| match field {
            None => Ok(None),
            Some(field) => body
                .as_ref()
                .and_then(|b| find(b, field))
                .map(Some)
                .ok_or_else(|| absent(field, reply)),
        };
        session.access = take(&login.access_token)?;
        session.refresh = take(&login.refresh_token)?;
        Ok(())
    }

    /// Asks who is logged in: with one artifact, or with none.
    pub(crate) async fn check(
        &self,
        at: &Replica,
        session: &mut Session,
        artifact: Option<Artifact>,
    ) -> Outcome {
        let since = Instant::now();
        let check = &self.exchange.recipe.check;
        let mut request = get(&check.path);
        match artifact {
            Some(Artifact::Session) => request.cookies = Some(session.cookie_header()),
            Some(Artifact::Access) => request.credential = self.credential(session),
            Some(Artifact::Refresh) | None => {}
        }
        let reply = match self.send(at, since, session, request).await {
            Ok(reply) => reply,
            Err(outcome) => return outcome,
        };
        let (meaning, detail) = match reply.status {
            200..=299 => self.identity(&reply, session),
            s if s == check.rejected_status || matches!(s, 401 | 403) => {
                (Meaning::Rejected, self.detail(&reply, session))
            }
            300..=399 => (Meaning::Redirected, self.detail(&reply, session)),
            _ => (Meaning::Unexpected, self.detail(&reply, session)),
        };
        // A session may be given a new id on the way. A refusal often deletes the cookie: the replay needs it.
        if meaning == Meaning::Accepted && artifact == Some(Artifact::Session) {
            session.set(&reply.set_cookies);
        }
        Outcome::new(meaning, Some(reply.status), detail, since)
    }

    fn too_large(&self) -> (Meaning, String) {
        let limit = self.exchange.client.limits().body / 1024;
        let said = format!("the answer is larger than {limit} KiB, and the rest isn't read");
        (Meaning::Unexpected, said)
    }

    /// Whom a successful check names.
    fn identity(&self, reply: &Reply, session: &Session) -> (Meaning, String) {
        let canary = self.exchange.canary.username.as_str();
        let nobody = || (Meaning::Rejected, "the answer names nobody".to_owned());
        let Some(pointer) = &self.exchange.recipe.check.username else {
            return if reply.body.contains(canary) {
                (Meaning::Accepted, String::new())
            } else if reply.truncated {
                self.too_large()
            } else {
                nobody()
            };
        };
        if reply.truncated {
            return self.too_large();
        }
        let Ok(body) = serde_json::from_str::<Value>(&reply.body) else {
            return (
                Meaning::Unexpected,
                format!("not JSON: {}", self.detail(reply, session)),
            );
        };
        match body.pointer(pointer) {
            Some(Value::String(name)) if name == canary => (Meaning::Accepted, String::new()),
            None | Some(Value::Null) => nobody(),
            Some(Value::String(name)) if name.is_empty() => nobody(),
            // Not the name itself: it may be a person's.
            Some(_) => (Meaning::OtherIdentity, "the answer names somebody else".into()),
        }
    }

    /// Exchanges the refresh token. On success the session holds the new tokens.
    pub(crate) async fn refresh(&self, at: &Replica, session: &mut Session) -> Option<Outcome> {
        let refresh = self.exchange.recipe.refresh.as_ref()?;
        let old = session.refresh.clone()?;
        let since = Instant::now();
        let fields = with(&refresh.fields, Some((&refresh.field, &old)));
        let body = self.encoded(refresh.encoding.unwrap_or_default(), fields, session);
        // The token alone, so that a session can't stand in for it.
        let cookies = self
            .csrf_token(session)
            .map(|(csrf, value)| format!("{}={value}", csrf.cookie));
        let request = Request {
            method: Method::POST,
            path: &refresh.path,
            cookies,
            credential: None,
            header: None,
            body,
        };
        let reply = match self.send(at, since, session, request).await {
            Ok(reply) => reply,
            Err(outcome) => return Some(outcome),
        };
        let login = &self.exchange.recipe.login;
        let (meaning, detail) = match reply.status {
            200..=299 => {
                let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
                let field = login.access_token.as_deref().unwrap_or("access");
                match find(&body, field) {
                    Some(access) => {
                        session.access = Some(access);
                        // With rotation the old one is used up.
                        let rotated = login.refresh_token.as_deref().and_then(|f| find(&body, f));
                        session.refresh = rotated.or_else(|| session.refresh.take());
                        (Meaning::Accepted, String::new())
                    }
                    None => (Meaning::Unexpected, absent(field, &reply)),
                }
            }
            300..=399 => (Meaning::Redirected, self.detail(&reply, session)),
            400 | 401 | 403 | 422 => (Meaning::Rejected, self.detail(&reply, session)),
            _ => (Meaning::Unexpected, self.detail(&reply, session)),
        };
        Some(Outcome::new(meaning, Some(reply.status), detail, since))
    }

    /// Ends the session. It is left as it was, for the replay.
    pub(crate) async fn logout(&self, at: &Replica, session: &Session) -> Option<Outcome> {
        let logout = self.exchange.recipe.logout.as_ref()?;
        let since = Instant::now();
        let token = logout.refresh_field.as_deref().zip(session.refresh.as_deref());
        let body = if token.is_some() || !logout.fields.is_empty() {
            self.encoded(
                logout.encoding.unwrap_or_default(),
                with(&logout.fields, token),
                session,
            )
        } else {
            Body::Empty
        };
        let request = Request {
            method: match logout.method {
                None | Some(LogoutMethod::Post | LogoutMethod::Unknown) => Method::POST,
                Some(LogoutMethod::Get) => Method::GET,
                Some(LogoutMethod::Delete) => Method::DELETE,
            },
            path: &logout.path,
            cookies: Some(session.cookie_header()),
            credential: self.credential(session),
            header: None,
            body,
        };
        let reply = match self.send(at, since, session, request).await {
            Ok(reply) => reply,
            Err(outcome) => return Some(outcome),
        };
        let meaning = of_status(reply.status);
        let detail = if meaning == Meaning::Accepted {
            String::new()
        } else {
            self.detail(&reply, session)
        };
        Some(Outcome::new(meaning, Some(reply.status), detail, since))
    }

    /// A body with these fields; a form repeats the CSRF token where there is one.
    pub(crate) fn encoded(
        &self,
        encoding: Encoding,
        mut fields: Map<String, Value>,
        session: &Session,
    ) -> Body {
        match encoding {
            Encoding::Json => Body::Json(Value::Object(fields).to_string()),
            Encoding::Form => {
                if let Some((csrf, value)) = self.csrf_token(session) {
                    fields.insert(csrf.form_field.clone(), value.into());
                }
                Body::Form(form(&fields))
            }
        }
    }

    /// Sends; what means the same for every request is told here: no answer, 429, 5xx.
    pub(crate) async fn send(
        &self,
        at: &Replica,
        since: Instant,
        session: &Session,
        mut request: Request<'_>,
    ) -> Result<Reply, Outcome> {
        let csrf = self.csrf_token(session);
        if request.method != Method::GET {
            request.header = csrf
                .as_ref()
                .map(|(csrf, value)| (csrf.header.as_str(), value.as_str()));
        }
        let Exchange { client, hostname, .. } = self.exchange;
        let fail = |meaning, detail| Outcome::new(meaning, None, detail, since);
        let is_read = request.method == Method::GET;
        let sent = client.send(at, hostname, self.deadline, request).await;
        let is_refused = match &sent {
            Err(Failure::BrokenOff(_)) => true,
            Ok(reply) => is_read && reply.status == 400,
            Err(_) => false,
        };
        if is_refused && client.is_tls_only(at).await {
            return Err(fail(Meaning::Unreachable, TLS_ONLY.to_owned()));
        }
        match sent {
            Err(Failure::Unreachable(why) | Failure::BrokenOff(why)) => {
                Err(fail(Meaning::Unreachable, snippet(&why, &[])))
            }
            Err(Failure::TimedOut) => Err(fail(Meaning::TimedOut, String::new())),
            Ok(reply) => {
                let meaning = match reply.status {
                    429 => Meaning::Throttled,
                    500..=599 => Meaning::ServerError,
                    _ => return Ok(reply),
                };
                let detail = self.detail(&reply, session);
                Err(Outcome::new(meaning, Some(reply.status), detail, since))
            }
        }
    }

    /// The CSRF token as it stands: Django makes a new one at login.
    pub(crate) fn csrf_token(&self, session: &Session) -> Option<(&'a accord_crds::recipe::Csrf, String)> {
        let csrf = self.exchange.recipe.csrf.as_ref()?;
        Some((csrf, session.cookies.get(&csrf.cookie)?.clone()))
    }

    pub(crate) fn detail(&self, reply: &Reply, session: &Session) -> String {
        let canary = self.exchange.canary;
        let other = Password::Other.text(&canary.password);
        let mut secrets = vec![canary.username.as_str(), canary.password.expose_secret()];
        secrets.push(other.expose_secret());
        secrets.extend(session.secrets());
        match &reply.location {
            Some(location) if (300..400).contains(&reply.status) => {
                // Without the query: it may carry anything.
                let location = location.split(['?', '#']).next().unwrap_or_default();
                snippet(&format!("to {location}"), &secrets)
            }
            _ => snippet(&said(&reply.body), &secrets),
        }
    }
}

pub(crate) fn get(path: &str) -> Request<'_> {
    Request {
        method: Method::GET,
        path,
        cookies: None,
        credential: None,
        header: None,
        body: Body::Empty,
    }
}

/// Declared fields, and a token.
fn with(fields: &BTreeMap<String, String>, token: Option<(&str, &str)>) -> Map<String, Value> {
    let declared = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    declared
        .chain(token)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn form(fields: &Map<String, Value>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value.as_str().unwrap_or_default());
    }
    form.finish()
}
