//! A change of password: whether it takes effect at both at once, and that the declared one is the account's in the end.

use std::sync::Arc;
use std::time::Duration;

use accord_crds::PodReason::*;
use accord_crds::Verdict;
use accord_plan::agreement::{Action, Meaning, Role, judge};
use rstest::rstest;
use serde_json::{Value, json};

use crate::fake::{App, Fake, Faults, PASSWORD, USERNAME};
use crate::setup::{Bench, Sees, is, pair};

/// A replica that keeps a memory of users of its own, as it is told.
fn remembering(app: &App, how: impl FnOnce(&mut Faults)) -> App {
    let own = App {
        lookup: Arc::default(),
        ..app.replica()
    };
    own.with(|f| f.believes_lookup = true).with(how)
}

fn bench(sees: &Sees) -> Bench {
    let mut bench = Bench::new(sees);
    let step = json!({"path": "/password/", "oldField": "old_password"});
    bench.recipe.change_password = Some(serde_json::from_value(step).unwrap());
    bench.change_password = true;
    bench
}

fn password(fake: &Fake) -> String {
    fake.app.users.lock().unwrap()[USERNAME].clone()
}

/// The passwords that a replica was asked to change to.
fn changes(fake: &Fake) -> Vec<String> {
    let log = fake.app.log.lock().unwrap();
    log.iter()
        .filter(|seen| seen.path == "/password/")
        .map(|seen| serde_json::from_str::<Value>(&seen.body).unwrap()["new_password"].clone())
        .map(|new| new.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_change_that_takes_effect_at_both_is_taken_back() {
    let app = App::new("k");
    let (s, w, sees) = pair(app.clone(), app.replica()).await;
    let bench = bench(&sees);
    let seen = bench.observe(&s, Some(&w)).await;
    let proof = judge(&seen, "c1");
    is(&proof, Verdict::Agrees, Verified);
    assert!(
        proof.message.contains("takes effect at both at once"),
        "{}",
        proof.message
    );
    assert_eq!(
        seen.meaning(Action::NewPassword, Role::Subject, Role::Subject),
        Some(Meaning::Accepted)
    );
    assert_eq!(password(&s), PASSWORD);
    assert_eq!(changes(&s), [] as [&str; 0], "at the witness only");
    let there_and_back = changes(&w);
    assert_eq!((there_and_back.len(), there_and_back[1].as_str()), (2, PASSWORD));
    assert!(app.sessions.lock().unwrap().is_empty(), "every session was ended");
}

#[tokio::test]
async fn it_is_made_when_it_is_asked_for_and_there_is_a_witness() {
    let app = App::new("k");
    let (s, w, sees) = pair(app.clone(), app.replica()).await;
    let mut bench = bench(&sees);
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    bench.change_password = false;
    is(&bench.verdict(&s, Some(&w)).await, Verdict::Agrees, Verified);
    assert!(changes(&s).is_empty() && changes(&w).is_empty());
}

#[rstest]
#[case::the_old_one_lives_on(|_: &mut Faults| {}, "refuses the old one; pod-s accepts it")]
#[case::the_new_one_is_unknown(|f: &mut Faults| f.confirms_lookup = true, "accepts the new one; pod-s")]
#[tokio::test]
async fn a_memory_of_users_in_the_pod_is_a_stale_cache(#[case] how: fn(&mut Faults), #[case] told: &str) {
    let app = App::new("k");
    let (s, w, sees) = pair(remembering(&app, how), app).await;
    let bench = bench(&sees);
    for _ in 0..2 {
        let proof = bench.verdict(&s, Some(&w)).await;
        is(&proof, Verdict::Diverges, StaleCache);
        assert!(proof.message.contains(told), "{}", proof.message);
        assert_eq!(password(&w), PASSWORD);
    }
}

/// A replica drops its own memory when the change is made there, so as a witness it shows nothing of its fault.
#[rstest]
#[case::that_forgets_what_is_changed_there(false, Verdict::Agrees, Verified)]
#[case::that_never_forgets(true, Verdict::Unknown, Pending)]
#[tokio::test]
async fn a_witness_with_a_memory_blames_nobody(
    #[case] keeps: bool,
    #[case] verdict: Verdict,
    #[case] reason: accord_crds::PodReason,
) {
    let app = App::new("k");
    let w = remembering(&app, |f| f.keeps_lookup = keeps);
    let (s, w, sees) = pair(app, w).await;
    is(&bench(&sees).verdict(&s, Some(&w)).await, verdict, reason);
    assert_eq!(password(&s), PASSWORD);
}

#[tokio::test]
async fn a_cache_that_all_share_and_nobody_drops_is_told_and_is_no_divergence() {
    let app = App::new("k");
    let slow = |app: App| app.with(|f| (f.believes_lookup, f.keeps_lookup) = (true, true));
    let (s, w, sees) = pair(slow(app.clone()), slow(app.replica())).await;
    let proof = bench(&sees).verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Agrees, Verified);
    assert!(
        proof.message.contains("accepted for a while"),
        "{}",
        proof.message
    );
    assert_eq!(password(&s), PASSWORD);
}

#[rstest]
#[case::absent(404, RecipeMismatch)]
#[case::refused(400, RecipeMismatch)]
#[case::broken(500, ServerError)]
#[tokio::test]
async fn a_change_that_does_not_work_is_nobodys_divergence(
    #[case] status: u16,
    #[case] reason: accord_crds::PodReason,
) {
    let app = App::new("k");
    let w = app.replica().with(|f| f.change_status = Some(status));
    let (s, w, sees) = pair(app, w).await;
    let proof = bench(&sees).verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Unknown, reason);
    for new in changes(&w) {
        assert!(!proof.message.contains(&new), "{}", proof.message);
    }
    assert_eq!(password(&s), PASSWORD);
}

#[tokio::test]
async fn where_the_witness_falls_silent_the_subject_takes_the_change_back() {
    let app = App::new("k");
    let w = app.replica().with(|f| f.hangs_after_change = true);
    let (s, w, sees) = pair(app, w).await;
    is(
        &bench(&sees).verdict(&s, Some(&w)).await,
        Verdict::Unknown,
        Pending,
    );
    assert_eq!(changes(&s), [PASSWORD]);
    assert_eq!(password(&s), PASSWORD);
}

#[tokio::test]
async fn what_an_exchange_that_was_cut_off_left_is_put_right_by_the_next_login() {
    let app = App::new("k");
    let w = app.replica().with(|f| f.hangs_after_change = true);
    let (s, w, sees) = pair(app, w).await;
    let mut bench = bench(&sees);
    let changed = async {
        while password(&s) == PASSWORD {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let limited = tokio::time::timeout(Duration::from_secs(10), changed);
    tokio::select! {
        _ = bench.observe(&s, Some(&w)) => panic!("it waits for the witness"),
        in_time = limited => in_time.expect("the password is changed"),
    }
    *w.app.faults.lock().unwrap() = Faults::default();
    bench.change_password = false;
    let seen = bench.observe(&s, Some(&w)).await;
    is(&judge(&seen, "c1"), Verdict::Agrees, Verified);
    // By whoever is asked first.
    assert_eq!(
        seen.meaning(Action::LeftPassword, Role::Witness, Role::Witness),
        Some(Meaning::Accepted)
    );
    assert_eq!(password(&s), PASSWORD);
}

#[tokio::test]
async fn an_application_that_takes_no_password_twice_is_told_and_blames_no_replica() {
    let app = App::new("k");
    app.faults.lock().unwrap().changes_left = Some(0);
    let w = app.replica().with(|f| f.changes_left = Some(1));
    let (s, w, sees) = pair(app, w).await;
    let bench = bench(&sees);
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Unknown, RecipeMismatch);
    assert!(
        proof.message.contains("to change the canary's password back"),
        "{}",
        proof.message
    );
    let next = bench.verdict(&s, Some(&w)).await;
    is(&next, Verdict::Unknown, CanaryMissing);
    assert!(
        next.message.contains("still has the password"),
        "{}",
        next.message
    );
}

#[tokio::test]
async fn a_replica_that_remembers_what_was_taken_back_is_told_by_the_witness() {
    let app = App::new("k");
    let (s, w, sees) = pair(remembering(&app, |_| {}), app).await;
    let bench = bench(&sees);
    // The other password, as the witness was given it.
    is(&bench.verdict(&s, Some(&w)).await, Verdict::Diverges, StaleCache);
    let other = changes(&w)[0].clone();
    s.app
        .lookup
        .lock()
        .unwrap()
        .insert(USERNAME.into(), other.clone());
    let proof = bench.verdict(&s, Some(&w)).await;
    is(&proof, Verdict::Diverges, StaleCache);
    assert!(proof.message.contains("changed back before"), "{}", proof.message);
    assert!(!proof.message.contains(&other));
    assert_eq!(password(&w), PASSWORD);
}

/// The caller asks for it for each revision, whatever the recipe knows.
#[tokio::test]
async fn a_recipe_without_the_step_costs_the_witness_no_login() {
    let mut asked = Vec::new();
    for wanted in [false, true] {
        let app = App::new("k");
        let (s, w, sees) = pair(app.clone(), app.replica()).await;
        let mut bench = Bench::new(&sees);
        bench.change_password = wanted;
        is(&bench.verdict(&s, Some(&w)).await, Verdict::Agrees, Verified);
        asked.push(w.app.log.lock().unwrap().len());
        assert!(app.sessions.lock().unwrap().is_empty(), "every session is ended");
    }
    assert_eq!(asked[0], asked[1]);
}
