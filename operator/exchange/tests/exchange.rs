//! The exchange against small servers on loopback: from what they do wrong to the verdict that names it.

#![allow(clippy::unwrap_used)]

mod fake;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use accord_crds::PodReason::{self, *};
use accord_crds::{Recipe, Verdict};
use accord_exchange::{Anchors, Canary, Client, Exchange, Limits, Replica, Watch};
use accord_plan::agreement::{Action, Artifact, Meaning, Observations, Proof, Role, judge};
use fake::{App, Fake, HOSTNAME, PASSWORD, USERNAME, recipe};
use futures::future::BoxFuture;
use rstest::rstest;
use tokio::sync::oneshot;

/// What the declared database sees, by address.
#[derive(Clone, Default)]
struct Sees(BTreeMap<IpAddr, bool>);

impl Anchors for Sees {
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        let seen = self.0.get(&address).copied();
        Box::pin(async move { seen.map(|seen| Box::new(Answer(seen)) as Box<dyn Watch>) })
    }
}

struct Answer(bool);

impl Watch for Answer {
    fn seen(self: Box<Self>, until: oneshot::Receiver<()>) -> BoxFuture<'static, Option<bool>> {
        Box::pin(async move {
            let _ = until.await;
            Some(self.0)
        })
    }
}

fn replica(fake: &Fake) -> Replica {
    Replica {
        name: fake.name.clone(),
        address: fake.address,
    }
}

fn limits() -> Limits {
    Limits {
        request: Duration::from_millis(1500),
        ..Limits::default()
    }
}

async fn observe(subject: &Fake, witness: Option<&Fake>, database: &Sees, recipe: &Recipe) -> Observations {
    let client = Client::new(limits()).unwrap();
    let canary = Canary {
        username: USERNAME.into(),
        password: PASSWORD.into(),
    };
    let exchange = Exchange {
        client: &client,
        recipe,
        hostname: HOSTNAME,
        canary: &canary,
        anchors: database,
        wrong_password: true,
    };
    let witness = witness.map(replica);
    exchange.pair(&replica(subject), witness.as_ref()).await
}

async fn verdict(subject: &Fake, witness: Option<&Fake>, database: &Sees) -> Proof {
    let seen = observe(subject, witness, database, &recipe()).await;
    let proof = judge(&seen, "c1");
    for secret in [USERNAME, PASSWORD] {
        assert!(!format!("{seen:?}{proof:?}").contains(secret), "{seen:#?}");
    }
    proof
}

/// A pair of which the database sees both.
async fn pair(subject: App, witness: App) -> (Fake, Fake, Sees) {
    let (subject, witness) = (subject.serve("pod-s", 2).await, witness.serve("pod-w", 3).await);
    let sees = Sees([(subject.address.ip(), true), (witness.address.ip(), true)].into());
    (subject, witness, sees)
}

#[track_caller]
fn is(proof: &Proof, verdict: Verdict, reason: PodReason) {
    assert_eq!(
        (proof.verdict, proof.reason),
        (verdict, reason),
        "{}",
        proof.message
    );
}

#[tokio::test]
async fn two_replicas_on_the_same_stores_and_key_agree() {
    let app = App::new("k");
    let (s, w, database) = pair(app.clone(), app.replica()).await;
    let seen = observe(&s, Some(&w), &database, &recipe()).await;
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
    let sees = Sees([(s.address.ip(), false)].into());
    let proof = verdict(&s, None, &sees).await;
    is(&proof, Verdict::Diverges, LocalDatabase);
    assert!(proof.message.contains("DATABASE_URL"), "{}", proof.message);
    assert!(proof.message.contains("no such table"), "{}", proof.message);
}

#[tokio::test]
async fn local_users_are_told_by_the_witness_where_the_database_shows_nothing() {
    let (s, w) = (App::new("k"), App::new("k"));
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
        sessions: fake_sessions(),
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

fn fake_sessions() -> std::sync::Arc<std::sync::Mutex<BTreeMap<String, (String, String)>>> {
    std::sync::Arc::default()
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

#[rstest]
#[case::no_check_at_all(true, false)]
#[case::any_password(false, true)]
#[tokio::test]
async fn a_pod_that_accepts_what_is_wrong_never_agrees(#[case] everything: bool, #[case] any_password: bool) {
    let s = App::new("k").with(|f| {
        f.accepts_everything = everything;
        f.any_password = any_password;
    });
    let s = s.serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Diverges,
        AcceptsInvalid,
    );
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let s = App::new("k").with(|f| f.redirects = true).serve("pod-s", 2).await;
    let proof = verdict(&s, None, &Sees::default()).await;
    is(&proof, Verdict::Diverges, Redirected);
    assert!(
        proof.message.contains("https://login.example.com/me/"),
        "{}",
        proof.message
    );
    assert!(!proof.message.contains("secret"), "{}", proof.message);
    let asked: Vec<_> = s
        .app
        .log
        .lock()
        .unwrap()
        .iter()
        .map(|seen| seen.path.clone())
        .collect();
    assert!(
        !asked.contains(&"/login/".into()),
        "no password goes to a server that redirects: {asked:?}"
    );
    assert_eq!(
        asked.iter().filter(|path| *path == "/me/").count(),
        1,
        "not followed: {asked:?}"
    );
}

#[tokio::test]
async fn a_pod_that_hangs_is_slow_and_nothing_is_concluded() {
    let s = App::new("k").with(|f| f.hangs = true).serve("pod-s", 2).await;
    let since = Instant::now();
    is(&verdict(&s, None, &Sees::default()).await, Verdict::Unknown, Slow);
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "the limit of one request holds"
    );
}

#[tokio::test]
async fn a_pod_that_limits_requests_is_left_alone() {
    let s = App::new("k").with(|f| f.throttles = true).serve("pod-s", 2).await;
    is(
        &verdict(&s, None, &Sees::default()).await,
        Verdict::Unknown,
        RateLimited,
    );
    assert_eq!(s.app.log.lock().unwrap().len(), 1, "not asked again");
}

#[tokio::test]
async fn a_refused_or_broken_connection_is_a_blocked_probe() {
    let s = App::new("k").serve("pod-s", 2).await;
    let nobody = Fake::closed(&s);
    let client = Client::new(limits()).unwrap();
    let canary = Canary {
        username: USERNAME.into(),
        password: PASSWORD.into(),
    };
    let recipe = recipe();
    let exchange = Exchange {
        client: &client,
        recipe: &recipe,
        hostname: HOSTNAME,
        canary: &canary,
        anchors: &Sees::default(),
        wrong_password: true,
    };
    is(
        &judge(&exchange.pair(&nobody, None).await, "c1"),
        Verdict::Unknown,
        ProbeBlocked,
    );

    // Takes connections and closes them at once.
    let listener = tokio::net::TcpListener::bind("127.0.0.4:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let cut = Replica {
        name: "pod-s".into(),
        address,
    };
    is(
        &judge(&exchange.pair(&cut, None).await, "c1"),
        Verdict::Unknown,
        ProbeBlocked,
    );
    closing.abort();
}

impl Fake {
    /// A replica on whose port nobody listens.
    fn closed(other: &Self) -> Replica {
        let listener = std::net::TcpListener::bind((other.address.ip(), 0)).unwrap();
        Replica {
            name: "pod-s".into(),
            address: listener.local_addr().unwrap(),
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let s = App::new("k").with(|f| f.huge = true).serve("pod-s", 2).await;
    let since = Instant::now();
    let proof = verdict(&s, None, &Sees::default()).await;
    is(&proof, Verdict::Unknown, RecipeMismatch);
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "one gigabyte wasn't read"
    );
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
async fn a_missing_path_is_a_recipe_that_does_not_fit() {
    let s = App::new("k").serve("pod-s", 2).await;
    let mut wrong = recipe();
    wrong.login.path = "/signin/".into();
    let seen = observe(&s, None, &Sees([(s.address.ip(), false)].into()), &wrong).await;
    is(&judge(&seen, "c1"), Verdict::Unknown, RecipeMismatch);
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
    let mut form = recipe();
    form.login.encoding = accord_crds::recipe::Encoding::Form;
    let _ = observe(&s, None, &Sees::default(), &form).await;
    let log = s.app.log.lock().unwrap().clone();
    let login = log.iter().rfind(|seen| seen.path == "/login/").unwrap();
    let token = login.headers.get("x-csrftoken").unwrap().to_str().unwrap();
    assert!(
        login.body.contains(&format!("csrfmiddlewaretoken={token}")),
        "{}",
        login.body
    );
}

async fn sweep(replicas: &[&Fake], issuer: usize, ender: usize) -> Vec<(String, Verdict, PodReason)> {
    let client = Client::new(limits()).unwrap();
    let canary = Canary {
        username: USERNAME.into(),
        password: PASSWORD.into(),
    };
    let recipe = recipe();
    let exchange = Exchange {
        client: &client,
        recipe: &recipe,
        hostname: HOSTNAME,
        canary: &canary,
        anchors: &Sees::default(),
        wrong_password: false,
    };
    let replicas: Vec<_> = replicas.iter().map(|f| replica(f)).collect();
    let reports = exchange.sweep(&replicas, issuer, ender).await;
    reports
        .iter()
        .map(|seen| {
            let proof = judge(seen, "c1");
            (seen.subject.clone(), proof.verdict, proof.reason)
        })
        .collect()
}

#[tokio::test]
async fn a_sweep_over_agreeing_replicas_finds_nothing_and_logs_in_once() {
    let app = App::new("k");
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        app.replica().serve("c", 4).await,
    );
    for (issuer, ender) in [(0, 1), (1, 1), (2, 0)] {
        let found = sweep(&[&a, &b, &c], issuer, ender).await;
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|f| (f.1, f.2) == (Verdict::Agrees, Verified)),
            "{found:?}"
        );
    }
    let logins: usize = [&a, &b, &c]
        .iter()
        .map(|f| {
            f.app
                .log
                .lock()
                .unwrap()
                .iter()
                .filter(|s| s.path == "/login/")
                .count()
        })
        .sum();
    assert_eq!(logins, 3, "one for each sweep");
    assert_eq!(app.sessions.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_sweep_finds_the_pod_that_went_its_own_way() {
    let app = App::new("k");
    let odd = App {
        sessions: fake_sessions(),
        ..app.replica()
    };
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        odd.serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 1).await;
    let wrong: Vec<_> = found.iter().filter(|f| f.1 != Verdict::Agrees).collect();
    assert_eq!(wrong, [&("c".to_owned(), Verdict::Diverges, LocalSession)]);
}

#[tokio::test]
async fn a_sweep_finds_where_a_logout_does_not_arrive() {
    let app = App::new("k");
    let odd = App {
        blacklist: std::sync::Arc::default(),
        ..app.replica()
    };
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        app.replica().serve("b", 3).await,
        odd.serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 1).await;
    let wrong: Vec<_> = found.iter().filter(|f| f.1 != Verdict::Agrees).collect();
    assert_eq!(wrong, [&("c".to_owned(), Verdict::Diverges, LocalRevocation)]);
}

#[tokio::test]
async fn a_sweep_goes_on_past_a_pod_that_does_not_answer() {
    let app = App::new("k");
    let silent = app.replica().with(|f| f.hangs = true);
    let (a, b, c) = (
        app.replica().serve("a", 2).await,
        silent.serve("b", 3).await,
        app.replica().serve("c", 4).await,
    );
    let found = sweep(&[&a, &b, &c], 0, 2).await;
    assert_eq!(found[1], ("b".to_owned(), Verdict::Unknown, Slow));
    assert_eq!(found[2], ("c".to_owned(), Verdict::Agrees, Verified));
    assert_eq!(app.sessions.lock().unwrap().len(), 0);
}
