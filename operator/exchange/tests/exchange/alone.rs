//! What one replica shows by itself: logins, the database's view, negative controls, its key and its workers.

use accord_crds::PodReason::{self, *};
use accord_crds::Verdict;
use accord_crds::recipe::SessionRow;
use rstest::rstest;

use crate::fake::{self, App, Faults, HOSTNAME, PASSWORD};
use crate::setup::{Bench, Sees, is, verdict};

#[tokio::test]
async fn a_first_replica_is_proved_by_itself() {
    let s = App::new("k").serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Agrees,
        Verified,
    );
}

#[rstest]
#[case::unauthorized(401)]
#[case::bad_request(400)]
#[case::forbidden(403)]
#[case::no_tables(500)]
#[tokio::test]
async fn a_pod_that_refuses_the_canary_and_is_not_seen_in_the_database_has_its_own(#[case] status: u16) {
    let s = App::new("k")
        .with(|f| f.login_status = Some(status))
        .serve("pod-s", 2)
        .await;
    let sees = Sees([(s.address.ip(), false)].into(), None);
    let proof = verdict(&s, None, &sees).await;
    is(&proof, Verdict::Diverges, LocalDatabase);
    assert!(proof.message.contains("DATABASE_URL"), "{}", proof.message);
    assert!(proof.message.contains("no such table"), "{}", proof.message);
}

#[rstest]
#[case::no_check_at_all(|f: &mut Faults| f.accepts_everything = true)]
#[case::any_password(|f: &mut Faults| f.any_password = true)]
#[case::any_signature(|f: &mut Faults| f.any_signature = true)]
#[tokio::test]
async fn a_pod_that_accepts_what_is_wrong_never_agrees(#[case] fault: fn(&mut Faults)) {
    let s = App::new("k").with(fault);
    let s = s.serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Diverges,
        AcceptsInvalid,
    );
}

#[tokio::test]
async fn a_missing_path_is_a_recipe_that_does_not_fit() {
    let s = App::new("k").serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees([(s.address.ip(), false)].into(), None));
    bench.recipe.login.path = "/signin/".into();
    is(&bench.verdict(&s, None).await, Verdict::Unknown, RecipeMismatch);
}

#[tokio::test]
async fn requests_look_like_those_of_a_browser_behind_the_router() {
    let s = App::new("k").serve("pod-s", 2).await;
    let _ = verdict(&s, None, &Sees::default()).await;
    let log = s.app.log.lock().unwrap().clone();
    let text = |seen: &fake::Seen, name: &str| {
        seen.headers
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    for seen in &log {
        assert_eq!(text(seen, "host"), HOSTNAME);
        assert_eq!(text(seen, "x-forwarded-proto"), "https");
        assert_eq!(text(seen, "x-forwarded-host"), HOSTNAME);
        assert!(text(seen, "user-agent").starts_with("accord-prober/"));
        let origin = if seen.method == "POST" {
            "https://login.example.com"
        } else {
            ""
        };
        assert_eq!(text(seen, "origin"), origin);
        if seen.method == "POST" {
            assert_eq!(
                text(seen, "referer"),
                format!("https://login.example.com{}", seen.path)
            );
        }
    }
    let wrong = log
        .iter()
        .filter(|s| s.path == "/login/" && !s.body.contains(PASSWORD))
        .count();
    assert_eq!(wrong, 1, "a wrong password is tried once");
}

#[tokio::test]
async fn a_form_login_sends_the_csrf_token_as_a_field() {
    let s = App::new("k").serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees::default());
    bench.recipe.login.encoding = accord_crds::recipe::Encoding::Form;
    let _ = bench.observe(&s, None).await;
    let log = s.app.log.lock().unwrap().clone();
    let login = log.iter().rfind(|seen| seen.path == "/login/").unwrap();
    let token = login.headers.get("x-csrftoken").unwrap().to_str().unwrap();
    assert!(
        login.body.contains(&format!("csrfmiddlewaretoken={token}")),
        "{}",
        login.body
    );
}

/// A pod with a second worker that has `second` where it differs from the first.
fn two_workers(second: impl FnOnce(&App) -> App) -> App {
    let first = App::new("k");
    App {
        workers: vec![second(&first)],
        ..first
    }
}

#[rstest]
#[case::memory(two_workers(|app| App { sessions: std::sync::Arc::default(), ..app.clone() }), LocalSession)]
#[case::key(two_workers(|app| App { key: "of the second".into(), ..app.clone() }), KeyMismatch)]
#[tokio::test]
async fn state_of_each_worker_shows_under_several_requests_at_once(
    #[case] app: App,
    #[case] reason: PodReason,
    #[values(false, true)] with_witness: bool,
) {
    let w = app.replica().serve("pod-w", 3).await;
    let s = app.serve("pod-s", 2).await;
    let proof = verdict(&s, with_witness.then_some(&w), &Sees::default()).await;
    is(&proof, Verdict::Diverges, reason);
    assert!(proof.message.contains("new connections"), "{}", proof.message);
    assert!(proof.message.contains("within the pod"), "{}", proof.message);
}

/// Found with gunicorn: one of two workers with threads takes all of several connections that come at once.
#[tokio::test]
async fn workers_with_threads_show_one_after_the_other() {
    let app = two_workers(|app| App {
        sessions: std::sync::Arc::default(),
        ..app.clone()
    });
    let s = app.with(|f| f.threads = true).serve("pod-s", 2).await;
    let proof = verdict(&s, None, &Sees::default()).await;
    is(&proof, Verdict::Diverges, LocalSession);
    assert!(proof.message.contains("within the pod"), "{}", proof.message);
}

/// A list of ended tokens in each worker's memory.
fn a_list_for_each_worker() -> (App, Bench) {
    let app = two_workers(|app| App {
        blacklist: std::sync::Arc::default(),
        ..app.clone()
    });
    let mut bench = Bench::new(&Sees::default());
    bench.recipe.refresh = None;
    bench.recipe.login.refresh_token = None;
    bench.recipe.logout.as_mut().unwrap().refresh_field = None;
    bench.recipe.logout.as_mut().unwrap().access_token = accord_crds::recipe::AfterLogout::Rejected;
    (app.with(|f| f.ends_all = true), bench)
}

#[tokio::test]
async fn what_only_one_worker_has_ended_is_told() {
    let (app, bench) = a_list_for_each_worker();
    let s = app.serve("pod-s", 2).await;
    let proof = bench.verdict(&s, None).await;
    is(&proof, Verdict::Diverges, LocalRevocation);
    assert!(proof.message.contains("within the pod"), "{}", proof.message);
}

#[tokio::test]
async fn workers_that_hear_of_an_end_a_moment_later_agree() {
    let (app, bench) = a_list_for_each_worker();
    let (first, second) = (app.blacklist.clone(), app.workers[0].blacklist.clone());
    let hears = tokio::spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let ended = first.lock().unwrap().clone();
            if ended != *second.lock().unwrap() {
                // Always so much later, whenever that was.
                tokio::time::sleep(std::time::Duration::from_millis(600)).await;
                second.lock().unwrap().extend(ended);
            }
        }
    });
    let s = app.serve("pod-s", 2).await;
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    hears.abort();
}

/// Found with Flask-Login: the other cookie logs in again, so a session that was tampered with shows nothing beside it.
#[tokio::test]
async fn a_login_that_is_remembered_is_no_forged_session() {
    let s = App::new("k").with(|f| f.remembers = true).serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees::default());
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    bench.recipe.login.session_cookie = Some("remember".into());
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    // One that anybody can make is told as before.
    s.app.faults.lock().unwrap().any_remembered = true;
    for named in ["sessionid", "remember"] {
        bench.recipe.login.session_cookie = Some(named.into());
        is(&bench.verdict(&s, None).await, Verdict::Diverges, AcceptsInvalid);
    }
}

#[tokio::test]
async fn workers_that_share_their_state_agree() {
    let s = two_workers(App::clone).serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Agrees,
        Verified,
    );
}

#[rstest]
#[case::active("k", Verdict::Agrees, Verified)]
#[case::older("older", Verdict::Agrees, Verified)]
#[case::own("made at start", Verdict::Diverges, KeyMismatch)]
#[tokio::test]
async fn one_login_tells_whether_the_declared_ring_signed_the_token(
    #[case] key: &str,
    #[case] verdict: Verdict,
    #[case] reason: PodReason,
) {
    let s = App::new(key).serve("pod-s", 2).await;
    let bench = Bench::new(&Sees::default()).declaring_the_key();
    is(&bench.verdict(&s, None).await, verdict, reason);
    // Where it isn't declared, nothing is said about keys.
    let silent = Bench::new(&Sees::default());
    is(&silent.verdict(&s, None).await, Verdict::Agrees, Verified);
}

#[rstest]
#[tokio::test]
async fn a_pod_that_issues_two_shapes_of_token_is_told_by_a_second_login(
    #[values(false, true)] takes_both: bool,
) {
    let s = App::new("k").with(|f| (f.two_shapes, f.takes_both) = (true, takes_both));
    let mut bench = Bench::new(&Sees::default());
    bench.recipe.refresh = None;
    let s = s.serve("pod-s", 2).await;
    is(&bench.verdict(&s, None).await, Verdict::Diverges, TokenFormat);
    assert!(
        s.app.sessions.lock().unwrap().is_empty(),
        "every session was ended"
    );
}

#[tokio::test]
async fn one_login_tells_whether_the_session_is_in_the_declared_cache() {
    let app = App::new("k");
    let own = App {
        sessions: std::sync::Arc::default(),
        ..app.replica()
    };
    let (s, local) = (app.replica().serve("pod-s", 2).await, own.serve("pod-s", 3).await);
    let mut bench = Bench::new(&Sees([].into(), Some(app.clone())));
    bench.recipe.login.session_key = Some("session:{id}".into());
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    is(
        &bench.verdict(&local, None).await,
        Verdict::Diverges,
        LocalSession,
    );
    bench.recipe.login.session_key = Some("session:{cookie}".into());
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    // Or in a table.
    bench.recipe.login.session_key = None;
    bench.recipe.login.session_row = Some(SessionRow {
        table: "sessions".into(),
        column: "id".into(),
    });
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
    is(
        &bench.verdict(&local, None).await,
        Verdict::Diverges,
        LocalSession,
    );
    // As a witness it blames nobody: its own session isn't where it should be.
    let witness = bench.verdict(&s, Some(&local)).await;
    is(&witness, Verdict::Unknown, Pending);
    // Where the cache can't be asked, nothing is said.
    bench.sees.1 = None;
    is(&bench.verdict(&local, None).await, Verdict::Agrees, Verified);
}

/// The server's cookie is Secure and SameSite=Lax, and nothing else.
#[rstest]
#[case::as_it_is(
    r#"{"httpOnly": false, "sameSite": "Lax", "lifetimeSeconds": 0}"#,
    Verified,
    ""
)]
#[case::open_to_scripts("{}", CookieAttributes, "without HttpOnly")]
#[case::for_a_month(
    r#"{"httpOnly": false, "lifetimeSeconds": 2678400}"#,
    CookieAttributes,
    "ends with the browser"
)]
#[tokio::test]
async fn a_cookie_is_compared_with_what_is_declared(
    #[case] declared: &str,
    #[case] reason: PodReason,
    #[case] words: &str,
) {
    let s = App::new("k").serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees::default());
    bench.recipe.login.session_cookie_attributes = Some(serde_json::from_str(declared).unwrap());
    let proof = bench.verdict(&s, None).await;
    assert_eq!(proof.reason, reason, "{}", proof.message);
    assert!(proof.message.contains(words), "{}", proof.message);
}

/// What frameworks do otherwise than most: Django REST framework's tokens, Flask-Login's link, Flask-JWT-Extended's cookies.
#[rstest]
#[case::scheme(|f: &mut Faults| f.scheme = Some("Token"), r#"{"login": {"accessTokenScheme": "Token"}}"#)]
#[case::link(|f: &mut Faults| f.logout_method = Some("GET"), r#"{"logout": {"method": "GET", "refreshField": null}}"#)]
#[case::delete(|f: &mut Faults| f.logout_method = Some("DELETE"), r#"{"logout": {"method": "DELETE"}}"#)]
#[case::csrf(|f: &mut Faults| f.csrf_with_login = true, r#"{"csrf": {"path": null}}"#)]
#[tokio::test]
async fn an_application_with_other_ways_agrees_where_they_are_declared(
    #[case] ways: fn(&mut Faults),
    #[case] declared: &str,
) {
    let s = App::new("k").with(ways).serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees::default());
    let undeclared = bench.verdict(&s, None).await;
    assert_ne!(undeclared.verdict, Verdict::Agrees, "{}", undeclared.message);
    let mut recipe = serde_json::to_value(&bench.recipe).unwrap();
    let changes: serde_json::Value = serde_json::from_str(declared).unwrap();
    for (part, fields) in changes.as_object().unwrap() {
        for (field, value) in fields.as_object().unwrap() {
            recipe[part][field] = value.clone();
        }
    }
    bench.recipe = serde_json::from_value(recipe).unwrap();
    bench.recipe.check().unwrap();
    is(&bench.verdict(&s, None).await, Verdict::Agrees, Verified);
}
