//! What a pair shows: from what one of the two does wrong to the verdict that names it.

use std::sync::Arc;

use accord_crds::PodReason::{self, *};
use accord_crds::Verdict;
use accord_plan::agreement::{Action, Artifact, Basis, Meaning, Role, judge};
use rstest::rstest;

use crate::fake::{App, Faults, PASSWORD};
use crate::setup::{Bench, Sees, is, pair, says, verdict};

#[tokio::test]
async fn two_replicas_on_the_same_stores_and_key_agree() {
    let app = App::new("k");
    let (s, w, database) = pair(app.clone(), app.replica()).await;
    let seen = Bench::new(&database).observe(&s, Some(&w)).await;
    is(&judge(&seen, "c1"), Verdict::Agrees, Verified);
    // Each step was made, in both directions.
    for (at, of) in [(Role::Subject, Role::Witness), (Role::Witness, Role::Subject)] {
        for artifact in [Artifact::Session, Artifact::Access] {
            assert_eq!(
                seen.meaning(Action::Cross(artifact), at, of),
                Some(Meaning::Accepted)
            );
        }
        assert_eq!(seen.meaning(Action::Refresh, at, of), Some(Meaning::Accepted));
        for artifact in [Artifact::Session, Artifact::Refresh] {
            assert_eq!(
                seen.meaning(Action::Replay(artifact), at, of),
                Some(Meaning::Rejected)
            );
        }
    }
    assert_eq!(app.sessions.lock().unwrap().len(), 0, "every session was ended");
}

/// Applications do so, and their replicas agree.
#[rstest]
#[case::a_logout_ends_all_of_a_users_sessions(|f: &mut Faults| f.ends_all = true)]
#[case::a_user_has_one_session(|f: &mut Faults| f.one_session = true)]
#[case::a_session_has_another_id_after_each_request(|f: &mut Faults| f.renews = true)]
#[tokio::test]
async fn a_strict_application_agrees(#[case] strict: fn(&mut Faults)) {
    let app = App::new("k");
    let (s, w, sees) = pair(app.clone().with(strict), app.replica().with(strict)).await;
    is(&verdict(&s, None, &sees).await, Verdict::Agrees, Verified);
    is(&verdict(&s, Some(&w), &sees).await, Verdict::Agrees, Verified);
    is(&verdict(&w, Some(&s), &sees).await, Verdict::Agrees, Verified);
    assert_eq!(app.sessions.lock().unwrap().len(), 0, "every session was ended");
}

/// Strictness hides nothing.
#[rstest]
#[case(|f: &mut Faults| f.ends_all = true)]
#[case(|f: &mut Faults| f.one_session = true)]
#[case(|f: &mut Faults| f.renews = true)]
#[tokio::test]
async fn a_strict_application_with_sessions_in_memory_is_told(#[case] strict: fn(&mut Faults)) {
    let app = App::new("k");
    let mut apart = app.replica().with(strict);
    apart.sessions = Arc::default();
    let (s, w, sees) = pair(apart, app.with(strict)).await;
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        LocalSession,
    );
}

#[rstest]
#[case::behind(Some(700), Verdict::Unknown, Ambiguous, "StaleReplica or LocalSession")]
#[case::for_good(Some(600_000), Verdict::Diverges, LocalSession, "given its own session")]
#[tokio::test]
async fn what_is_only_late_is_told_from_what_is_lost(
    #[case] lag: Option<u64>,
    #[case] verdict: Verdict,
    #[case] reason: PodReason,
    #[case] says: &str,
) {
    let app = App::new("k");
    let late = app
        .replica()
        .with(|f| f.lag = lag.map(std::time::Duration::from_millis));
    let (s, w, sees) = pair(late, app).await;
    let proof = crate::setup::verdict(&s, Some(&w), &sees).await;
    is(&proof, verdict, reason);
    assert!(proof.message.contains(says), "{}", proof.message);
}

/// Sessions and keys are shared, and users are kept in memory from their login on: whoever comes with a session from elsewhere
/// is nobody.
#[rstest]
#[case::usual(|_: &mut Faults| ())]
#[case::one_session(|f: &mut Faults| f.one_session = true)]
#[case::a_logout_ends_all(|f: &mut Faults| f.ends_all = true)]
#[tokio::test]
async fn users_that_are_kept_in_memory_are_told_before_the_canary_has_logged_in(
    #[case] strict: fn(&mut Faults),
) {
    let remembering = |app: App| app.with(|f| f.knows_who_logged_in = true).with(strict);
    let app = App::new("k");
    let (s, w, sees) = pair(remembering(app.replica()), remembering(app.replica())).await;
    is(&verdict(&w, None, &sees).await, Verdict::Agrees, Verified);
    let proof = verdict(&s, Some(&w), &sees).await;
    is(&proof, Verdict::Diverges, LocalSession);
    assert_eq!(proof.grounds.basis, Basis::FirstLogin);
    says(
        &proof,
        "after the canary had logged in at pod-s too it accepted one",
    );
    assert_eq!(app.sessions.lock().unwrap().len(), 0, "every session was ended");
    // Which is why a proof of this kind counts for as long as the containers run.
    is(&verdict(&s, Some(&w), &sees).await, Verdict::Agrees, Verified);
    // Where nobody can say which database it uses, they may be in one of its own.
    let (s, w, _) = pair(remembering(app.replica()), remembering(app.replica())).await;
    verdict(&w, None, &Sees::default()).await;
    let proof = verdict(&s, Some(&w), &Sees::default()).await;
    is(&proof, Verdict::Diverges, Ambiguous);
    says(&proof, "It may be LocalSession or LocalDatabase");
}

/// Once or twice isn't there what is there a moment later: nobody is accused of it.
#[rstest]
#[case::the_session(1)]
#[case::the_session_and_the_token(3)]
#[tokio::test]
async fn what_reaches_the_subject_late_is_no_memory_of_users(#[case] misses: u32) {
    let app = App::new("k");
    let (s, w, sees) = pair(app.replica().with(|f| f.misses = misses), app).await;
    let mut bench = Bench::new(&sees);
    bench.wrong_password = false;
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Unknown, Ambiguous);
    says(&proof, "It may be StaleReplica or LocalSession");
    is(&bench.verdict(&s, Some(&w)).await, Verdict::Agrees, Verified);
}

/// A witness that limits strangers, or fails at them, says nothing about the subject's refusal.
#[rstest]
#[tokio::test]
async fn a_stranger_that_is_not_refused_by_itself_shows_nothing(#[values(429, 500)] strangers: u16) {
    let (s, w) = (
        App::new("k"),
        App::new("k").with(|f| f.refuses_with = Some(strangers)),
    );
    s.users.lock().unwrap().clear();
    let (s, w, _) = pair(s, w).await;
    is(
        &verdict(&s, Some(&w), &Sees::default()).await,
        Verdict::Diverges,
        LocalDatabase,
    );
}

/// A refusal that isn't the one for unknown users says nothing about databases; and nobody's account is locked for it.
#[tokio::test]
async fn a_canary_turned_away_at_the_door_is_not_a_local_database() {
    let app = App::new("k");
    let turned_away = app.replica().with(|f| f.login_status = Some(421));
    let (s, w, _) = pair(turned_away, app.clone()).await;
    for sees in [
        Sees::default(),
        Sees([(s.address.ip(), false), (w.address.ip(), true)].into(), None),
    ] {
        let proof = verdict(&s, Some(&w), &sees).await;
        is(&proof, Verdict::Unknown, Ambiguous);
        assert!(
            proof.message.contains("HostnameMismatch") && proof.message.contains("421"),
            "{}",
            proof.message
        );
    }
    let log = w.app.log.lock().unwrap();
    let wrong = log
        .iter()
        .filter(|r| r.path == "/login/" && !r.body.contains(PASSWORD));
    assert!(wrong.clone().count() == 2 && wrong.clone().all(|r| r.body.contains("nobody-")));
}

/// Also where an application says no with a 200.
#[rstest]
#[tokio::test]
async fn local_users_are_told_by_the_witness_where_the_database_shows_nothing(
    #[values(None, Some(200), Some(409))] refuses_with: Option<u16>,
) {
    let app = || App::new("k").with(|f| f.refuses_with = refuses_with);
    let (s, w) = (app(), app());
    s.users.lock().unwrap().clear();
    let (s, w, _) = pair(s, w).await;
    is(
        &verdict(&s, Some(&w), &Sees::default()).await,
        Verdict::Diverges,
        LocalDatabase,
    );
}

#[tokio::test]
async fn a_copy_of_the_users_is_told_by_the_database() {
    let app = App::new("k");
    let (s, w, mut sees) = pair(app.clone(), app.replica()).await;
    sees.0.insert(s.address.ip(), false);
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        LocalDatabase,
    );
    // Where the database sees nobody's address, its silence about one pod means nothing.
    sees.0.insert(w.address.ip(), false);
    is(&verdict(&s, Some(&w), &sees).await, Verdict::Agrees, Verified);
}

#[tokio::test]
async fn sessions_inside_the_pod_are_local_sessions() {
    let app = App::new("k");
    let s = App {
        sessions: std::sync::Arc::default(),
        ..app.replica()
    };
    let (s, w, sees) = pair(s, app).await;
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        LocalSession,
    );
    for app in [&s.app, &w.app] {
        assert!(
            app.sessions.lock().unwrap().is_empty(),
            "an exchange that stops early leaves nothing behind"
        );
    }
}

#[tokio::test]
async fn a_blacklist_inside_the_pod_is_local_revocation() {
    let app = App::new("k");
    let s = App {
        blacklist: std::sync::Arc::default(),
        ..app.replica()
    };
    let (s, w, sees) = pair(s, app).await;
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        LocalRevocation,
    );
}

#[rstest]
#[case::sessions_in_the_database(false)]
#[case::sessions_in_the_cache_that_the_peer_throws_away(true)]
#[tokio::test]
async fn another_key_is_a_key_mismatch(#[case] flushes: bool) {
    let app = App::new("k").with(|f| f.flushes_foreign_sessions = flushes);
    let s = App {
        key: "other".into(),
        ..app.replica()
    }
    .with(|f| f.flushes_foreign_sessions = flushes);
    let (s, w, sees) = pair(s, app).await;
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        KeyMismatch,
    );
}

#[tokio::test]
async fn another_shape_of_token_is_told_by_its_claims() {
    let app = App::new("k");
    let s = app.replica().with(|f| f.extra_claim = true);
    let (s, w, sees) = pair(s, app).await;
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        TokenFormat,
    );
}

#[tokio::test]
async fn somebody_elses_name_is_a_wrong_identity_and_is_not_repeated() {
    let app = App::new("k");
    let s = app.replica().with(|f| f.names = Some("alice".into()));
    let (s, w, sees) = pair(s, app).await;
    let proof = verdict(&s, Some(&w), &sees).await;
    is(&proof, Verdict::Diverges, WrongIdentity);
    assert!(!proof.message.contains("alice"));
}

#[tokio::test]
async fn a_witness_that_fails_in_its_own_part_never_blames_the_subject() {
    for fault in ["login", "check", "hang"] {
        let app = App::new("k");
        let w = app.replica().with(|f| match fault {
            "login" => f.login_status = Some(401),
            "check" => f.own_check_fails = true,
            _ => f.hangs = true,
        });
        let (s, w, sees) = pair(app, w).await;
        let proof = verdict(&s, Some(&w), &sees).await;
        assert_ne!(proof.verdict, Verdict::Agrees, "{fault}");
        if fault == "check" {
            // The witness refuses the subject's session before its own turn: its own control decides.
            is(&proof, Verdict::Unknown, Pending);
        } else {
            assert_eq!(proof.verdict, Verdict::Unknown, "{fault}: {}", proof.message);
        }
    }
}

#[tokio::test]
async fn a_pod_that_forgets_its_own_sessions_is_cleared_of_a_wrong_recipe_by_the_witness() {
    let app = App::new("k");
    let s = app.replica().with(|f| f.own_check_fails = true);
    let (s, w, sees) = pair(s, app).await;
    is(&verdict(&s, None, &sees).await, Verdict::Unknown, Ambiguous);
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Diverges,
        LocalSession,
    );
}

#[tokio::test]
async fn the_canary_missing_in_the_declared_database_is_not_the_pods_fault() {
    let app = App::new("k");
    app.users.lock().unwrap().clear();
    let (s, w, sees) = pair(app.clone(), app.replica()).await;
    is(&verdict(&s, None, &sees).await, Verdict::Unknown, CanaryMissing);
    is(
        &verdict(&s, Some(&w), &sees).await,
        Verdict::Unknown,
        CanaryMissing,
    );
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Unknown,
        Ambiguous,
    );
}

#[tokio::test]
async fn the_ring_tells_which_of_the_two_has_another_key() {
    let app = App::new("k");
    let odd = App {
        key: "made at start".into(),
        ..app.replica()
    };
    let (s, w, sees) = pair(app, odd).await;
    let bench = Bench::new(&sees).declaring_the_key();
    let blamed = bench.verdict(&w, Some(&s)).await;
    is(&blamed, Verdict::Diverges, KeyMismatch);
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Unknown, Pending);
    assert!(
        proof.message.contains("isn't so for the witness pod-w"),
        "{}",
        proof.message
    );
}

#[tokio::test]
async fn the_right_key_and_other_claims_are_another_format() {
    let app = App::new("k");
    let s = app.replica().with(|f| f.extra_claim = true);
    let (s, w, sees) = pair(s, app).await;
    let bench = Bench::new(&sees).declaring_the_key();
    is(&bench.verdict(&s, Some(&w)).await, Verdict::Diverges, TokenFormat);
}

/// The token is right in every way, and the witness knows nobody of that name.
#[tokio::test]
async fn the_right_key_and_the_right_claims_leave_more_than_one_cause() {
    let (s, w) = (App::new("k"), App::new("k").with(|f| f.own_tokens_only = true));
    let (s, w, _) = pair(s, w).await;
    let mut bench = Bench::new(&Sees::default()).declaring_the_key();
    bench.recipe.login.session_cookie = None;
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Diverges, Ambiguous);
    says(&proof, "It may be LocalSession or LocalDatabase");
}

/// A token says when it was issued and when it ends, by the clock of its issuer.
#[rstest]
#[case::ahead(60, "ahead of")]
#[case::behind(-60, "behind")]
#[case::behind_by_more_than_a_token_lives(-600, "behind")]
#[tokio::test]
async fn another_clock_is_told_and_not_taken_for_another_key(#[case] seconds: i64, #[case] side: &str) {
    let app = App::new("k");
    let skewed = app.replica().with(|f| f.clock = seconds);
    let (s, w, sees) = pair(skewed, app.clone()).await;
    let bench = Bench::new(&sees);
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Diverges, Ambiguous);
    // Two clocks that count whole seconds, read one after the other.
    let near = (-1..=1).map(|off| format!("is {} s {side}", seconds.abs() + off));
    assert!(
        near.into_iter().any(|told| proof.message.contains(&told)),
        "{}",
        proof.message
    );
    assert!(
        proof.message.contains("It may be ClockSkew or KeyMismatch."),
        "{}",
        proof.message
    );
    // Where the ring is known to sign, it is no other key.
    let proof = Bench::new(&sees).declaring_the_key().verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Diverges, ClockSkew);
}

/// Sessions in a store carry no times: who has no tokens agrees, whatever the clocks say.
#[tokio::test]
async fn another_clock_alone_is_no_contradiction() {
    let app = App::new("k");
    let skewed = app.replica().with(|f| f.clock = 600);
    let (s, w, sees) = pair(skewed, app.clone()).await;
    let mut bench = Bench::new(&sees);
    (bench.recipe.login.access_token, bench.recipe.login.refresh_token) = (None, None);
    bench.recipe.refresh = None;
    let seen = bench.observe(&s, Some(&w)).await;
    let ahead = seen.clock.unwrap() - seen.witness_clock.unwrap();
    assert!((599..=601).contains(&ahead), "{ahead}");
    is(&judge(&seen, "c1"), Verdict::Agrees, Verified);
}

/// A token that stands in the session cookie is as good a witness as one that is in the answer.
#[rstest]
#[case::claims(|f: &mut Faults| f.extra_claim = true, "", TokenFormat)]
#[case::clock(|f: &mut Faults| f.clock = 400, "It may be ClockSkew or KeyMismatch", Ambiguous)]
#[tokio::test]
async fn a_token_in_the_session_cookie_is_looked_at(
    #[case] fault: fn(&mut Faults),
    #[case] words: &str,
    #[case] reason: PodReason,
) {
    let app = App::new("k");
    let in_cookie = |app: App| app.with(|f| f.token_is_session = true);
    let s = in_cookie(app.replica()).with(fault);
    let (s, w, sees) = pair(s, in_cookie(app.replica())).await;
    let mut bench = Bench::new(&sees);
    bench.recipe.login.access_token = None;
    bench.recipe.login.refresh_token = None;
    bench.recipe.refresh = None;
    bench.recipe.logout = None;
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Diverges, reason);
    assert!(proof.message.contains(words), "{}", proof.message);
}
