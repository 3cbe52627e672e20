//! A row for each thing that can be printed and what follows; and what the examples really print, with each of their
//! faults (`examples/*/tests/facts.json`, which their own tests make).

use std::collections::BTreeMap;
use std::path::Path;

use accord_crds::Reason;
use accord_crds::spec::Framework;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Declared, ExpectedDatabase, Judgement, judge, read};
use crate::digest;

/// The key that the examples' facts are made with.
const ACTIVE: &str = "only-for-tests-only-for-tests-only-for-tests-1234567890";

fn fingerprint(key: &str) -> String {
    digest::fingerprint(ACTIVE.as_bytes(), key.as_bytes())
}

fn declared(framework: Framework, service: &str) -> Declared {
    Declared {
        framework: Some(framework),
        hostnames: vec![
            format!("{service}.example.com"),
            format!("www.{service}.example.com"),
        ],
        database: Some(ExpectedDatabase {
            hosts: vec![format!("{service}-postgres.shop.svc")],
            name: "app".into(),
        }),
        cache: Some(format!("{service}-cache.shop.svc")),
        ring: vec![fingerprint(ACTIVE), fingerprint("older")],
        public: true,
        session_cookie: Some("sessionid".into()),
    }
}

fn runs(first: &Value, second: &Value) -> Vec<super::Facts> {
    let mut facts = json!({"facts": [first, second]});
    for run in facts["facts"].as_array_mut().unwrap() {
        run["accordFacts"] = 1.into();
    }
    read(&facts.to_string()).unwrap()
}

fn judged(facts: &Value) -> Judgement {
    judge(&declared(Framework::Django, "orders"), &runs(facts, facts))
}

fn reasons(judgement: &Judgement) -> Vec<Reason> {
    judgement.contradictions.iter().map(|c| c.reason).collect()
}

#[rstest]
#[case::sqlite(json!({"database": {"engine": "sqlite", "name": "/tmp/db.sqlite3"}}), Reason::LocalDatabase, "/tmp/db.sqlite3")]
#[case::another_server(json!({"database": {"engine": "postgresql", "host": "10.1.2.3", "name": "app"}}), Reason::LocalDatabase, "10.1.2.3")]
#[case::another_database(json!({"database": {"engine": "postgresql", "host": "orders-postgres.shop.svc", "name": "test"}}), Reason::LocalDatabase, "test")]
#[case::another_kind(json!({"database": {"engine": "mysql"}}), Reason::LocalDatabase, "mysql")]
#[case::memory(json!({"sessions": {"store": "SimpleCache", "place": "memory"}}), Reason::LocalSession, "SimpleCache")]
#[case::files(json!({"sessions": {"store": "filesystem", "place": "file"}}), Reason::LocalSession, "filesystem")]
#[case::cache_in_the_pod(json!({"sessions": {"store": "redis", "place": "cache", "host": "127.0.0.1"}}), Reason::LocalSession, "127.0.0.1")]
#[case::key_of_nobody(json!({"keys": [{"name": "SECRET_KEY", "fingerprint": "0011223344556677"}]}), Reason::KeyMismatch, "SECRET_KEY isn't in")]
#[case::hosts_of_another(json!({"hosts": ["example.org", ".example.net"]}), Reason::HostnameMismatch, "example.org")]
#[case::no_host_at_all(json!({"hosts": []}), Reason::HostnameMismatch, "orders.example.com would be refused")]
fn is_refused(#[case] facts: Value, #[case] reason: Reason, #[case] named: &str) {
    let judgement = judged(&facts);
    assert_eq!(reasons(&judgement), [reason]);
    let message = &judgement.contradictions[0].message;
    assert!(
        message.starts_with(reason.as_str()) && message.contains(named),
        "{message}"
    );
    assert!(message.contains("os.environ["), "no lines to paste: {message}");
    assert!(reason.needs_person());
}

#[rstest]
#[case::nothing(json!({}))]
#[case::right(json!({
    "database": {"engine": "postgresql", "host": "ORDERS-postgres.shop.svc", "name": "app"},
    "sessions": {"store": "config.sessions", "place": "cache", "host": "orders-cache.shop.svc"},
    "keys": [{"name": "SECRET_KEY", "fingerprint": fingerprint(ACTIVE)}],
    "hosts": ["orders.example.com", "www.orders.example.com"], "origins": ["https://orders.example.com"], "debug": false,
    "cookies": [{"name": "sessionid", "session": true, "secure": true, "httpOnly": true}],
}))]
#[case::several_hosts_of_libpq(json!({"database": {"host": "other, orders-postgres.shop.svc"}}))]
#[case::every_host(json!({"hosts": ["*"]}))]
#[case::a_domain(json!({"hosts": [".example.com"]}))]
#[case::a_wildcard(json!({"hosts": ["*.example.com"]}))]
#[case::itself_with_its_domain(json!({"hosts": [".orders.example.com"]}))]
#[case::sessions_in_the_database(json!({"sessions": {"store": "db", "place": "database"}}))]
#[case::a_store_of_their_own(json!({"sessions": {"store": "vault"}}))]
#[case::what_was_masked(json!({"database": {"engine": "postgresql", "host": "***.shop.svc", "name": "***"}, "hosts": ["*", "***"]}))]
fn passes(#[case] facts: Value) {
    let judgement = judged(&facts);
    assert_eq!(judgement.contradictions, []);
    assert_eq!(judgement.notes, Vec::<String>::new());
}

#[rstest]
#[case(json!({"debug": true}), "debug mode")]
#[case(json!({"hosts": ["orders.example.com"]}), "www.orders.example.com")]
#[case(json!({"origins": ["https://staging.example.com"]}), "trusted origins")]
#[case(json!({"cookies": [{"name": "csrftoken", "secure": false}]}), "csrftoken isn't Secure")]
#[case(json!({"cookies": [{"name": "sessionid", "session": true, "httpOnly": false}]}), "isn't HttpOnly")]
#[case(json!({"cookies": [{"name": "sid", "session": true}]}), "the recipe expects sessionid")]
#[case(json!({"sessions": {"store": "signed", "place": "cookie"}}), "signed cookies")]
#[case(json!({"caches": [{"name": "local", "place": "memory"}]}), "cache local is the memory")]
#[case(json!({"caches": [{"name": "default", "place": "cache", "host": "elsewhere"}]}), "elsewhere")]
#[case(json!({"keys": [{"name": "SECRET_KEY", "fingerprint": fingerprint("older")}]}), "only verifies")]
#[case(json!({"keys": [{"name": "SECRET_KEY", "fingerprint": fingerprint(ACTIVE)}, {"name": "JWT", "fingerprint": "00"}]}), "JWT isn't in")]
fn is_noted_and_passes(#[case] facts: Value, #[case] note: &str) {
    let judgement = judged(&facts);
    assert_eq!(judgement.contradictions, []);
    assert!(
        judgement.notes.len() == 1 && judgement.notes[0].contains(note),
        "{judgement:?}"
    );
}

#[test]
fn a_key_that_differs_between_two_processes_is_made_at_start() {
    let with = |key: &str| json!({"keys": [{"name": "SECRET_KEY", "fingerprint": key}]});
    let mut declared = declared(Framework::Flask, "tickets");
    let two = runs(&with("aaaa"), &with("bbbb"));
    assert_eq!(reasons(&judge(&declared, &two)), [Reason::KeyMismatch]);
    declared.ring.clear();
    let judgement = judge(&declared, &two);
    assert!(
        judgement.contradictions[0].message.contains("made at start"),
        "{judgement:?}"
    );
    // Another one than the ring's is nothing to us where the servers' keys aren't from the ring.
    let same = runs(&with("aaaa"), &with("aaaa"));
    assert_eq!(judge(&declared, &same).contradictions, []);
}

#[test]
fn what_shares_nothing_may_keep_everything_to_itself() {
    let facts = json!({"database": {"engine": "sqlite"}, "sessions": {"place": "memory"}});
    let mut declared = declared(Framework::Django, "orders");
    declared.database = None;
    assert_eq!(judge(&declared, &runs(&facts, &facts)).contradictions, []);
}

#[test]
fn the_gravest_comes_first() {
    let facts = json!({"hosts": [], "sessions": {"place": "memory"}, "database": {"engine": "sqlite"},
        "keys": [{"name": "SECRET_KEY", "fingerprint": "00"}]});
    let expected = [
        Reason::LocalDatabase,
        Reason::KeyMismatch,
        Reason::LocalSession,
        Reason::HostnameMismatch,
    ];
    assert_eq!(reasons(&judged(&facts)), expected);
}

#[rstest]
#[case("", "left no message")]
#[case(r#"{"exitCode": 0}"#, "isn't in the documented form")]
#[case(r#"{"facts": []}"#, "printed no line")]
#[case(r#"{"facts": [{"accordFacts": 2}]}"#, "printed no line")]
#[case(
    r#"{"facts": [{"accordFacts": 1, "hosts": "all"}]}"#,
    "isn't in the documented form"
)]
fn what_cannot_be_read_says_so(#[case] message: &str, #[case] why: &str) {
    let error = read(message).unwrap_err();
    assert!(error.contains(why), "{error}");
}

/// The faults of each example, and what preflight makes of them: `None` where the settings show nothing.
#[rstest]
#[case("django-orders", "orders", Framework::Django, &[
    ("none", None),
    ("local-database", Some(Reason::LocalDatabase)),
    ("local-database-seeded", Some(Reason::LocalDatabase)),
    ("local-session", Some(Reason::LocalSession)),
    ("local-revocation", None),
    ("key-per-start", Some(Reason::KeyMismatch)),
    ("worker-state", Some(Reason::LocalSession)),
    ("stale-password", None),
    ("later", None),
    ("lagging-replica", None),
    ("image-sqlite", Some(Reason::LocalDatabase)),
])]
#[case("flask-tickets", "tickets", Framework::Flask, &[
    ("none", None),
    ("memory-sessions", Some(Reason::LocalSession)),
    ("key-per-start", Some(Reason::KeyMismatch)),
    ("non-permanent-session", None),
    ("cookie-attributes", None),
])]
#[case("fastapi-workflows", "workflows", Framework::FastApi, &[
    ("none", None),
    ("token-format", None),
    ("other-token-format", None),
    ("two-formats-in-one-pod", None),
    ("memory-sessions", Some(Reason::LocalSession)),
    ("blocking-login", None),
    ("wrong-environment", None),
])]
fn faults_of_the_examples(
    #[case] example: &str,
    #[case] service: &str,
    #[case] framework: Framework,
    #[case] expected: &[(&str, Option<Reason>)],
) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(example)
        .join("tests/facts.json");
    let printed: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let names: Vec<&String> = printed.keys().collect();
    assert_eq!(names.len(), expected.len(), "{names:?}");
    let mut declared = declared(framework, service);
    declared.session_cookie = None;
    for (fault, reason) in expected {
        let runs = &printed[*fault];
        let judgement = judge(&declared, &self::runs(&runs[0], &runs[1]));
        let found = judgement.contradictions.first().map(|c| c.reason);
        assert_eq!(found, *reason, "{example}, {fault}: {judgement:?}");
        if *fault == "none" {
            // The example is declared with one hostname.
            assert_eq!(judgement.notes.len(), 1, "{judgement:?}");
            assert!(
                judgement.seen.iter().any(|s| s == "SECRET_KEY in the ring"),
                "{judgement:?}"
            );
        }
    }
}
