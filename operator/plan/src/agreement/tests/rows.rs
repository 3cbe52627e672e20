//! The specification's table from evidence to a reason, one named case for each row. L: login as the canary; D: the pod is
//! seen in the declared database; R: its session is in the shared store; K: its token verifies with the declared ring; C:
//! the cache hears from it; X: check on the peer; A: check on the issuer afterwards; V0, V1: after logout, where it was
//! ended and at the other.

use accord_crds::PodReason::{ClockSkew, StaleReplica};

use super::*;

/// A fleet with sessions only.
fn sessions(change: impl FnOnce(&mut Observations)) -> Observations {
    with(|seen| {
        seen.conventions = Conventions::Generic;
        (seen.token, seen.witness_token) = (None, None);
        seen.steps.retain(|s| {
            !matches!(
                s.action,
                Own(Access)
                    | Cross(Access)
                    | Again(Access)
                    | Tampered(Access)
                    | Replay(Access | Artifact::Refresh)
            )
        });
        seen.steps
            .retain(|s| !matches!(s.action, Action::Refresh | Refreshed));
        change(seen);
    })
}

/// A fleet with tokens only.
fn tokens(change: impl FnOnce(&mut Observations)) -> Observations {
    with(|seen| {
        seen.conventions = Conventions::Generic;
        seen.steps.retain(|s| {
            !matches!(
                s.action,
                Own(Session) | Cross(Session) | Again(Session) | Replay(Session)
            )
        });
        change(seen);
    })
}

/// The tokens stand in the session cookies.
fn in_cookies(seen: &mut Observations) {
    (seen.token, seen.witness_token) = (Some(shape("HS256")), Some(shape("HS256")));
}

fn claim_without_a_value() -> TokenShape {
    TokenShape {
        claims: BTreeMap::from([("sub".into(), "null")]),
        ..shape("HS256")
    }
}

/// Nobody says who is connected to which database.
fn unseen(mut seen: Observations) -> Observations {
    (seen.database, seen.witness_database) = (None, None);
    seen
}

fn refused_by_the_peer(seen: &mut Observations, artifact: Artifact) {
    put(seen, Cross(artifact), W, S, Rejected);
}

#[rstest]
#[case::l_401_and_d_absent(login(Rejected, 401, Some(false)), &[LocalDatabase])]
#[case::l_200_and_d_absent_in_a_fleet_with_tokens(
    tokens(|s| { s.database = Some(false); put(s, Replay(Artifact::Refresh), W, S, Accepted) }), &[LocalDatabase]
)]
#[case::l_200_d_and_r_absent_in_a_fleet_with_sessions(
    sessions(|s| { (s.database, s.stored) = (Some(false), Some(false)); refused_by_the_peer(s, Session) }),
    &[LocalDatabase]
)]
#[case::x_200_with_another_users_name(steps(&[(Cross(Session), W, S, OtherIdentity)]), &[WrongIdentity])]
#[case::l_401_and_d_present_and_the_witness_lets_it_in(
    steps(&[(Login, S, S, Rejected)]), &[SchemaMismatch, StaleReplica]
)]
#[case::l_401_and_the_read_replica_is_behind(
    with(|s| { s.replica_behind = Some(true); s.database = None; s.steps = login(Rejected, 401, None).steps }), &[StaleReplica]
)]
#[case::v1_accepted_and_the_read_replica_is_behind(
    with(|s| { s.replica_behind = Some(true); put(s, Replay(Artifact::Refresh), W, S, Accepted) }), &[StaleReplica]
)]
#[case::v1_accepted_and_the_read_replica_keeps_up(
    with(|s| { s.replica_behind = Some(false); put(s, Replay(Artifact::Refresh), W, S, Accepted) }), &[LocalRevocation]
)]
#[case::a_replica_that_is_behind_explains_no_key(
    tokens(|s| { s.replica_behind = Some(true); s.key = Some(false) }), &[KeyMismatch]
)]
#[case::a_replica_that_is_behind_is_no_fault_by_itself(with(|s| s.replica_behind = Some(true)), &[Verified])]
#[case::l_401_and_d_present(login(Rejected, 401, Some(true)), &[CanaryMissing])]
#[case::k_false(tokens(|s| s.key = Some(false)), &[KeyMismatch])]
#[case::r_present_x_401_a_401(
    sessions(|s| { s.stored = Some(true); refused_by_the_peer(s, Session); put(s, Again(Session), S, S, Rejected) }),
    &[KeyMismatch]
)]
#[case::r_present_x_401_a_200(
    sessions(|s| { s.stored = Some(true); refused_by_the_peer(s, Session) }), &[KeyMismatch]
)]
#[case::d_present_r_absent_x_401_a_200(
    sessions(|s| { s.stored = Some(false); refused_by_the_peer(s, Session) }), &[LocalSession]
)]
#[case::r_absent_from_a_single_login(
    sessions(|s| { s.stored = Some(false); s.witness = None; s.steps.truncate(4) }), &[LocalSession]
)]
#[case::r_unknown_and_c_only_at_the_witness(
    sessions(|s| { (s.cache, s.witness_cache) = (Some(false), Some(true)); refused_by_the_peer(s, Session) }),
    &[LocalSession]
)]
#[case::django_a_401_and_d_unknown(
    unseen(steps(&[(Cross(Session), W, S, Rejected), (Again(Session), S, S, Rejected)])), &[KeyMismatch, LocalDatabase]
)]
#[case::honoured_since_a_login_there(
    sessions(|s| { put(s, Cross(Session), S, W, Rejected); put(s, Action::SinceLogin(Session), S, W, Accepted) }),
    &[LocalSession]
)]
#[case::honoured_since_a_login_there_and_d_unknown(
    unseen(sessions(|s| {
        put(s, Cross(Session), S, W, Rejected);
        put(s, Action::SinceLogin(Session), S, W, Accepted);
    })),
    &[LocalSession, LocalDatabase]
)]
#[case::refused_before_a_login_there_and_after_it(
    sessions(|s| { put(s, Cross(Session), S, W, Rejected); put(s, Action::SinceLogin(Session), S, W, Rejected) }),
    &[LocalSession, KeyMismatch]
)]
#[case::the_peer_accepts_it_a_moment_later(
    sessions(|s| { put(s, Cross(Session), S, W, Rejected); s.late.insert(W); }), &[StaleReplica, LocalSession]
)]
#[case::the_peer_refuses_the_token_that_it_gave_at_a_refresh(
    tokens(|s| put(s, Refreshed, S, W, Rejected)), &[LocalSession, KeyMismatch]
)]
#[case::the_witness_refuses_the_token_that_it_gave_at_a_refresh(
    tokens(|s| put(s, Refreshed, W, S, Rejected)), &[Pending]
)]
#[case::x_401_for_a_token_that_carries_nothing(
    tokens(|s| { (s.token, s.witness_token) = (None, None); refused_by_the_peer(s, Access) }), &[LocalSession, KeyMismatch]
)]
#[case::r_and_c_unknown(sessions(|s| refused_by_the_peer(s, Session)), &[LocalSession, KeyMismatch])]
#[case::k_true_x_401_and_another_clock(
    tokens(|s| { ring_signed(s); clocks(s, 40, -20); refused_by_the_peer(s, Access) }), &[ClockSkew]
)]
#[case::k_unknown_x_401_and_another_clock(
    tokens(|s| { clocks(s, -40, 20); refused_by_the_peer(s, Access) }), &[ClockSkew, KeyMismatch]
)]
#[case::k_unknown_x_401_and_clocks_that_may_be_the_same(
    tokens(|s| { clocks(s, 1, -1); refused_by_the_peer(s, Access) }), &[KeyMismatch, LocalSession]
)]
#[case::a_session_in_a_store_and_another_clock(
    sessions(|s| { clocks(s, 40, -20); refused_by_the_peer(s, Session) }), &[LocalSession, KeyMismatch]
)]
#[case::a_session_in_a_store_and_a_clock_that_is_far_off(
    sessions(|s| { clocks(s, 900, 0); refused_by_the_peer(s, Session) }), &[LocalSession, KeyMismatch, ClockSkew]
)]
#[case::r_present_and_a_clock_that_is_far_off(
    sessions(|s| { s.stored = Some(true); clocks(s, 0, 900); refused_by_the_peer(s, Session) }), &[KeyMismatch, ClockSkew]
)]
#[case::a_401_and_a_clock_that_is_far_off(
    sessions(|s| { clocks(s, 900, 0); refused_by_the_peer(s, Session); put(s, Again(Session), S, S, Rejected) }),
    &[KeyMismatch, ClockSkew]
)]
#[case::a_token_in_the_cookie_and_other_claims(
    sessions(|s| { in_cookies(s); s.token = Some(other_claims()); refused_by_the_peer(s, Session) }), &[TokenFormat]
)]
#[case::a_token_in_the_cookie_and_another_key(
    sessions(|s| {
        in_cookies(s);
        s.token = Some(TokenShape { key_id: Some("k2".into()), ..shape("HS256") });
        refused_by_the_peer(s, Session);
    }),
    &[KeyMismatch]
)]
#[case::a_token_in_the_cookie_and_another_clock(
    sessions(|s| { in_cookies(s); clocks(s, 40, -20); refused_by_the_peer(s, Session) }), &[ClockSkew, KeyMismatch]
)]
#[case::a_token_in_the_cookie_of_one_only(
    sessions(|s| { in_cookies(s); s.token = None; refused_by_the_peer(s, Session) }), &[TokenFormat]
)]
#[case::a_token_in_the_cookie_and_nothing_else(
    sessions(|s| { in_cookies(s); refused_by_the_peer(s, Session) }), &[LocalSession, KeyMismatch]
)]
#[case::k_true_x_401_and_other_claims(
    tokens(|s| { ring_signed(s); s.token = Some(other_claims()); refused_by_the_peer(s, Access) }), &[TokenFormat]
)]
#[case::k_true_x_500_and_other_claims(
    tokens(|s| { ring_signed(s); s.token = Some(other_claims()); put(s, Cross(Access), W, S, Meaning::ServerError) }),
    &[TokenFormat]
)]
#[case::k_true_x_401_claims_alike_and_no_store_to_look_in(
    tokens(|s| { ring_signed(s); (s.database, s.witness_database) = (None, None); refused_by_the_peer(s, Access) }),
    &[LocalSession, LocalDatabase]
)]
#[case::a_claim_that_has_no_value_yet(tokens(|s| s.second_token = Some(claim_without_a_value())), &[Verified])]
#[case::two_shapes_from_one_pod(tokens(|s| s.second_token = Some(other_claims())), &[TokenFormat])]
#[case::d_present_on_both_v0_rejected_v1_accepted(
    steps(&[(Replay(Session), W, S, Accepted)]), &[LocalRevocation]
)]
#[case::v0_accepted(
    with(|s| for role in [S, W] { for at in [S, W] { put(s, Replay(Session), at, role, Accepted) } }), &[Verified]
)]
#[case::no_answer_in_time(steps(&[(Login, S, S, TimedOut)]), &[Slow])]
#[case::one_pod_answers_both_200_and_401(sessions(|s| at_once(s, Session, 5)), &[LocalSession])]
#[case::a_wrong_password_is_accepted(steps(&[(WrongPassword, S, S, Accepted)]), &[AcceptsInvalid])]
#[case::no_credential_is_accepted(steps(&[(NoCredential, S, S, Accepted)]), &[AcceptsInvalid])]
#[case::a_tampered_token_is_accepted(steps(&[(Tampered(Access), S, S, Accepted)]), &[AcceptsInvalid])]
#[case::the_prober_cannot_reach_it(steps(&[(NoCredential, S, S, Unreachable)]), &[ProbeBlocked])]
#[case::answer_429(steps(&[(Login, S, S, Throttled)]), &[RateLimited])]
#[case::the_same_failure_on_all_pods(
    steps(&[(Login, S, S, Rejected), (Login, W, W, Rejected)]), &[CanaryMissing]
)]
fn each_row_of_the_table_has_its_reasons(#[case] seen: Observations, #[case] expected: &[PodReason]) {
    let found = diagnose(&seen);
    match expected {
        [one] => assert_eq!(found.reason, *one, "{}", found.evidence),
        several => {
            let names: Vec<_> = several.iter().map(|r| r.as_str()).collect();
            let told = format!("It may be {}.", names.join(" or "));
            assert_eq!(found.reason, Ambiguous, "{}", found.evidence);
            assert!(found.evidence.ends_with(&told), "{}", found.evidence);
        }
    }
    // Nothing is held against a pod for silence, for the canary's own fault, or for what all replicas do alike.
    let harmless = [
        CanaryMissing,
        Pending,
        Slow,
        ProbeBlocked,
        RateLimited,
        StaleReplica,
        Verified,
    ];
    assert_eq!(
        found.verdict != Diverges,
        harmless.contains(&expected[0]),
        "{}",
        found.evidence
    );
}

/// Of two replicas that are anchored differently, the anchored one isn't blamed by the other.
#[rstest]
#[case::database(with(|s| s.witness_database = Some(false)))]
#[case::key(tokens(|s| (s.key, s.witness_key) = (Some(true), Some(false))))]
#[case::store(sessions(|s| (s.stored, s.witness_stored) = (Some(true), Some(false))))]
fn a_witness_without_the_anchor_that_the_subject_has_blames_nobody(#[case] mut seen: Observations) {
    let artifact = if seen.token.is_some() { Access } else { Session };
    refused_by_the_peer(&mut seen, artifact);
    let found = diagnose(&seen);
    assert_eq!(
        (found.verdict, found.reason),
        (Verdict::Unknown, Pending),
        "{}",
        found.evidence
    );
}

/// A form that answers a refusal with the status of a success: what is seen afterwards may be the account's affair.
#[rstest]
#[case::a_form_without_the_cookie(
    302,
    Login,
    Unexpected,
    None,
    "RecipeMismatch or CanaryMissing or LocalDatabase"
)]
#[case::and_it_is_in_the_database(302, Login, Unexpected, Some(true), "RecipeMismatch or CanaryMissing")]
#[case::a_form_with_a_session_of_nobody(
    302,
    Own(Session),
    Rejected,
    None,
    "RecipeMismatch or LocalSession or CanaryMissing or LocalDatabase"
)]
#[case::a_wrong_password_is_answered_alike(
    401,
    Own(Session),
    Rejected,
    None,
    "RecipeMismatch or LocalSession or CanaryMissing or LocalDatabase"
)]
#[case::a_wrong_password_is_answered_otherwise(
    200,
    Own(Session),
    Rejected,
    None,
    "RecipeMismatch or LocalSession"
)]
fn a_login_whose_status_says_nothing_has_more_candidates(
    #[case] status: u16,
    #[case] action: Action,
    #[case] meaning: Meaning,
    #[case] database: Option<bool>,
    #[case] candidates: &str,
) {
    let mut seen = sessions(|s| {
        (s.witness, s.database) = (None, database);
        s.steps.truncate(4);
        put(s, action, S, S, meaning);
    });
    for step in &mut seen.steps {
        if step.action == Login {
            step.status = Some(status);
        }
    }
    let found = diagnose(&seen);
    assert_eq!((found.verdict, found.reason), (Verdict::Unknown, Ambiguous));
    let told = format!("It may be {candidates}.");
    assert!(found.evidence.ends_with(&told), "{}", found.evidence);
}
