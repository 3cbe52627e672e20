//! A small auth service, as its replicas would be: sessions that all share, signed with the key that each was given,
//! and users from the file that the canary's command wrote.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::wire::{self, Request};

/// What all replicas share: a session's user, and the key that it was made with.
pub(crate) type Sessions = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// The port that every replica listens on, at an address of its own.
pub(crate) const PORT: u16 = 8080;
/// A session id is followed by this much of its key, as a signature would be.
const SEPARATOR: char = '.';

/// One replica. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct App {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

struct Replica {
    sessions: Sessions,
    users: PathBuf,
    key: String,
    over: Arc<AtomicBool>,
}

impl App {
    /// Serves at an address.
    pub(crate) fn serve(ip: IpAddr, sessions: Sessions, users: PathBuf, key: String) -> Result<Self> {
        let address = SocketAddr::new(ip, PORT);
        let listener = TcpListener::bind(address).with_context(|| format!("can't listen on {address}"))?;
        let over = Arc::new(AtomicBool::new(false));
        let replica = Arc::new(Replica {
            sessions,
            users,
            key,
            over: Arc::clone(&over),
        });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if replica.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let replica = Arc::clone(&replica);
                std::thread::spawn(move || drop(replica.talk(&stream)));
            }
        });
        Ok(Self { address, over })
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Replica {
    fn talk(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut from = BufReader::new(stream.try_clone()?);
        while let Some(request) = wire::read_request(&mut from)? {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let (status, body, cookie) = self.answer(&request);
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(cookie.iter().map(|c| ("set-cookie", c.as_str())));
            wire::write_answer(
                &mut &*stream,
                status,
                headers.into_iter(),
                body.to_string().as_bytes(),
            )?;
        }
        stream.shutdown(Shutdown::Both)
    }

    fn answer(&self, request: &Request) -> (u16, Value, Option<String>) {
        let session = cookie(request);
        match (request.method.as_str(), request.target.as_str()) {
            ("POST", "/login") => {
                let said: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let (Some(user), Some(password)) = (said["username"].as_str(), said["password"].as_str())
                else {
                    return (400, json!({}), None);
                };
                if !self.is_known(user, password) {
                    return (401, json!({"detail": "Wrong username or password."}), None);
                }
                let id = format!("{:032x}{SEPARATOR}{}", next(), self.signature());
                self.sessions()
                    .insert(id.clone(), (user.to_owned(), self.key.clone()));
                (
                    200,
                    json!({}),
                    Some(format!("sid={id}; Path=/; Secure; HttpOnly; SameSite=Lax")),
                )
            }
            ("GET", "/me") => match self.user(session) {
                Some(user) => (200, json!({"username": user}), None),
                None => (401, json!({}), None),
            },
            ("POST", "/logout") => match session.filter(|_| self.user(session).is_some()) {
                Some(id) => {
                    self.sessions().remove(id);
                    (200, json!({}), None)
                }
                None => (401, json!({}), None),
            },
            _ => (404, json!({}), None),
        }
    }

    fn user(&self, session: Option<&str>) -> Option<String> {
        let (user, key) = self.sessions().get(session?)?.clone();
        (key == self.key).then_some(user)
    }

    fn is_known(&self, user: &str, password: &str) -> bool {
        let users = std::fs::read_to_string(&self.users).unwrap_or_default();
        users
            .lines()
            .any(|line| line.split_once(' ') == Some((user, password)))
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (String, String)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signature(&self) -> String {
        crate::digest::Key::default().text("key", &self.key).finish()
    }
}

fn cookie(request: &Request) -> Option<&str> {
    let all = request.headers.get("cookie")?;
    all.split("; ").find_map(|pair| pair.strip_prefix("sid="))
}

/// Long and opaque to whoever asks; nobody here guesses.
fn next() -> u128 {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    u128::from(COUNTER.fetch_add(1, Ordering::Relaxed))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(sessions: &Sessions, users: &std::path::Path, key: &str) -> Replica {
        Replica {
            sessions: Arc::clone(sessions),
            users: users.to_owned(),
            key: key.into(),
            over: Arc::default(),
        }
    }

    fn request(method: &str, target: &str, cookie: &str, body: &Value) -> Request {
        Request {
            method: method.into(),
            target: target.into(),
            headers: wire::Headers::of(&[("cookie", cookie)]),
            body: body.to_string().into_bytes(),
        }
    }

    #[test]
    fn replicas_honour_each_others_sessions_until_logout_and_only_with_the_same_key() {
        let users = std::env::temp_dir().join(format!("accord-users-{}", std::process::id()));
        std::fs::write(&users, "canary pass\n").unwrap();
        let sessions = Sessions::default();
        let (a, b, other) = (
            replica(&sessions, &users, "k"),
            replica(&sessions, &users, "k"),
            replica(&sessions, &users, "another"),
        );
        let login = |password: &str| {
            request(
                "POST",
                "/login",
                "",
                &json!({"username": "canary", "password": password}),
            )
        };
        assert_eq!(a.answer(&login("wrong")).0, 401);
        let set = a.answer(&login("pass")).2.unwrap();
        let sid = set.split(';').next().unwrap();
        let me = request("GET", "/me", sid, &json!({}));
        assert_eq!(b.answer(&me).1["username"], "canary");
        assert_eq!(other.answer(&me).0, 401);
        assert_eq!(
            b.answer(&request("GET", "/me", &format!("{sid}x"), &json!({}))).0,
            401
        );
        assert_eq!(b.answer(&request("POST", "/logout", sid, &json!({}))).0, 200);
        assert_eq!(a.answer(&me).0, 401);
        std::fs::remove_file(users).unwrap();
    }
}
