//! Killed runners, lost locks, stopped pods.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::postgres::Database;
use crate::runner::Pod;
use crate::{alive, eventually};

const SLEEPING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE usename = 'migrate' AND datname = current_database() AND query LIKE '%pg_sleep%'";

/// A statement in mid-transaction, which would commit after two minutes, in a command that outlives its runner.
const LONG: &str = r#"echo $$ > "$DIR/pid"
    exec psql "$DATABASE_URL" -qc "INSERT INTO effects VALUES ('late'); SELECT pg_sleep(120)""#;

#[tokio::test]
async fn after_a_killed_runner_the_next_ends_its_session_and_runs_again() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let first = pod.spawn("migration", &[], LONG);
    database.until("the first is in its statement", SLEEPING).await;
    first.signal(Signal::KILL);
    first.wait_killed();
    assert_eq!(database.ledger().await, ["started/1/"]);
    assert_eq!(
        database.count(SLEEPING).await,
        1,
        "the orphan's session runs on, or this test shows nothing"
    );

    let script = r#"psql "$DATABASE_URL" -qc "INSERT INTO effects VALUES ('second')""#;
    let end = pod.run("migration", &[], script);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(database.count(SLEEPING).await, 0);
    assert_eq!(
        database.text("SELECT string_agg(what, ',') FROM effects").await,
        "second"
    );
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
}

#[tokio::test]
async fn sessions_of_the_application_and_of_other_databases_are_left_alone() {
    let database = Database::new().await;
    let elsewhere = Database::new().await;
    let mut application = database.connect("app_a").await;
    let mut migrate_elsewhere = elsewhere.connect("migrate").await;
    assert_eq!(Pod::new(&database).run("migration", &[], "true").code, Some(0));
    sqlx::query("SELECT 1").execute(&mut application).await.unwrap();
    sqlx::query("SELECT 1")
        .execute(&mut migrate_elsewhere)
        .await
        .unwrap();
}

#[tokio::test]
async fn with_the_locks_connection_the_command_dies_even_if_it_ignores_sigterm() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let script =
        r#"trap '' TERM; sleep 300 & echo $! > "$DIR/grandchild"; echo $$ > "$DIR/pid"; wait; wait; exit 0"#;
    let runner = pod.spawn("migration", &[], script);
    eventually("the command runs", || {
        fs::read_to_string(pod.path("pid")).is_ok_and(|pid| !pid.is_empty())
    });
    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE application_name LIKE 'accord-runner%' AND datname = current_database()",
        )
        .await;
    let began = Instant::now();
    let end = runner.wait();
    assert_eq!(end.code, Some(74), "{}", end.stderr);
    assert_eq!(end.termination["reason"], "LockLost");
    // 2 s to notice, 5 s of grace.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for name in ["pid", "grandchild"] {
        let pid = fs::read_to_string(pod.path(name)).unwrap();
        assert!(!alive(&pid), "{name} {pid} is alive");
    }
    assert_eq!(database.ledger().await, ["started/1/"]);
}

#[tokio::test]
async fn success_is_not_recorded_when_the_lock_went_just_before_the_end() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    // The command itself cuts the runner's session and ends at once, faster than any heartbeat.
    let pod = pod.env("ADMIN_URL", &database.url("postgres"));
    let end = pod.run(
        "migration",
        &[],
        r#"psql "$ADMIN_URL" -qc "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'accord-runner%' AND datname = current_database()" >/dev/null; exit 0"#,
    );
    assert_eq!(end.code, Some(74), "{}", end.stderr);
    assert_eq!(database.ledger().await, ["started/1/"]);
}

#[tokio::test]
async fn a_stopped_pod_ends_its_command_and_records_the_interruption() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    // Ends with 0 on SIGTERM, as servers do, without having done its work.
    let runner = pod.spawn(
        "migration",
        &[],
        r#"trap 'echo stopping; exit 0' TERM; echo x > "$DIR/up"; sleep 300 & wait"#,
    );
    eventually("the command runs", || pod.path("up").exists());
    runner.signal(Signal::TERM);
    let end = runner.wait();
    assert_eq!(end.code, Some(143), "{}", end.stderr);
    assert_eq!(end.termination["reason"], "Terminated");
    assert_eq!(database.ledger().await, ["interrupted/1/0"]);
    assert_eq!(pod.run("migration", &[], "true").code, Some(0));
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
}

#[tokio::test]
async fn a_signal_before_the_start_leaves_no_row() {
    let mut database = Database::new().await;
    let mut other = database.connect("accord").await;
    assert!(
        accord_runner::ledger::lock::try_acquire(&mut other, "shop/orders")
            .await
            .unwrap()
    );
    let pod = Pod::new(&database);
    let runner = pod.spawn("migration", &[], "true");
    runner.until_says("waiting for the lock");
    runner.signal(Signal::TERM);
    assert_eq!(runner.wait().code, Some(143));
    assert_eq!(database.ledger().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_seed_is_held_until_a_person_releases_it() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let seed = pod.spawn("seed", &[], LONG);
    database.until("the seed is in its statement", SLEEPING).await;
    let release = [
        "release",
        "--kind",
        "seed",
        "--name",
        "schema",
        "--revision",
        "r1",
        "--service",
        "shop/orders",
    ];

    // While it runs, nobody can declare it dead.
    let busy = pod.call(&release);
    assert_eq!(busy.code, Some(73), "{}", busy.stderr);
    seed.signal(Signal::KILL);
    seed.wait_killed();

    for _ in 0..2 {
        let end = pod.run("seed", &[], r#"echo ran >> "$DIR/runs""#);
        assert_eq!(end.code, Some(75), "{}", end.stderr);
        assert_eq!(end.termination["reason"], "Held");
        let message = end.termination["message"].as_str().unwrap();
        assert!(
            message.contains("accord-runner release --kind seed --service shop/orders"),
            "{message}"
        );
        assert_eq!(database.ledger().await, ["interrupted/1/"]);
    }
    assert!(!pod.path("runs").exists());

    assert_eq!(pod.call(&release).code, Some(0));
    assert_eq!(database.ledger().await, ["failed/1/"]);
    assert_eq!(
        pod.call(&release).code,
        Some(70),
        "only what is held can be released"
    );
    assert_eq!(pod.run("seed", &[], r#"echo ran >> "$DIR/runs""#).code, Some(0));
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
}

#[tokio::test]
async fn a_held_seed_can_be_counted_as_done() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let seed = pod.spawn("seed", &[], r#"echo x > "$DIR/up"; exec sleep 300"#);
    eventually("the seed runs", || pod.path("up").exists());
    seed.signal(Signal::TERM);
    assert_eq!(seed.wait().code, Some(143));
    assert_eq!(pod.run("seed", &[], "true").code, Some(75));
    let done = [
        "release",
        "--done",
        "--kind",
        "seed",
        "--name",
        "schema",
        "--revision",
        "r1",
        "--service",
        "shop/orders",
    ];
    assert_eq!(pod.call(&done).code, Some(0));
    assert_eq!(database.ledger().await, ["baseline/1/143"]);
    assert_eq!(pod.run("seed", &[], "exit 1").code, Some(0));
}

#[tokio::test]
async fn an_interrupted_idempotent_seed_runs_again() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let seed = pod.spawn("seed", &["--idempotent"], LONG);
    database.until("the seed is in its statement", SLEEPING).await;
    seed.signal(Signal::KILL);
    seed.wait_killed();
    assert_eq!(pod.run("seed", &["--idempotent"], "true").code, Some(0));
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
}

#[tokio::test]
async fn what_the_command_leaves_in_the_background_ends_with_it() {
    let database = Database::new().await;
    let pod = Pod::new(&database);
    let began = Instant::now();
    let end = pod.run("migration", &[], r#"sleep 300 & echo $! > "$DIR/pid""#);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!alive(&fs::read_to_string(pod.path("pid")).unwrap()));
}
