//! The recipes of `operator/docs/recipes` against stand-ins that speak the servers' wire formats: paths, encodings,
//! fields and statuses as in GoTrue's source and in Keycloak's documentation. They say nothing about the servers
//! themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use accord_crds::PodReason::{self, LocalRevocation, LocalSession, Verified};
use accord_crds::Recipe;
use accord_exchange::{Canary, Replica};
use accord_plan::agreement::judge;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use rstest::rstest;
use serde_json::{Value, json};

use crate::fake::{PASSWORD, next};
use crate::setup::{Bench, Sees};

const EMAIL: &str = "accord-canary-test@example.com";
const USERNAME: &str = "accord-canary-test";

/// What a replica knows of sessions: refresh and access tokens that live. A clone shares it.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<BTreeSet<String>>>);

#[derive(Clone)]
struct Server {
    speaks: Speaks,
    store: Store,
    /// Where logouts are written.
    ended: Store,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    GoTrue,
    Keycloak,
}

impl Server {
    async fn serve(self, name: &str, host: u8) -> Replica {
        let ip = Ipv4Addr::new(127, 0, 0, host);
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(handle).with_state(self);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Replica {
            name: name.into(),
            address,
            tls: false,
        }
    }

    fn lives(&self, token: &str) -> bool {
        self.store.0.lock().unwrap().contains(token) && !self.ended.0.lock().unwrap().contains(family(token))
    }

    /// A pair of tokens of one session. Both servers use JWTs; these are as opaque to the exchange.
    fn issue(&self, session: &str) -> Value {
        let [access, refresh] = [0, 1].map(|_| format!("{session}.{}", next()));
        self.store
            .0
            .lock()
            .unwrap()
            .extend([access.clone(), refresh.clone()]);
        json!({"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 300})
    }

    fn end(&self, token: &str) {
        self.ended.0.lock().unwrap().insert(family(token).to_owned());
    }

    /// The token endpoint: both grants.
    fn token(&self, grant: &str, name: Option<&str>, fields: &BTreeMap<String, String>) -> Response {
        let field = |key: &str| fields.get(key).map(String::as_str);
        match grant {
            "password" if name.is_some() && field("password") == Some(PASSWORD) => {
                answer(200, &self.issue(&next()))
            }
            "refresh_token" => match field("refresh_token").filter(|t| self.lives(t)) {
                Some(token) => {
                    self.store.0.lock().unwrap().remove(token);
                    answer(200, &self.issue(family(token)))
                }
                None => answer(400, &json!({"error": "invalid_grant"})),
            },
            "password" if self.speaks == Speaks::Keycloak => answer(401, &json!({"error": "invalid_grant"})),
            "password" => answer(400, &json!({"error_code": "invalid_credentials"})),
            _ => answer(400, &json!({"error": "unsupported_grant_type"})),
        }
    }
}

fn family(token: &str) -> &str {
    token.split('.').next().unwrap()
}

fn answer(status: u16, body: &Value) -> Response {
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    Response::builder().status(status).body(body).unwrap()
}

async fn handle(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, 4096).await.unwrap();
    let bearer = parts
        .headers
        .get("authorization")
        .and_then(|h| h.to_str().ok()?.strip_prefix("Bearer "));
    let kind = parts
        .headers
        .get("content-type")
        .and_then(|h| h.to_str().ok())
        .unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let json: BTreeMap<String, String> = serde_json::from_slice(&bytes).unwrap_or_default();
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&bytes).into_owned().collect();
    let path = parts.uri.path();
    match (server.speaks, &parts.method, path) {
        (Speaks::GoTrue, &Method::POST, "/token") => {
            let name = json.get("email").map(String::as_str).filter(|e| *e == EMAIL);
            server.token(query.strip_prefix("grant_type=").unwrap_or_default(), name, &json)
        }
        (Speaks::GoTrue, &Method::GET, "/user") => match bearer {
            None => answer(401, &json!({"error_code": "no_authorization"})),
            Some(token) if server.lives(token) => answer(200, &json!({"email": EMAIL})),
            Some(_) => answer(403, &json!({"error_code": "session_not_found"})),
        },
        (Speaks::GoTrue, &Method::POST, "/logout") if query == "scope=local" => {
            if let Some(token) = bearer {
                server.end(token);
            }
            answer(204, &Value::Null)
        }
        (Speaks::Keycloak, method, path) => {
            let Some(endpoint) = path.strip_prefix("/realms/login/protocol/openid-connect/") else {
                return answer(404, &json!({"error": "not_found"}));
            };
            let client =
                form.get("client_id").is_some_and(|c| c == "accord") && kind.contains("form-urlencoded");
            match (method, endpoint) {
                (&Method::POST, "token") if client => {
                    let grant = form.get("grant_type").cloned().unwrap_or_default();
                    let openid = form.get("scope").is_some_and(|s| s == "openid");
                    let name = form.get("username").filter(|u| *u == USERNAME && openid);
                    server.token(&grant, name.map(String::as_str), &form)
                }
                (&Method::POST, "logout") if client => {
                    if let Some(token) = form.get("refresh_token") {
                        server.end(token);
                    }
                    answer(204, &Value::Null)
                }
                (&Method::GET, "userinfo") => match bearer.filter(|t| server.lives(t)) {
                    Some(_) => answer(200, &json!({"preferred_username": USERNAME})),
                    None => answer(401, &json!({"error": "invalid_token"})),
                },
                _ => answer(401, &json!({"error": "invalid_client"})),
            }
        }
        _ => answer(404, &json!({"error": "not_found"})),
    }
}

fn bench(speaks: Speaks) -> Bench {
    let (text, name) = match speaks {
        Speaks::GoTrue => (include_str!("../../../docs/recipes/gotrue.yaml"), EMAIL),
        Speaks::Keycloak => (include_str!("../../../docs/recipes/keycloak.yaml"), USERNAME),
    };
    let recipe: Recipe = serde_saphyr::from_str(text).unwrap();
    Bench {
        recipe,
        canary: Canary {
            username: name.into(),
            password: PASSWORD.into(),
        },
        keys: Vec::new(),
        ..Bench::new(&Sees::default())
    }
}

/// Sessions apart: neither knows what the other issues. Logouts apart: one alone knows what was ended.
#[rstest]
#[case::gotrue(Speaks::GoTrue, true, true, Verified)]
#[case::gotrue_with_sessions_apart(Speaks::GoTrue, false, true, LocalSession)]
#[case::gotrue_with_logouts_apart(Speaks::GoTrue, true, false, LocalRevocation)]
#[case::keycloak(Speaks::Keycloak, true, true, Verified)]
#[case::keycloak_with_sessions_apart(Speaks::Keycloak, false, true, LocalSession)]
#[case::keycloak_with_logouts_apart(Speaks::Keycloak, true, false, LocalRevocation)]
#[tokio::test]
async fn a_recipe_speaks_its_servers_language(
    #[case] speaks: Speaks,
    #[case] one_store: bool,
    #[case] one_logout: bool,
    #[case] reason: PodReason,
) {
    let one = Server {
        speaks,
        store: Store::default(),
        ended: Store::default(),
    };
    let mut other = one.clone();
    if !one_store {
        other.store = Store::default();
    }
    if !one_logout {
        other.ended = Store::default();
    }
    let (witness, subject) = (one.serve("pod-w", 2).await, other.serve("pod-s", 3).await);
    let bench = bench(speaks);
    let seen = bench.exchange().pair(&subject, Some(&witness)).await;
    let proof = judge(&seen, "c1");
    let named = proof.reason == reason || proof.message.contains(reason.as_str());
    assert!(named, "{:?}: {}\n{seen:#?}", proof.reason, proof.message);
    assert_eq!(
        reason == Verified,
        proof.verdict == accord_crds::Verdict::Agrees,
        "{}",
        proof.message
    );
}
