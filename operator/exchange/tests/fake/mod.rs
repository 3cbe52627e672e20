//! A small auth service on loopback with sessions and tokens, whose state can be shared between replicas or not, and
//! which can be told to be wrong in many ways.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::struct_excessive_bools
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accord_crds::Recipe;
use aws_lc_rs::hmac;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const HOSTNAME: &str = "login.example.com";
pub const USERNAME: &str = "accord-canary-test";
pub const PASSWORD: &str = "correct horse battery staple Aa1!";

type Shared<T> = Arc<Mutex<T>>;

/// A replica's stores. A clone shares them.
#[derive(Clone)]
pub struct App {
    pub users: Shared<BTreeMap<String, String>>,
    /// Session id to its user and the key that it was made with.
    pub sessions: Shared<BTreeMap<String, (String, String)>>,
    pub blacklist: Shared<BTreeSet<String>>,
    /// Tokens that were issued.
    pub issued: Shared<BTreeSet<String>>,
    /// A cache of users and their passwords, asked where it is believed.
    pub lookup: Shared<BTreeMap<String, String>>,
    /// Who has logged in here.
    pub known: Shared<BTreeSet<String>>,
    pub key: String,
    /// More workers of the same pod, each with stores of its own: they take requests that come while others are busy.
    pub workers: Vec<App>,
    pub busy: Arc<AtomicUsize>,
    /// Turns of workers that have threads.
    pub turns: Arc<AtomicUsize>,
    pub faults: Shared<Faults>,
    pub log: Shared<Vec<Seen>>,
}

/// What is wrong with a replica.
#[derive(Clone, Default)]
pub struct Faults {
    pub login_status: Option<u16>,
    pub any_password: bool,
    pub accepts_everything: bool,
    pub any_signature: bool,
    pub names: Option<String>,
    pub redirects: bool,
    /// Its clock is so many seconds ahead.
    pub clock: i64,
    pub hangs: bool,
    pub throttles: bool,
    pub extra_claim: bool,
    pub flushes_foreign_sessions: bool,
    pub own_check_fails: bool,
    /// The first login of each two gives a token with a claim more.
    pub two_shapes: bool,
    /// And that one is accepted too.
    pub takes_both: bool,
    /// Tokens count only where they were issued: a list in memory.
    pub own_tokens_only: bool,
    /// The status for credentials that aren't right.
    pub refuses_with: Option<u16>,
    /// A session is read from a copy that is behind by so much.
    pub lag: Option<Duration>,
    /// A login ends the user's other sessions.
    pub one_session: bool,
    /// Its workers have threads: one of them takes what comes at the same time, and another one what comes then.
    pub threads: bool,
    /// A login sets a cookie that logs in by itself, besides the session's.
    pub remembers: bool,
    /// And any value of it does.
    pub any_remembered: bool,
    /// The session cookie is an access token.
    pub token_is_session: bool,
    /// Where tokens are sent with another scheme than `Bearer`.
    pub scheme: Option<&'static str>,
    /// Where a logout has another method than POST.
    pub logout_method: Option<&'static str>,
    /// There is no CSRF token before a login, and none is wanted for it.
    pub csrf_with_login: bool,
    /// A user is known from a login here on, and not before.
    pub knows_who_logged_in: bool,
    /// What was issued elsewhere isn't there for the first so many times that it is asked about.
    pub misses: u32,
    /// A logout ends all of the user's sessions.
    pub ends_all: bool,
    /// A session has another id after each request, and the one before it is worth nothing.
    pub renews: bool,
    /// Hosts that are served besides the canonical one.
    pub more_hosts: Vec<String>,
    /// Cookies are set with this `Domain`.
    pub cookie_domain: Option<String>,
    /// Logins believe the cache of users.
    pub believes_lookup: bool,
    /// And may only refuse: what it accepts is compared with the row.
    pub confirms_lookup: bool,
    /// And a change doesn't drop the entry, not even here.
    pub keeps_lookup: bool,
    /// A change of password is answered so, and not made.
    pub change_status: Option<u16>,
    /// Nothing is answered after a change any more, the change aside.
    pub hangs_after_change: bool,
    /// So many changes are made, and every later one is refused: of a password that was used before.
    pub changes_left: Option<u32>,
}

/// A request as the server saw it.
#[derive(Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

pub struct Fake {
    pub name: String,
    pub address: SocketAddr,
    pub app: App,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    /// With stores of its own, and the canary in them.
    pub fn new(key: &str) -> Self {
        Self {
            users: Shared::new(Mutex::new([(USERNAME.to_owned(), PASSWORD.to_owned())].into())),
            sessions: Shared::default(),
            blacklist: Shared::default(),
            issued: Shared::default(),
            lookup: Shared::default(),
            known: Shared::default(),
            key: key.into(),
            workers: Vec::new(),
            busy: Arc::default(),
            turns: Arc::default(),
            faults: Shared::default(),
            log: Shared::default(),
        }
    }

    /// Another replica on the same stores.
    pub fn replica(&self) -> Self {
        Self {
            known: Shared::default(),
            busy: Arc::default(),
            turns: Arc::default(),
            faults: Shared::default(),
            log: Shared::default(),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn with(self, change: impl FnOnce(&mut Faults)) -> Self {
        change(&mut self.faults.lock().unwrap());
        self
    }

    /// Serves on an address of its own: the last number of 127.0.0.x.
    pub async fn serve(self, name: &str, last: u8) -> Fake {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(handle).with_state(self.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Fake {
            name: name.into(),
            address,
            app: self,
            task,
        }
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()))
    }

    fn token(&self, kind: &str, user: &str) -> String {
        let faults = self.faults.lock().unwrap().clone();
        let now = 1000 + faults.clock;
        let mut claims = json!({"sub": user, "kind": kind, "jti": next(), "iat": now, "exp": now + 300});
        let other = faults.two_shapes && self.issued.lock().unwrap().len() % 4 < 2;
        if faults.extra_claim || other {
            claims["email"] = json!("x@example.com");
        }
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.sign(&text);
        let token = format!("{text}.{signature}");
        self.issued.lock().unwrap().insert(token.clone());
        token
    }

    fn verify(&self, token: &str, kind: &str) -> Option<String> {
        let (text, signature) = token.rsplit_once('.')?;
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?).ok()?;
        let user = claims["sub"].as_str()?.to_owned();
        let faults = self.faults.lock().unwrap().clone();
        let strange = !faults.takes_both && claims.get("email").is_some() != faults.extra_claim;
        let known = self.users.lock().unwrap().contains_key(&user);
        let signed = faults.any_signature || signature == self.sign(text);
        let lives = claims["iat"].as_i64()?..claims["exp"].as_i64()?;
        let signed = signed && lives.contains(&(1000 + faults.clock));
        (signed && claims["kind"] == kind && known && !strange).then_some(user)
    }

    /// Who is remembered by a cookie of his own.
    fn remembered(&self, headers: &HeaderMap) -> Option<String> {
        let value = cookie(headers, "remember")?;
        let faults = self.faults.lock().unwrap().clone();
        let right = value == self.sign(USERNAME) || faults.any_remembered;
        (faults.remembers && right).then(|| USERNAME.to_owned())
    }

    fn session_user(&self, headers: &HeaderMap) -> Option<String> {
        let id = cookie(headers, "sessionid")?;
        if self.faults.lock().unwrap().token_is_session {
            return self.verify(&id, "access");
        }
        let mut sessions = self.sessions.lock().unwrap();
        let (user, key) = sessions.get(&id)?.clone();
        if key != self.key {
            if self.faults.lock().unwrap().flushes_foreign_sessions {
                sessions.remove(&id);
            }
            return None;
        }
        Some(user)
    }

    /// Whether it finds the user of a session or a token that it could read.
    fn finds(&self, user: &str, faults: &Faults) -> bool {
        let known = !faults.knows_who_logged_in || self.known.lock().unwrap().contains(user);
        let misses = &mut self.faults.lock().unwrap().misses;
        let missed = *misses > 0;
        *misses = misses.saturating_sub(1);
        known && !missed
    }

    /// Ends every session.
    fn end_all(&self) {
        self.sessions.lock().unwrap().clear();
        let issued = self.issued.lock().unwrap().clone();
        self.blacklist.lock().unwrap().extend(issued);
    }

    fn bearer_user(&self, headers: &HeaderMap) -> Option<String> {
        let header = headers.get("authorization")?.to_str().ok()?;
        let scheme = self.faults.lock().unwrap().scheme.unwrap_or("Bearer");
        let token = header.strip_prefix(scheme)?.strip_prefix(' ')?;
        let elsewhere = !self.issued.lock().unwrap().contains(token);
        if elsewhere && self.faults.lock().unwrap().own_tokens_only {
            return None;
        }
        let ended = self.blacklist.lock().unwrap().contains(token);
        self.verify(token, "access").filter(|_| !ended)
    }
}

pub fn next() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Long and opaque, like the real ones.
    format!(
        "{:032x}",
        u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    )
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get("cookie")?
        .to_str()
        .ok()?
        .split("; ")
        .find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name).then(|| value.to_owned())
        })
}

fn answer(status: u16, body: &Value) -> Response {
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn handle(State(app): State<App>, request: Request) -> Response {
    let mut turn = app.busy.fetch_add(1, Ordering::SeqCst);
    if app.faults.lock().unwrap().threads {
        // Whoever is awake takes all that come; after some more it is another one.
        let turns = app.turns.fetch_add(usize::from(turn == 0), Ordering::SeqCst);
        turn = (turns - usize::from(turn > 0)) / 8;
    }
    let worker = match turn % (app.workers.len() + 1) {
        0 => app.clone(),
        n => App {
            faults: app.faults.clone(),
            log: app.log.clone(),
            ..app.workers[n - 1].clone()
        },
    };
    if !app.workers.is_empty() {
        // Long enough for those that were sent at the same time to find it busy.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut response = work(worker, request).await;
    let clock = SignedDuration::from_secs(app.faults.lock().unwrap().clock);
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&(Timestamp::now() + clock));
    response
        .headers_mut()
        .insert("date", date.unwrap().parse().unwrap());
    let domain = app.faults.lock().unwrap().cookie_domain.clone();
    if let Some(domain) = domain {
        let lines: Vec<_> = response.headers().get_all("set-cookie").iter().cloned().collect();
        response.headers_mut().remove("set-cookie");
        for line in lines {
            let line = format!("{}; Domain={domain}", line.to_str().unwrap());
            response.headers_mut().append("set-cookie", line.parse().unwrap());
        }
    }
    app.busy.fetch_sub(1, Ordering::SeqCst);
    response
}

async fn work(app: App, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(to_bytes(body, 100_000).await.unwrap().to_vec()).unwrap();
    let (method, path, headers) = (
        parts.method.to_string(),
        parts.uri.path().to_owned(),
        parts.headers,
    );
    app.log.lock().unwrap().push(Seen {
        method: method.clone(),
        path: path.clone(),
        headers: headers.clone(),
        body: body.clone(),
    });
    let faults = app.faults.lock().unwrap().clone();
    if faults.hangs {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    if faults.throttles {
        return answer(429, &json!({"detail": "slow down"}));
    }
    if faults.redirects {
        return Response::builder()
            .status(301)
            .header("location", format!("https://{HOSTNAME}{path}?next=secret"))
            .body(Body::empty())
            .unwrap();
    }
    let host = headers
        .get("host")
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    if host != HOSTNAME && !faults.more_hosts.iter().any(|h| h == host) {
        return answer(400, &json!({"detail": "DisallowedHost"}));
    }
    let csrf = cookie(&headers, "csrftoken");
    let free = path == "/refresh/" || path == "/login/" && faults.csrf_with_login;
    if method != "GET" {
        let own = headers
            .get("origin")
            .is_some_and(|o| *o == format!("https://{HOSTNAME}"));
        let sent = headers.get("x-csrftoken").and_then(|h| h.to_str().ok());
        let token = csrf.is_some() && csrf.as_deref() == sent;
        if !own || (!free && !token) {
            return answer(403, &json!({"detail": "CSRF Failed"}));
        }
    }
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let leave = faults.logout_method.unwrap_or("POST");
    match (method.as_str(), path.as_str()) {
        ("GET", "/csrf/") if !faults.csrf_with_login => {
            let mut response = answer(200, &json!({}));
            set_cookie(&mut response, "csrftoken", &next());
            response
        }
        ("POST", "/login/") => log_in(&app, &faults, &json),
        ("GET", "/me/") => {
            let user = if faults.own_check_fails {
                None
            } else if headers.contains_key("authorization") {
                app.bearer_user(&headers)
            } else {
                app.session_user(&headers).or_else(|| app.remembered(&headers))
            };
            let user = user.filter(|user| app.finds(user, &faults));
            let user = if faults.accepts_everything {
                Some(USERNAME.to_owned())
            } else {
                user
            };
            if let Some(user) = user {
                let name = faults.names.clone().unwrap_or_else(|| user.clone());
                let mut response = answer(200, &json!({"username": name, "roles": []}));
                if let Some(id) = cookie(&headers, "sessionid").filter(|_| faults.renews) {
                    let renewed = next();
                    let mut sessions = app.sessions.lock().unwrap();
                    if let Some(session) = sessions.remove(&id) {
                        sessions.insert(renewed.clone(), session);
                    }
                    set_cookie(&mut response, "sessionid", &renewed);
                }
                return response;
            }
            let mut response = answer(
                401,
                &json!({"detail": "Authentication credentials were not provided."}),
            );
            let gone = "sessionid=\"\"; Max-Age=0".parse().unwrap();
            response.headers_mut().append("set-cookie", gone);
            response
        }
        ("POST", "/refresh/") => {
            let token = json["refresh"].as_str().unwrap_or_default().to_owned();
            let revoked = app.blacklist.lock().unwrap().contains(&token);
            match app.verify(&token, "refresh") {
                Some(user) if !revoked => {
                    app.blacklist.lock().unwrap().insert(token);
                    answer(
                        200,
                        &json!({"access": app.token("access", &user), "refresh": app.token("refresh", &user)}),
                    )
                }
                _ => answer(401, &json!({"detail": "Token is invalid"})),
            }
        }
        (method, "/logout/") if method == leave => {
            if app
                .bearer_user(&headers)
                .or_else(|| app.session_user(&headers))
                .is_none()
            {
                return answer(401, &json!({}));
            }
            if let Some(token) = json["refresh"].as_str() {
                app.blacklist.lock().unwrap().insert(token.to_owned());
            }
            if let Some(id) = cookie(&headers, "sessionid") {
                app.sessions.lock().unwrap().remove(&id);
            }
            if faults.ends_all {
                app.end_all();
            }
            answer(200, &json!({"detail": "Logged out."}))
        }
        ("POST", "/password/") => change_password(&app, &faults, &headers, &json),
        _ => answer(404, &json!({})),
    }
}

fn change_password(app: &App, faults: &Faults, headers: &HeaderMap, json: &Value) -> Response {
    let Some(user) = app.session_user(headers).or_else(|| app.bearer_user(headers)) else {
        return answer(401, &json!({}));
    };
    if let Some(status) = faults.change_status {
        return answer(status, &json!({"detail": format!("not now: {json}")}));
    }
    let known = app.users.lock().unwrap().get(&user).cloned();
    if known.as_deref() != json["old_password"].as_str() {
        return answer(400, &json!({"old_password": ["The password is wrong."]}));
    }
    if let Some(left) = &mut app.faults.lock().unwrap().changes_left {
        match left.checked_sub(1) {
            None => return answer(400, &json!({"detail": "This password was used before."})),
            Some(fewer) => *left = fewer,
        }
    }
    let new = json["new_password"].as_str().unwrap().to_owned();
    app.users.lock().unwrap().insert(user.clone(), new);
    if !faults.keeps_lookup {
        app.lookup.lock().unwrap().remove(&user);
    }
    app.faults.lock().unwrap().hangs |= faults.hangs_after_change;
    answer(200, &json!({"detail": "Changed."}))
}

fn log_in(app: &App, faults: &Faults, json: &Value) -> Response {
    if let Some(status) = faults.login_status {
        // As careless as servers can be: it echoes what it was given.
        return answer(
            status,
            &json!({"detail": "no such table: auth_user", "given": json}),
        );
    }
    let user = json["username"].as_str().unwrap_or_default();
    let cached = app.lookup.lock().unwrap().get(user).cloned();
    let row = app.users.lock().unwrap().get(user).cloned();
    let known = cached.filter(|_| faults.believes_lookup).or_else(|| row.clone());
    if faults.confirms_lookup && known != row {
        return answer(
            faults.refuses_with.unwrap_or(401),
            &json!({"detail": "Wrong username or password."}),
        );
    }
    if known.is_none() || (known.as_deref() != json["password"].as_str() && !faults.any_password) {
        return answer(
            faults.refuses_with.unwrap_or(401),
            &json!({"detail": "Wrong username or password."}),
        );
    }
    if let (true, Some(known)) = (faults.believes_lookup, known) {
        app.lookup.lock().unwrap().insert(user.to_owned(), known);
    }
    if faults.one_session {
        app.end_all();
    }
    app.known.lock().unwrap().insert(user.to_owned());
    let id = next();
    let (sessions, session) = (Arc::clone(&app.sessions), (user.to_owned(), app.key.clone()));
    match faults.lag {
        None => drop(sessions.lock().unwrap().insert(id.clone(), session)),
        Some(lag) => {
            let id = id.clone();
            tokio::spawn(async move {
                tokio::time::sleep(lag).await;
                sessions.lock().unwrap().insert(id, session);
            });
        }
    }
    let tokens = json!({"access": app.token("access", user), "refresh": app.token("refresh", user)});
    let mut response = answer(200, &tokens);
    if faults.token_is_session {
        set_cookie(&mut response, "sessionid", &app.token("access", user));
    } else {
        set_cookie(&mut response, "sessionid", &id);
    }
    if faults.remembers {
        set_cookie(&mut response, "remember", &app.sign(user));
    }
    // As Django does: another CSRF token from login on.
    set_cookie(&mut response, "csrftoken", &next());
    response
}

fn set_cookie(response: &mut Response, name: &str, value: &str) {
    let cookie = format!("{name}={value}; Path=/; Secure; SameSite=Lax")
        .parse()
        .unwrap();
    response.headers_mut().append("set-cookie", cookie);
}

/// The recipe of this service.
pub fn recipe() -> Recipe {
    serde_json::from_value(json!({
        "csrf": {"path": "/csrf/"},
        "login": {
            "path": "/login/", "sessionCookie": "sessionid", "accessToken": "access", "refreshToken": "refresh",
        },
        "check": {"path": "/me/", "username": "/username"},
        "refresh": {"path": "/refresh/"},
        "logout": {"path": "/logout/", "refreshField": "refresh"},
    }))
    .unwrap()
}
