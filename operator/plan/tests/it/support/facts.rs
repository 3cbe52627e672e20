//! What images of the fake print when they are asked what their servers would use.

use accord_plan::{Kind, digest};
use base64::Engine as _;
use serde_json::{Value, json};

use super::api::Api;

/// What an image does when it is asked.
#[derive(Clone)]
pub(crate) enum Told {
    /// It prints this, merged into what a right one prints, in each of the runs.
    Facts(Vec<Value>),
    /// Its command fails.
    Nothing,
    /// The pod ends and leaves no message.
    Silence,
}

/// The termination message of the runner, and its exit code.
pub(crate) fn answer(api: &Api, told: Option<&Told>) -> (String, i32) {
    let runs = match told {
        None => vec![json!({}); 2],
        Some(Told::Facts(runs)) => runs.clone(),
        Some(Told::Nothing) => {
            let message = "the facts command ended with 1: ModuleNotFoundError";
            return (
                json!({"exitCode": 1, "reason": "NoFacts", "message": message}).to_string(),
                1,
            );
        }
        Some(Told::Silence) => return (String::new(), 0),
    };
    let facts: Vec<Value> = runs
        .into_iter()
        .map(|run| {
            let mut facts = right(api);
            facts
                .as_object_mut()
                .unwrap()
                .extend(run.as_object().unwrap().clone());
            facts
        })
        .collect();
    (
        json!({"exitCode": 0, "reason": "Answered", "facts": facts}).to_string(),
        0,
    )
}

/// What an image prints that takes everything from its bindings.
fn right(api: &Api) -> Value {
    let ring = api.get(Kind::Secret, "orders-keys").unwrap();
    let active = base64::engine::general_purpose::STANDARD
        .decode(ring["data"]["active"].as_str().unwrap())
        .unwrap();
    json!({
        "accordFacts": 1,
        "database": {"engine": "postgresql", "name": "app"},
        "sessions": {"store": "config.sessions", "place": "cache"},
        "keys": [{"name": "SECRET_KEY", "fingerprint": digest::fingerprint(&active, &active)}],
    })
}
