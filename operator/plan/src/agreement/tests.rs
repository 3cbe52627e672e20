//! A row for each reason: from a trace to the verdict.

use std::collections::BTreeMap;

use accord_crds::PodReason::{
    self, AcceptsInvalid, Ambiguous, CanaryMissing, KeyMismatch, LocalDatabase, LocalRevocation,
    LocalSession, Pending, ProbeBlocked, RateLimited, RecipeMismatch, SchemaMismatch, Slow, TokenFormat,
    Verified, WrongIdentity,
};
use accord_crds::Verdict::{self, Agrees, Diverges};
use rstest::rstest;

use super::*;
use Action::{Again, Cross, Login, Logout, NoCredential, Own, Refreshed, Replay, Tampered, WrongPassword};
use Artifact::{Access, Session};
use Meaning::*;
use Role::{Subject as S, Witness as W};

mod cookies;
mod edge;
mod hostname;
mod passwords;
mod rows;

/// A whole exchange in which everything is as it should be; each row changes something about it.
fn sound() -> Observations {
    let mut seen = Observations {
        subject: "pod-s".into(),
        witness: Some("pod-w".into()),
        conventions: Conventions::Django,
        database: Some(true),
        witness_database: Some(true),
        token: Some(shape("HS256")),
        witness_token: Some(shape("HS256")),
        ..Observations::default()
    };
    put(&mut seen, NoCredential, S, S, Rejected);
    put(&mut seen, WrongPassword, S, S, Rejected);
    for role in [S, W] {
        put(&mut seen, Login, role, role, Accepted);
        for artifact in [Session, Access] {
            put(&mut seen, Own(artifact), role, role, Accepted);
        }
        for artifact in [Session, Access] {
            put(&mut seen, Cross(artifact), role.other(), role, Accepted);
            put(&mut seen, Again(artifact), role, role, Accepted);
        }
    }
    put(&mut seen, Tampered(Access), S, S, Rejected);
    for role in [S, W] {
        put(&mut seen, Action::Refresh, role.other(), role, Accepted);
        put(&mut seen, Refreshed, role, role, Accepted);
    }
    for role in [S, W] {
        put(&mut seen, Logout, role, role, Accepted);
        for at in [role, role.other()] {
            put(&mut seen, Replay(Session), at, role, Rejected);
            put(&mut seen, Replay(Access), at, role, Accepted);
            put(&mut seen, Replay(Artifact::Refresh), at, role, Rejected);
        }
    }
    seen
}

fn shape(algorithm: &str) -> TokenShape {
    TokenShape {
        algorithm: algorithm.into(),
        key_id: None,
        claims: BTreeMap::from([("sub".into(), "string")]),
        lifetime: Some(300),
    }
}

fn other_claims() -> TokenShape {
    TokenShape {
        claims: BTreeMap::from([("sub".into(), "number")]),
        ..shape("HS256")
    }
}

fn ring_signed(seen: &mut Observations) {
    (seen.key, seen.witness_key) = (Some(true), Some(true));
}

/// How far the clocks of subject and witness are ahead of the prober's.
fn clocks(seen: &mut Observations, subject: i64, witness: i64) {
    (seen.clock, seen.witness_clock) = (Some(subject), Some(witness));
}

/// Eight checks at once at the subject, of which so many are accepted.
fn at_once(seen: &mut Observations, artifact: Artifact, accepted: usize) {
    let like = seen.step(Own(artifact), S, S).unwrap().clone();
    for n in 0..8 {
        let meaning = if n < accepted { Accepted } else { Rejected };
        let action = Action::AtOnce(artifact);
        seen.steps.push(Step {
            action,
            meaning,
            ..like.clone()
        });
    }
}

/// After logout the subject accepts its own session on one connection more.
fn ended_for_some(seen: &mut Observations) {
    let replay = seen.step(Replay(Session), S, S).unwrap().clone();
    seen.steps.push(Step {
        meaning: Accepted,
        ..replay
    });
}

/// Adds a step, or says that it went otherwise.
fn put(seen: &mut Observations, action: Action, at: Role, of: Role, meaning: Meaning) {
    let status = match meaning {
        Accepted | OtherIdentity => Some(200),
        Rejected => Some(401),
        Throttled => Some(429),
        Redirected => Some(301),
        ServerError => Some(500),
        Unexpected => Some(404),
        Unreachable | TimedOut => None,
    };
    let step = Step {
        action,
        at,
        of,
        meaning,
        status,
        detail: String::new(),
        millis: 1,
    };
    match seen
        .steps
        .iter_mut()
        .find(|s| (s.action, s.at, s.of) == (action, at, of))
    {
        Some(known) => *known = step,
        None => seen.steps.push(step),
    }
}

/// Keeps only the steps of the subject before its login, and the login as it went.
fn login(meaning: Meaning, status: u16, database: Option<bool>) -> Observations {
    let mut seen = sound();
    seen.database = database;
    seen.witness = None;
    seen.steps
        .retain(|s| matches!(s.action, NoCredential | WrongPassword));
    put(&mut seen, Login, S, S, meaning);
    seen.steps[2].status = Some(status);
    seen
}

fn with(change: impl FnOnce(&mut Observations)) -> Observations {
    let mut seen = sound();
    change(&mut seen);
    seen
}

fn steps(changed: &[(Action, Role, Role, Meaning)]) -> Observations {
    with(|seen| {
        for (action, at, of, meaning) in changed {
            put(seen, *action, *at, *of, *meaning);
        }
    })
}

#[rstest]
#[case::all_is_well(sound(), Agrees, Verified)]
// Nothing can be concluded.
#[case::unreachable(steps(&[(NoCredential, S, S, Unreachable)]), Verdict::Unknown, ProbeBlocked)]
#[case::late(steps(&[(Login, S, S, TimedOut)]), Verdict::Unknown, Slow)]
#[case::limited(steps(&[(WrongPassword, S, S, Throttled)]), Verdict::Unknown, RateLimited)]
// L and D.
#[case::l401_d_absent(login(Rejected, 401, Some(false)), Diverges, LocalDatabase)]
#[case::l400_d_absent(login(Rejected, 400, Some(false)), Diverges, LocalDatabase)]
#[case::l403_d_absent(login(Rejected, 403, Some(false)), Diverges, LocalDatabase)]
#[case::l500_d_absent(login(ServerError, 500, Some(false)), Diverges, LocalDatabase)]
#[case::l401_d_present(login(Rejected, 401, Some(true)), Verdict::Unknown, CanaryMissing)]
#[case::l500_d_present(login(ServerError, 500, Some(true)), Verdict::Unknown, PodReason::ServerError)]
#[case::l401_d_unknown(login(Rejected, 401, None), Verdict::Unknown, Ambiguous)]
#[case::l404(login(Unexpected, 404, Some(false)), Verdict::Unknown, RecipeMismatch)]
#[case::l200_d_absent(with(|s| s.database = Some(false)), Diverges, LocalDatabase)]
#[case::l200_d_absent_for_all(
    with(|s| (s.database, s.witness_database) = (Some(false), Some(false))), Agrees, Verified
)]
#[case::canary_only_at_the_witness(
    with(|s| { s.database = None; put(s, Login, S, S, Rejected) }), Diverges, LocalDatabase
)]
#[case::connected_and_not_found(steps(&[(Login, S, S, Rejected)]), Diverges, Ambiguous)]
// By itself.
#[case::no_credential(steps(&[(NoCredential, S, S, Accepted)]), Diverges, AcceptsInvalid)]
#[case::wrong_password(steps(&[(WrongPassword, S, S, Accepted)]), Diverges, AcceptsInvalid)]
#[case::tampered(steps(&[(Tampered(Access), S, S, Accepted)]), Diverges, AcceptsInvalid)]
#[case::redirect(steps(&[(Login, S, S, Meaning::Redirected)]), Diverges, PodReason::Redirected)]
#[case::somebody_else(steps(&[(Cross(Session), S, W, OtherIdentity)]), Diverges, WrongIdentity)]
#[case::somebody_else_at_the_witness(steps(&[(Cross(Access), W, S, OtherIdentity)]), Diverges, WrongIdentity)]
#[case::forgetful(steps(&[(Own(Session), S, S, Rejected)]), Diverges, LocalSession)]
#[case::broken_check(
    steps(&[(Own(Session), S, S, Meaning::ServerError)]), Verdict::Unknown, PodReason::ServerError
)]
#[case::workers(with(|s| at_once(s, Session, 4)), Diverges, LocalSession)]
#[case::workers_without_a_witness(
    with(|s| { s.witness = None; s.steps.truncate(5); at_once(s, Session, 7) }), Diverges, LocalSession
)]
#[case::workers_of_a_framework_with_keys_and_no_token(
    with(|s| { s.steps.retain(|s| s.action != Own(Access)); at_once(s, Session, 4) }), Diverges, Ambiguous
)]
#[case::workers_with_a_key_each(
    with(|s| { at_once(s, Session, 4); at_once(s, Access, 4) }), Diverges, KeyMismatch
)]
#[case::workers_with_signed_cookies_of_a_key_each(
    with(|s| { s.signed_cookie = true; at_once(s, Session, 4) }), Diverges, KeyMismatch
)]
#[case::workers_that_may_have_a_key_each(
    with(|s| {
        (s.conventions, s.signature) = (Conventions::Generic, true);
        s.steps.retain(|s| s.action != Own(Access));
        at_once(s, Session, 4);
    }),
    Diverges, Ambiguous
)]
#[case::workers_that_share_the_store(
    with(|s| { s.stored = Some(true); s.steps.retain(|s| s.action != Own(Access)); at_once(s, Session, 4) }),
    Diverges, KeyMismatch
)]
#[case::workers_with_the_declared_key(
    with(|s| { s.key = Some(true); at_once(s, Access, 4) }), Diverges, LocalSession
)]
#[case::workers_that_all_forget_what_one_remembered(with(|s| at_once(s, Session, 0)), Diverges, LocalSession)]
#[case::workers_that_answer_alike(with(|s| at_once(s, Session, 8)), Agrees, Verified)]
#[case::heals_a_moment_later(
    with(|s| { put(s, Own(Session), S, S, Rejected); at_once(s, Session, 8) }), Verdict::Unknown, Ambiguous
)]
#[case::fails_under_several_at_once(
    with(|s| { at_once(s, Session, 8); s.steps.last_mut().unwrap().meaning = Meaning::ServerError }),
    Verdict::Unknown, PodReason::ServerError
)]
// K.
#[case::k_false_from_a_single_login(
    with(|s| { s.witness = None; s.steps.truncate(5); s.key = Some(false) }), Diverges, KeyMismatch
)]
#[case::k_false_of_the_witness(
    with(|s| { (s.key, s.witness_key) = (Some(true), Some(false)); put(s, Cross(Access), S, W, Rejected) }),
    Verdict::Unknown, Pending
)]
#[case::k_true_and_other_claims(
    with(|s| { ring_signed(s); s.token = Some(other_claims()); put(s, Cross(Access), W, S, Rejected) }),
    Diverges, TokenFormat
)]
#[case::k_true_and_other_claims_break_the_witness(
    with(|s| { ring_signed(s); s.token = Some(other_claims()); put(s, Cross(Access), W, S, Meaning::ServerError) }),
    Diverges, TokenFormat
)]
#[case::k_true_and_another_key_id(
    with(|s| {
        ring_signed(s);
        s.token = Some(TokenShape { key_id: Some("k2".into()), ..shape("HS256") });
        put(s, Cross(Access), W, S, Rejected);
    }),
    Diverges, TokenFormat
)]
#[case::k_true_and_the_same_claims_with_nowhere_to_look(
    with(|s| {
        ring_signed(s);
        (s.database, s.witness_database) = (None, None);
        put(s, Cross(Access), W, S, Rejected);
    }),
    Diverges, Ambiguous
)]
#[case::k_true_and_everything_refused(
    with(|s| {
        ring_signed(s);
        put(s, Cross(Session), W, S, Rejected);
        put(s, Cross(Access), W, S, Rejected);
    }),
    Diverges, LocalSession
)]
// The witness's own part.
#[case::witness_login(steps(&[(Login, W, W, Rejected), (Cross(Access), W, S, Rejected)]), Verdict::Unknown, Pending)]
#[case::witness_check(steps(&[(Own(Session), W, W, OtherIdentity)]), Verdict::Unknown, Pending)]
#[case::witness_silent(steps(&[(Cross(Session), W, S, TimedOut)]), Verdict::Unknown, Pending)]
#[case::witness_without_the_database(with(|s| s.witness_database = Some(false)), Verdict::Unknown, Pending)]
#[case::witness_logout(steps(&[(Logout, W, W, Meaning::ServerError)]), Verdict::Unknown, Pending)]
// The pair.
#[case::session_there(steps(&[(Cross(Session), W, S, Rejected)]), Diverges, LocalSession)]
#[case::session_here(steps(&[(Cross(Session), S, W, Rejected)]), Diverges, LocalSession)]
#[case::session_thrown_away(
    steps(&[(Cross(Session), W, S, Rejected), (Again(Session), S, S, Rejected)]), Diverges, KeyMismatch
)]
#[case::session_and_token(
    steps(&[(Cross(Session), W, S, Rejected), (Cross(Access), W, S, Rejected)]), Diverges, KeyMismatch
)]
#[case::session_and_token_of_unknown_users(
    with(|s| {
        (s.database, s.witness_database) = (None, None);
        put(s, Cross(Session), W, S, Rejected);
        put(s, Cross(Access), W, S, Rejected);
    }),
    Diverges, Ambiguous
)]
#[case::token_only(steps(&[(Cross(Access), W, S, Rejected)]), Diverges, KeyMismatch)]
#[case::token_of_another_key(
    with(|s| { s.token = Some(TokenShape { key_id: Some("k2".into()), ..shape("HS256") }); put(s, Cross(Access), W, S, Rejected) }),
    Diverges, KeyMismatch
)]
#[case::token_of_another_shape(
    with(|s| { s.token = Some(shape("ES256")); put(s, Cross(Access), W, S, Rejected) }), Diverges, TokenFormat
)]
#[case::token_that_breaks_the_witness(
    with(|s| { s.token = Some(shape("ES256")); put(s, Cross(Access), W, S, Meaning::ServerError) }), Diverges, TokenFormat
)]
#[case::peer_breaks(
    steps(&[(Cross(Access), S, W, Meaning::ServerError)]), Verdict::Unknown, PodReason::ServerError
)]
#[case::lost_afterwards(steps(&[(Again(Session), S, S, Rejected)]), Verdict::Unknown, Ambiguous)]
#[case::refresh_there_only(
    steps(&[(Action::Refresh, W, S, Rejected), (Action::Refresh, S, S, Accepted)]), Diverges, LocalSession
)]
#[case::refresh_nowhere(
    steps(&[(Action::Refresh, W, S, Rejected), (Action::Refresh, S, S, Rejected)]), Verdict::Unknown, RecipeMismatch
)]
// The end.
#[case::logout_refused(steps(&[(Logout, S, S, Rejected)]), Verdict::Unknown, RecipeMismatch)]
#[case::logout_breaks(steps(&[(Logout, S, S, Meaning::ServerError)]), Verdict::Unknown, PodReason::ServerError)]
#[case::lives_on_at_the_witness(steps(&[(Replay(Artifact::Refresh), W, S, Accepted)]), Diverges, LocalRevocation)]
#[case::lives_on_at_the_subject(steps(&[(Replay(Session), S, W, Accepted)]), Diverges, LocalRevocation)]
#[case::ended_for_some_workers(with(ended_for_some), Diverges, LocalRevocation)]
#[case::cannot_be_ended(
    steps(&[
        (Replay(Session), S, S, Accepted), (Replay(Session), W, S, Accepted),
        (Replay(Session), W, W, Accepted), (Replay(Session), S, W, Accepted),
    ]),
    Agrees, Verified
)]
#[case::declared_as_ended(
    with(|s| s.after_logout.access_rejected = true), Verdict::Unknown, RecipeMismatch
)]
#[case::declared_as_ended_and_so_at_the_witness(
    with(|s| {
        s.after_logout.access_rejected = true;
        put(s, Replay(Access), W, W, Rejected);
        put(s, Replay(Access), S, W, Rejected);
    }),
    Diverges, RecipeMismatch
)]
#[case::nothing_was_asked(Observations::default(), Verdict::Unknown, Pending)]
fn a_trace_has_one_reason(#[case] seen: Observations, #[case] verdict: Verdict, #[case] reason: PodReason) {
    let proof = judge(&seen, "c1");
    assert_eq!(
        (proof.verdict, proof.reason),
        (verdict, reason),
        "{}",
        proof.message
    );
    assert!(proof.message.len() <= 512, "{}", proof.message);
    assert_eq!(proof.containers, "c1");
}

#[rstest]
#[case::csrf(403, "CSRF Failed: CSRF token missing.")]
#[case::csrf_of_flask_wtf(400, "Bad Request The CSRF token is missing.")]
#[case::csrf_of_laravel(419, "Page Expired")]
#[case::csrf_of_fastify(403, "Missing csrf secret")]
#[case::host(400, "Bad Request (400)")]
#[case::client_of_oauth(401, "invalid_client: Invalid client credentials")]
#[case::grant_of_oauth(400, "unsupported_grant_type")]
fn a_login_turned_away_at_the_door_says_nothing_about_databases(#[case] status: u16, #[case] detail: &str) {
    let mut seen = login(Rejected, status, Some(false));
    seen.steps[2].detail = detail.into();
    let proof = judge(&seen, "c1");
    assert_eq!((proof.verdict, proof.reason), (Verdict::Unknown, RecipeMismatch));
}

#[rstest]
#[case::form_shown_again(200, "Please enter a correct username and password.")]
#[case::grant_of_oauth_that_is_refused(400, "invalid_grant: Invalid user credentials")]
fn a_login_refused_for_the_account_is_about_the_account(#[case] status: u16, #[case] detail: &str) {
    let mut seen = login(Rejected, status, Some(false));
    seen.steps[2].detail = detail.into();
    let proof = judge(&seen, "c1");
    assert_eq!((proof.verdict, proof.reason), (Diverges, LocalDatabase));
}

#[test]
fn an_ambiguous_verdict_names_the_candidates() {
    let proof = judge(&login(Rejected, 401, None), "c1");
    assert!(
        proof.message.contains("It may be LocalDatabase or CanaryMissing"),
        "{}",
        proof.message
    );
}

#[test]
fn a_message_is_cut_between_characters() {
    let mut seen = login(ServerError, 500, Some(false));
    seen.subject = "ü".repeat(400);
    let message = judge(&seen, "c1").message;
    assert!(
        message.len() <= 512 && message.ends_with('…'),
        "{}",
        message.len()
    );
}

/// Whatever else is seen, silence is never divergence.
#[test]
fn no_single_unanswered_request_of_a_sound_exchange_makes_a_pod_diverge() {
    for at in 0..sound().steps.len() {
        for meaning in [Unreachable, TimedOut, Throttled] {
            let mut seen = sound();
            seen.steps[at].meaning = meaning;
            seen.steps.truncate(at + 1);
            let proof = judge(&seen, "c1");
            assert_eq!(
                proof.verdict,
                Verdict::Unknown,
                "{:?}: {}",
                seen.steps[at],
                proof.message
            );
        }
    }
}
