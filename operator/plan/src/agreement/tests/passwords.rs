//! The table's row of a changed password, and what may go wrong with the change itself. The password is changed at the
//! witness; old and new are tried there first.

use accord_crds::PodReason::StaleCache;

use super::*;
use Action::{ChangePassword, LeftPassword, NewPassword, OldPassword, RestorePassword};

/// A sound exchange in which the password was changed and changed back.
fn changed(steps: &[(Action, Role, Meaning)]) -> Observations {
    with(|seen| {
        put(seen, ChangePassword, W, W, Accepted);
        for (action, at, meaning) in steps {
            put(seen, *action, *at, *at, *meaning);
        }
        if seen.step(RestorePassword, W, W).is_none() {
            put(seen, RestorePassword, W, W, Accepted);
        }
    })
}

#[rstest]
#[case::takes_effect_at_once(
    &[(OldPassword, W, Rejected), (OldPassword, S, Rejected), (NewPassword, W, Accepted), (NewPassword, S, Accepted)],
    Agrees, Verified
)]
#[case::old_refused_at_the_writer_and_accepted_at_the_peer(
    &[(OldPassword, W, Rejected), (OldPassword, S, Accepted)], Diverges, StaleCache
)]
#[case::new_accepted_at_the_writer_and_refused_at_the_peer(
    &[(OldPassword, W, Rejected), (OldPassword, S, Rejected), (NewPassword, W, Accepted), (NewPassword, S, Rejected)],
    Diverges, StaleCache
)]
#[case::old_accepted_by_all(&[(OldPassword, W, Accepted), (OldPassword, S, Accepted)], Agrees, Verified)]
#[case::old_accepted_at_the_writer_only(
    &[(OldPassword, W, Accepted), (OldPassword, S, Rejected)], Verdict::Unknown, Pending
)]
#[case::new_refused_at_the_writer(
    &[(OldPassword, W, Rejected), (OldPassword, S, Rejected), (NewPassword, W, Rejected)],
    Verdict::Unknown, RecipeMismatch
)]
#[case::the_writer_falls_silent(&[(OldPassword, W, TimedOut)], Verdict::Unknown, Pending)]
#[case::the_peer_falls_silent(&[(OldPassword, W, Rejected), (OldPassword, S, TimedOut)], Verdict::Unknown, Slow)]
#[case::the_peer_breaks(
    &[(OldPassword, W, Rejected), (OldPassword, S, Meaning::ServerError)], Verdict::Unknown, PodReason::ServerError
)]
#[case::not_changed(&[(ChangePassword, W, Rejected)], Verdict::Unknown, RecipeMismatch)]
#[case::not_changed_back(
    &[(OldPassword, W, Accepted), (OldPassword, S, Accepted), (RestorePassword, W, Rejected)],
    Verdict::Unknown, RecipeMismatch
)]
#[case::stale_and_not_changed_back(
    &[(OldPassword, W, Rejected), (OldPassword, S, Accepted), (RestorePassword, W, Rejected)], Diverges, StaleCache
)]
#[case::recovered_at_login(&[(LeftPassword, S, Accepted)], Agrees, Verified)]
#[case::left_and_the_witness_has_the_right_one(
    &[(Login, S, Rejected), (LeftPassword, S, Accepted)], Diverges, StaleCache
)]
#[case::left_with_both(
    &[(Login, S, Rejected), (LeftPassword, S, Accepted), (Login, W, Rejected), (LeftPassword, W, Accepted)],
    Verdict::Unknown, CanaryMissing
)]
#[case::left_and_changed_back_by_the_witness(
    &[(Login, S, Rejected), (LeftPassword, S, Accepted), (LeftPassword, W, Accepted)], Diverges, StaleCache
)]
fn a_change_of_password_has_one_reason(
    #[case] steps: &[(Action, Role, Meaning)],
    #[case] verdict: Verdict,
    #[case] reason: PodReason,
) {
    let proof = judge(&changed(steps), "c1");
    assert_eq!(
        (proof.verdict, proof.reason),
        (verdict, reason),
        "{}",
        proof.message
    );
}

/// What is so on all replicas is said, and held against none.
#[test]
fn an_old_password_that_lives_on_everywhere_is_told() {
    let seen = changed(&[(OldPassword, W, Accepted), (OldPassword, S, Accepted)]);
    let message = judge(&seen, "c1").message;
    assert!(
        message.contains("the old one is accepted for a while, by both"),
        "{message}"
    );
}

/// A copy of the database that lags keeps the old password too, and heals.
#[test]
fn a_stale_password_behind_a_lagging_replica_is_held_against_nobody() {
    let mut seen = changed(&[(OldPassword, W, Rejected), (OldPassword, S, Accepted)]);
    seen.replica_behind = Some(true);
    let proof = judge(&seen, "c1");
    assert_eq!(
        (proof.verdict, proof.reason),
        (Verdict::Unknown, PodReason::StaleReplica),
        "{}",
        proof.message
    );
}
