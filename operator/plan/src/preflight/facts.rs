//! What a facts command prints, as the runner hands it on. Every field may be missing.

use serde::Deserialize;
use serde_json::Value;

/// What one run of the command printed: a line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// The version of this format: 1.
    pub accord_facts: u32,
    /// The database that users are looked up in.
    pub database: Option<Database>,
    /// Caches that the application has configured.
    pub caches: Vec<Cache>,
    /// Where sessions are kept.
    pub sessions: Option<Sessions>,
    /// Keys that sign, the framework's own first.
    pub keys: Vec<Key>,
    /// Hosts whose requests are answered, as patterns: `*`, `example.com`, `.example.com`, `*.example.com`.
    pub hosts: Option<Vec<String>>,
    /// Origins that unsafe requests are accepted from.
    pub origins: Option<Vec<String>>,
    /// Cookies that the application sets.
    pub cookies: Vec<Cookie>,
    /// True in debug mode.
    pub debug: Option<bool>,
}

/// A database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `postgresql`, `sqlite`, `mysql`, …
    pub engine: Option<String>,
    /// The server.
    pub host: Option<String>,
    /// The database's name, or the file's.
    pub name: Option<String>,
}

/// A cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// What the application calls it.
    pub name: String,
    /// `cache` for a server, `memory`, `file`, `database`.
    pub place: Option<String>,
    /// The server.
    pub host: Option<String>,
}

/// Where sessions are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sessions {
    /// The store, as the application names it.
    pub store: String,
    /// `cache` for a server, `memory`, `file`, `database`, or `cookie` for signed cookies.
    pub place: Option<String>,
    /// The server.
    pub host: Option<String>,
}

/// A key, by its fingerprint only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Key {
    /// The setting that holds it.
    pub name: String,
    /// See [`crate::digest::fingerprint`].
    pub fingerprint: String,
}

/// A cookie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// True for the one that holds the session.
    pub session: bool,
    /// `Secure`
    pub secure: Option<bool>,
    /// `HttpOnly`
    pub http_only: Option<bool>,
}

/// What the runner puts where it recognised a secret.
const MASK: &str = "***";

/// The runs in a runner's termination message, or why there is nothing usable.
pub fn read(termination: &str) -> Result<Vec<Facts>, String> {
    let mut message: Value = serde_json::from_str(termination)
        .map_err(|_| "the Job left no message in its pod's status".to_owned())?;
    let mut runs = message["facts"].take();
    forget_masked(&mut runs);
    let runs: Vec<Facts> = match serde_json::from_value(runs) {
        Ok(runs) => runs,
        Err(error) => return Err(format!("what it printed isn't in the documented form: {error}")),
    };
    if runs.is_empty() || runs.iter().any(|r| r.accord_facts != 1) {
        return Err("it printed no line that begins with {\"accordFacts\": 1".into());
    }
    Ok(runs)
}

/// What was masked says nothing any more.
fn forget_masked(value: &mut Value) {
    let is_masked = |v: &Value| v.as_str().is_some_and(|text| text.contains(MASK));
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !is_masked(v) && !v.is_null());
            map.values_mut().for_each(forget_masked);
        }
        Value::Array(list) => {
            list.retain(|v| !is_masked(v));
            list.iter_mut().for_each(forget_masked);
        }
        _ => {}
    }
}
