//! Facts against the declaration: small checks, each for itself. A contradiction would let replicas disagree, or answer
//! nobody; what is only unwise is noted.

use accord_crds::Reason;
use accord_crds::spec::Framework;

use super::advice::advice;
use super::facts::{Cache, Database, Facts, Sessions};

/// What the facts are compared with.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Whose lines are given as advice.
    pub framework: Option<Framework>,
    /// The public names, the canonical one first.
    pub hostnames: Vec<String>,
    /// The database; `None` where none is declared, and nothing is shared.
    pub database: Option<ExpectedDatabase>,
    /// The cache's host.
    pub cache: Option<String>,
    /// Fingerprints of the ring, the active key's first; empty where the servers don't take their keys from it.
    pub ring: Vec<String>,
    /// True unless the declared environment is `Development`.
    pub public: bool,
    /// The session cookie of the recipe.
    pub session_cookie: Option<String>,
}

/// The declared database.
#[derive(Clone, Debug, Default)]
pub struct ExpectedDatabase {
    /// The servers that count as it.
    pub hosts: Vec<String>,
    /// Its name.
    pub name: String,
}

/// What stops a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Its kind.
    pub reason: Reason,
    /// What was seen, what is declared, and the lines to paste.
    pub message: String,
}

/// What the facts come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What stops the revision, the gravest first.
    pub contradictions: Vec<Contradiction>,
    /// What is unwise.
    pub notes: Vec<String>,
    /// What was seen, in a few words.
    pub seen: Vec<String>,
}

impl Judgement {
    fn contradict(&mut self, declared: &Declared, reason: Reason, what: &str) {
        let framework = declared.framework.unwrap_or(Framework::Custom);
        let message = format!("{reason}: {what}. Write: {}", advice(framework, reason));
        self.contradictions.push(Contradiction { reason, message });
    }
}

/// Judges what the runs printed: one process each, so that what is made at start differs.
pub fn judge(declared: &Declared, runs: &[Facts]) -> Judgement {
    let mut out = Judgement::default();
    let Some(facts) = runs.first() else {
        return out;
    };
    if let (Some(expected), Some(found)) = (&declared.database, &facts.database) {
        database(declared, expected, found, &mut out);
    }
    keys(declared, runs, &mut out);
    if let (Some(_), Some(found)) = (&declared.database, &facts.sessions) {
        sessions(declared, found, &mut out);
    }
    if let Some(patterns) = &facts.hosts {
        hosts(declared, patterns, &mut out);
    }
    caches(declared, &facts.caches, &mut out);
    origins(declared, facts.origins.as_deref().unwrap_or_default(), &mut out);
    cookies(declared, facts, &mut out);
    if facts.debug == Some(true) && declared.public {
        out.notes
            .push("debug mode is on, and environment isn't Development".into());
    }
    out
}

/// Another database than the declared one has other users.
fn database(declared: &Declared, expected: &ExpectedDatabase, found: &Database, out: &mut Judgement) {
    let (engine, host, name) = (
        found.engine.as_deref().unwrap_or_default(),
        found.host.as_deref().unwrap_or_default(),
        found.name.as_deref().unwrap_or_default(),
    );
    let first = expected.hosts.first().map_or("", String::as_str);
    let wanted = format!("declared is {} on {first}", expected.name);
    if engine == "sqlite" {
        let what = format!("users would be in a SQLite file of each pod ({name}); {wanted}");
        return out.contradict(declared, Reason::LocalDatabase, &what);
    }
    // libpq takes a list of hosts.
    let declared_host = |host: &str| expected.hosts.iter().any(|h| h.eq_ignore_ascii_case(host.trim()));
    let elsewhere = !host.is_empty() && !host.split(',').any(declared_host);
    let postgres = engine.is_empty() || engine.starts_with("postg") || engine == "cockroachdb";
    if elsewhere || !postgres || (!name.is_empty() && name != expected.name) {
        let what = format!("users would be in {engine} database {name:?} on {host:?}; {wanted}");
        return out.contradict(declared, Reason::LocalDatabase, &what);
    }
    if !host.is_empty() {
        out.seen.push(format!("database {name} on {host}"));
    }
}

/// A key that isn't in the ring signs what no other replica verifies, and what no rotation reaches.
fn keys(declared: &Declared, runs: &[Facts], out: &mut Judgement) {
    let Some(first) = runs.first() else { return };
    for (index, key) in first.keys.iter().enumerate() {
        let name = &key.name;
        let differs = runs.iter().any(|run| {
            let same = run.keys.iter().find(|k| k.name == *name);
            same.is_some_and(|k| k.fingerprint != key.fingerprint)
        });
        let at = declared.ring.iter().position(|k| *k == key.fingerprint);
        if differs {
            let what = format!("{name} is another one in each process: it is made at start");
            out.contradict(declared, Reason::KeyMismatch, &what);
        } else if declared.ring.is_empty() {
            // The servers' keys aren't Accord's: nothing to compare with.
        } else if at.is_none() && index == 0 {
            let what = format!("{name} isn't in the declared key ring");
            out.contradict(declared, Reason::KeyMismatch, &what);
        } else if at.is_none() {
            out.notes.push(format!(
                "{name} isn't in the declared key ring: rotation won't reach it"
            ));
        } else if at != Some(0) && index == 0 {
            out.notes.push(format!(
                "{name} is a key of the ring that only verifies: the active one has to sign"
            ));
        } else {
            out.seen.push(format!("{name} in the ring"));
        }
    }
}

/// Sessions inside a pod are unknown to the others.
fn sessions(declared: &Declared, found: &Sessions, out: &mut Judgement) {
    let store = &found.store;
    let host = found.host.as_deref().unwrap_or_default();
    let what = match found.place.as_deref() {
        Some("memory") => format!("sessions would be in the memory of each process ({store})"),
        Some("file") => format!("sessions would be in files of each pod ({store})"),
        Some("cache") if is_loopback(host) => {
            format!("sessions would be in a cache inside each pod ({store} at {host})")
        }
        Some("cookie") => {
            out.notes
                .push("sessions are signed cookies: a logout doesn't end a copy of one".into());
            return;
        }
        Some(place) => {
            let at = if host.is_empty() {
                String::new()
            } else {
                format!(" on {host}")
            };
            out.seen.push(format!("sessions in the {place}{at}"));
            return;
        }
        None => return,
    };
    out.contradict(declared, Reason::LocalSession, &what);
}

/// A request for another host is refused, so a missing one refuses everybody.
fn hosts(declared: &Declared, patterns: &[String], out: &mut Judgement) {
    let accepted = |host: &String| patterns.iter().any(|p| matches(p, host));
    let listed = || patterns.join(", ");
    for (index, host) in declared
        .hostnames
        .iter()
        .enumerate()
        .filter(|(_, h)| !accepted(h))
    {
        if index == 0 {
            let what = format!("requests for {host} would be refused: allowed are [{}]", listed());
            out.contradict(declared, Reason::HostnameMismatch, &what);
        } else {
            out.notes.push(format!(
                "requests for {host} would be refused: it isn't among the allowed hosts"
            ));
        }
    }
    if declared.hostnames.first().is_some_and(accepted) {
        out.seen.push("hosts as declared".into());
    }
}

/// As frameworks match: a leading dot means the domain and what is under it, `*.` what is under it.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let pattern = pattern.split(':').next().unwrap_or_default();
    if let Some(domain) = pattern.strip_prefix("*.") {
        return host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    }
    match pattern.strip_prefix('.') {
        Some(domain) => host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == "*" || pattern == host,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host == "::1" || host.starts_with("127.") || host.starts_with('/')
}

/// A cache that isn't shared is fit for what needn't be. Sessions in one are a contradiction of their own.
fn caches(declared: &Declared, found: &[Cache], out: &mut Judgement) {
    for cache in found {
        let name = &cache.name;
        match (
            cache.place.as_deref(),
            cache.host.as_deref(),
            declared.cache.as_deref(),
        ) {
            (Some("memory"), ..) => out
                .notes
                .push(format!("cache {name} is the memory of each process")),
            (Some("file"), ..) => out.notes.push(format!("cache {name} is files of each pod")),
            (Some("cache"), Some(host), Some(wanted)) if !host.eq_ignore_ascii_case(wanted) => {
                out.notes
                    .push(format!("cache {name} is on {host}; declared is {wanted}"));
            }
            _ => {}
        }
    }
}

/// A list of trusted origins without ours is one of another environment.
fn origins(declared: &Declared, found: &[String], out: &mut Judgement) {
    let Some(host) = declared.hostnames.first() else {
        return;
    };
    let trusted = found.iter().any(|origin| {
        let pattern = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
        matches(pattern, host)
    });
    if !found.is_empty() && !trusted {
        out.notes
            .push(format!("https://{host} isn't among the trusted origins"));
    }
}

fn cookies(declared: &Declared, facts: &Facts, out: &mut Judgement) {
    for cookie in &facts.cookies {
        let name = &cookie.name;
        if cookie.secure == Some(false) {
            out.notes.push(format!("cookie {name} isn't Secure"));
        }
        if cookie.session && cookie.http_only == Some(false) {
            out.notes.push(format!("cookie {name} isn't HttpOnly"));
        }
        if let Some(expected) = declared
            .session_cookie
            .as_ref()
            .filter(|e| cookie.session && *e != name)
        {
            out.notes.push(format!(
                "the session cookie is {name}, the recipe expects {expected}"
            ));
        }
    }
}
