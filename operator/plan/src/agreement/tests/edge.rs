//! The way in from outside: one row for each reason.

use accord_crds::edge::EdgeReason;
use jiff::Timestamp;

use super::*;
use crate::agreement::edge::{Connection, EdgeObservations, judge_edge};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Everything is as it should be.
fn sound_edge() -> EdgeObservations {
    let mut seen = Observations::default();
    for role in [S, W] {
        put(&mut seen, Action::Csrf, role, role, Accepted);
        put(&mut seen, Login, role, role, Accepted);
        for artifact in [Session, Access] {
            put(&mut seen, Own(artifact), role, role, Accepted);
            put(&mut seen, Cross(artifact), role.other(), role, Accepted);
        }
        put(&mut seen, Logout, role, role, Accepted);
    }
    EdgeObservations {
        hostname: "login.example.com".into(),
        pod: "pod-w".into(),
        connection: Connection::Made,
        certificate_expires: Some("2026-03-01T00:00:00Z".parse().unwrap()),
        cookies: Vec::new(),
        steps: seen.steps,
    }
}

/// A step that went otherwise.
fn but(action: Action, at: Role, of: Role, meaning: Meaning, status: u16) -> EdgeObservations {
    let mut edge = sound_edge();
    let mut seen = Observations {
        steps: edge.steps,
        ..Observations::default()
    };
    put(&mut seen, action, at, of, meaning);
    let step = seen
        .steps
        .iter_mut()
        .find(|s| (s.action, s.at, s.of) == (action, at, of));
    step.unwrap().status = Some(status).filter(|s| *s > 0);
    edge.steps = seen.steps;
    edge
}

fn lost(connection: Connection) -> EdgeObservations {
    EdgeObservations {
        connection,
        steps: Vec::new(),
        ..sound_edge()
    }
}

fn expires(at: &str) -> EdgeObservations {
    EdgeObservations {
        certificate_expires: Some(at.parse().unwrap()),
        ..sound_edge()
    }
}

fn cookie(domain: &str) -> EdgeObservations {
    EdgeObservations {
        cookies: vec![CookieScope {
            hostname: "login.example.com".into(),
            cookie: "session".into(),
            domain: domain.into(),
        }],
        ..sound_edge()
    }
}

#[rstest]
#[case::as_it_should_be(sound_edge(), EdgeReason::Verified)]
#[case::no_name(lost(Connection::NotResolved("no such name".into())), EdgeReason::NameNotResolved)]
#[case::no_route(lost(Connection::Unreachable("refused".into())), EdgeReason::Unreachable)]
#[case::no_connection(lost(Connection::TimedOut), EdgeReason::TimedOut)]
#[case::expired(lost(Connection::NotTrusted("expired".into())), EdgeReason::CertificateInvalid)]
#[case::expires_soon(expires("2026-01-10T00:00:00Z"), EdgeReason::CertificateExpiring)]
#[case::expires_later(expires("2026-01-16T00:00:00Z"), EdgeReason::Verified)]
#[case::hangs(but(Login, S, S, TimedOut, 0), EdgeReason::TimedOut)]
#[case::bad_gateway(but(Own(Session), S, S, ServerError, 502), EdgeReason::ServerError)]
#[case::redirect_loop(but(Action::Csrf, S, S, Redirected, 301), EdgeReason::Redirected)]
#[case::limited(but(Login, S, S, Throttled, 429), EdgeReason::Pending)]
#[case::set_cookie_stripped(but(Login, S, S, Unexpected, 200), EdgeReason::CredentialLost)]
#[case::csrf_cookie_stripped(but(Action::Csrf, S, S, Unexpected, 200), EdgeReason::CredentialLost)]
#[case::cookie_stripped(but(Own(Session), S, S, Rejected, 401), EdgeReason::CredentialLost)]
#[case::authorization_stripped(but(Own(Access), S, S, Rejected, 401), EdgeReason::CredentialLost)]
#[case::domain_rewritten(cookie("internal.example.org"), EdgeReason::CredentialLost)]
#[case::domain_that_covers(cookie("example.com"), EdgeReason::Verified)]
#[case::origin_not_trusted(but(Login, S, S, Rejected, 403), EdgeReason::LoginRefused)]
#[case::not_routed(but(Login, S, S, Unexpected, 404), EdgeReason::LoginRefused)]
#[case::unknown_to_the_replicas(but(Cross(Session), W, S, Rejected, 401), EdgeReason::OtherServers)]
#[case::does_not_know_the_replicas(but(Cross(Access), S, W, Rejected, 401), EdgeReason::OtherServers)]
#[case::the_replica_fails_itself(but(Login, W, W, Rejected, 401), EdgeReason::Pending)]
#[case::the_replica_is_slow(but(Own(Session), W, W, TimedOut, 0), EdgeReason::Pending)]
fn one_reason_for_one_cause(#[case] seen: EdgeObservations, #[case] reason: EdgeReason) {
    let status = judge_edge(&seen, now());
    assert_eq!(status.reason, reason, "{}", status.message);
    assert!(status.message.len() <= 512);
    let named = status.message.contains("login.example.com") || reason == EdgeReason::Pending;
    assert!(named, "{}", status.message);
}

#[test]
fn what_was_seen_is_named() {
    let message = judge_edge(&but(Login, S, S, ServerError, 502), now()).message;
    assert!(message.contains("502") && message.contains("pod-w"), "{message}");
}
