//! At least once, recorded at most once, never two at a time.

use std::fs;

use crate::eventually;
use crate::postgres::Database;
use crate::runner::{Pod, Running};

/// Fails where another run of the command is in progress, and leaves a line per run.
const EXCLUSIVE: &str = r#"mkdir "$DIR/busy"; echo run >> "$DIR/runs"; sleep 0.5; rmdir "$DIR/busy""#;

async fn together(n: usize) {
    let mut database = Database::new().await;
    // The schema's tables are made by whoever comes first.
    let pod = Pod::new(&database);
    let runners: Vec<Running> = (0..n).map(|_| pod.spawn("migration", &[], EXCLUSIVE)).collect();
    let ended: Vec<_> = runners.into_iter().map(Running::wait).collect();
    for end in &ended {
        assert_eq!(end.code, Some(0), "{}", end.stderr);
    }
    assert_eq!(fs::read_to_string(pod.path("runs")).unwrap(), "run\n");
    assert_eq!(
        ended
            .iter()
            .filter(|end| end.termination["reason"] == "AlreadyRecorded")
            .count(),
        n - 1
    );
    assert_eq!(database.ledger().await, ["succeeded/1/0"]);
}

#[tokio::test]
async fn two_at_once_run_it_once() {
    together(2).await;
}

#[tokio::test]
async fn thirty_two_at_once_run_it_once() {
    together(32).await;
}

#[tokio::test]
async fn a_failed_command_is_recorded_and_the_next_attempt_runs_it_again() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let end = pod.run(
        "migration",
        &[],
        "echo step one; echo 'relation exists' >&2; exit 3",
    );
    assert_eq!(end.code, Some(1), "{}", end.stderr);
    assert_eq!(end.termination["exitCode"], 1);
    assert_eq!(end.termination["commandExitCode"], 3);
    assert_eq!(end.termination["reason"], "CommandFailed");
    assert!(
        end.termination["tail"]
            .as_str()
            .unwrap()
            .contains("relation exists")
    );
    assert_eq!(database.ledger().await, ["failed/1/3"]);
    let tail = database.text("SELECT output_tail FROM accord.ledger").await;
    assert!(
        tail.contains("step one") && tail.contains("relation exists"),
        "{tail}"
    );
    assert_eq!(
        database.text("SELECT runner FROM accord.ledger").await,
        "orders-migrate-x7k2p"
    );

    assert_eq!(pod.run("migration", &[], "true").code, Some(0));
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
    // And what succeeded never runs again, even as a command that would fail.
    assert_eq!(pod.run("migration", &[], "exit 9").code, Some(0));
    assert_eq!(database.ledger().await, ["succeeded/2/0"]);
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_recorded_as_failed() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database);
    let end = pod.call(&[
        "run",
        "--kind",
        "seed",
        "--name",
        "demo",
        "--revision",
        "r1",
        "--service",
        "shop/orders",
        "--",
        "/no/such",
    ]);
    assert_eq!(end.code, Some(77), "{}", end.stderr);
    assert!(end.stderr.contains("/no/such"), "{}", end.stderr);
    assert_eq!(database.ledger().await, ["failed/1/"]);
}

#[tokio::test]
async fn a_canary_runs_every_time_and_leaves_no_row() {
    let mut database = Database::new().await;
    let pod = Pod::new(&database)
        .env("ACCORD_CANARY_USERNAME", "canary-1")
        .env("ACCORD_OTHER", "mine");
    let script = r#"echo "$ACCORD_CANARY_USERNAME/$ACCORD_OTHER/$ACCORD_LEDGER_URL_FILE" >> "$DIR/runs""#;
    for _ in 0..2 {
        assert_eq!(pod.run("canary", &[], script).code, Some(0));
    }
    assert_eq!(
        fs::read_to_string(pod.path("runs")).unwrap(),
        "canary-1//\ncanary-1//\n"
    );
    assert_eq!(database.ledger().await, Vec::<String>::new());
    assert_eq!(pod.run("canary", &[], "exit 4").termination["commandExitCode"], 4);
}

#[tokio::test]
async fn a_waiting_runner_does_not_block_an_index_built_concurrently() {
    // A lock waited for inside Postgres keeps a snapshot, for which CREATE INDEX CONCURRENTLY would wait for ever.
    let database = Database::new().await;
    let pod = Pod::new(&database);
    let first = pod.spawn(
        "migration",
        &[],
        r#"echo x > "$DIR/up"; while ! [ -e "$DIR/go" ]; do sleep 0.05; done
           psql "$DATABASE_URL" -qc 'CREATE INDEX CONCURRENTLY ON effects (what)'"#,
    );
    eventually("the first runs", || pod.path("up").exists());
    let second = pod.spawn("migration", &["--progress-interval", "200ms"], "exit 1");
    second.until_says("waiting for the lock of shop/orders, held by \"accord-runner orders-migrate-x7k2p\"");
    fs::write(pod.path("go"), "").unwrap();
    let first = first.wait();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(second.wait().code, Some(0));
}

#[tokio::test]
async fn waiting_is_bounded_and_names_the_holder() {
    let database = Database::new().await;
    let mut other = database.connect("accord").await;
    sqlx::query("SET application_name = 'somebody else'")
        .execute(&mut other)
        .await
        .unwrap();
    let taken = accord_runner::ledger::lock::try_acquire(&mut other, "shop/orders")
        .await
        .unwrap();
    assert!(taken);
    let pod = Pod::new(&database);
    let end = pod.run("migration", &["--wait-timeout", "1s"], "true");
    assert_eq!(end.code, Some(73), "{}", end.stderr);
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut other)
        .await
        .unwrap();
    let message = end.termination["message"].as_str().unwrap();
    assert!(
        message.contains("somebody else") && message.contains(&pid.to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn the_database_may_come_up_later() {
    let mut database = Database::announced().await;
    let pod = Pod::new(&database);
    let runner = pod.spawn("migration", &[], "true");
    runner.until_says("doesn't answer yet");
    database.create().await;
    let end = runner.wait();
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(database.ledger().await, ["succeeded/1/0"]);
}

#[tokio::test]
async fn a_database_that_never_comes_is_given_up_by_name() {
    let database = Database::announced().await;
    let pod = Pod::new(&database);
    let end = pod.run("migration", &["--connect-timeout", "1s"], "true");
    assert_eq!(end.code, Some(69), "{}", end.stderr);
    assert!(
        end.termination["message"]
            .as_str()
            .unwrap()
            .contains(&database.name)
    );
    assert!(!end.stderr.contains("pw-of-accord"));
}

#[tokio::test]
async fn the_ledgers_connection_verifies_the_server() {
    let database = Database::new().await;
    let tls = |host| Pod::with_url(&database, &database.tls_url("accord", host));
    let end = tls("localhost").run("migration", &[], "true");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    // The certificate is for `localhost` only.
    let end = tls("127.0.0.1").run("migration", &["--connect-timeout", "1s"], "true");
    assert_eq!(end.code, Some(69), "{}", end.stderr);
    let message = end.termination["message"].as_str().unwrap();
    assert!(message.contains("certificate"), "{message}");
}

#[test]
fn install_copies_a_program_that_runs() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let install = std::process::Command::new(env!("CARGO_BIN_EXE_accord-runner"))
        .arg("install")
        .arg(dir.path())
        .status();
    assert!(install.unwrap().success());
    let copy = dir.path().join("accord-runner");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(
        std::process::Command::new(&copy)
            .arg("--version")
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
