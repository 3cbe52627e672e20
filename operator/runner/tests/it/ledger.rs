//! The ledger itself: who may write it, and what its functions promise.

use accord_runner::ledger::{self, Error, Key, Kind, Outcome, State, identity, lock};
use sqlx::Connection as _;

use crate::postgres::Database;
use crate::runner::Pod;

const KEY: Key<'static> = Key {
    service: "shop/orders",
    kind: Kind::Seed,
    name: "demo",
    revision: "r1",
};

#[tokio::test]
async fn the_application_can_neither_read_nor_write_it() {
    let mut database = Database::new().await;
    assert_eq!(Pod::new(&database).run("migration", &[], "true").code, Some(0));
    for role in ["app_a", "migrate"] {
        for sql in [
            "SELECT * FROM accord.ledger",
            "INSERT INTO accord.ledger SELECT * FROM accord.ledger",
            "UPDATE accord.ledger SET state = 'succeeded'",
            "DELETE FROM accord.ledger",
            "TRUNCATE accord.ledger",
            "DROP TABLE accord.ledger",
            "DROP SCHEMA accord CASCADE",
            "ALTER SCHEMA accord OWNER TO owner",
            "CREATE TABLE accord.mine ()",
            "UPDATE accord.identity SET value = ''",
            "GRANT ALL ON SCHEMA accord TO PUBLIC",
            "SET ROLE accord",
        ] {
            let mut connection = database.connect(role).await;
            let error = sqlx::raw_sql(sql).execute(&mut connection).await.expect_err(sql);
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .unwrap_or_default();
            assert_eq!(code, "42501", "{role}: {sql}: {error}");
        }
    }
    assert_eq!(database.ledger().await, ["succeeded/1/0"]);
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_refused() {
    let mut database = Database::new().await;
    database.execute("DROP SCHEMA accord; CREATE SCHEMA accord AUTHORIZATION owner; GRANT ALL ON SCHEMA accord TO PUBLIC").await;
    let end = Pod::new(&database).run("migration", &[], "true");
    assert_eq!(end.code, Some(70), "{}", end.stderr);
    assert!(
        end.termination["message"]
            .as_str()
            .unwrap()
            .contains("ALTER SCHEMA accord OWNER TO accord")
    );
}

#[tokio::test]
async fn many_may_ensure_at_once() {
    let database = Database::new().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url("accord");
            tokio::spawn(async move {
                let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
                ledger::ensure(&mut connection).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_outcome_needs_the_lock_and_the_attempt() {
    let database = Database::new().await;
    let mut mine = database.connect("accord").await;
    let mut other = database.connect("accord").await;
    ledger::ensure(&mut mine).await.unwrap();
    let done = Outcome {
        state: State::Succeeded,
        exit_code: Some(0),
        output_tail: "",
    };

    assert!(lock::try_acquire(&mut mine, KEY.service).await.unwrap());
    assert!(!lock::try_acquire(&mut other, KEY.service).await.unwrap());
    assert!(lock::is_held(&mut mine, KEY.service).await.unwrap());
    assert!(!lock::is_held(&mut other, KEY.service).await.unwrap());
    assert_eq!(ledger::start(&mut mine, &KEY, "pod-1").await.unwrap(), 1);
    assert!(matches!(
        ledger::finish(&mut other, &KEY, 1, &done).await,
        Err(Error::LockNotHeld)
    ));
    assert!(matches!(
        ledger::finish(&mut mine, &KEY, 2, &done).await,
        Err(Error::WrongState { .. })
    ));
    assert!(matches!(
        ledger::start(&mut mine, &KEY, "pod-2").await,
        Err(Error::WrongState { .. })
    ));
    ledger::finish(&mut mine, &KEY, 1, &done).await.unwrap();
    assert!(matches!(
        ledger::start(&mut mine, &KEY, "pod-2").await,
        Err(Error::WrongState { .. })
    ));

    let row = ledger::get(&mut other, &KEY).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.attempt, row.exit_code, row.runner.as_str()),
        (State::Succeeded, 1, Some(0), "pod-1")
    );
    assert!(row.finished_at.unwrap() >= row.started_at);
}

#[tokio::test]
async fn a_baseline_counts_as_done_and_changes_nothing_that_is_there() {
    let database = Database::new().await;
    let mut connection = database.connect("accord").await;
    ledger::ensure(&mut connection).await.unwrap();
    assert!(ledger::baseline(&mut connection, &KEY, "operator").await.unwrap());
    assert!(!ledger::baseline(&mut connection, &KEY, "operator").await.unwrap());
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
        "false",
    ]);
    assert_eq!(end.code, Some(0), "{}", end.stderr);

    let printed = pod.call(&["ledger", "--service", "shop/orders"]);
    let rows: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(rows[0]["state"], "baseline");
    assert_eq!(rows[0]["kind"], "seed");
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(
        pod.call(&["ledger", "--service", "shop/other"]).stdout.trim(),
        "[]"
    );
}

#[tokio::test]
async fn an_identity_is_recorded_once() {
    let database = Database::new().await;
    let mut connection = database.connect("accord").await;
    ledger::ensure(&mut connection).await.unwrap();
    assert_eq!(
        identity::get(&mut connection, "shop/orders", "keyRing")
            .await
            .unwrap(),
        None
    );
    identity::set_once(&mut connection, "shop/orders", "keyRing", "abc")
        .await
        .unwrap();
    identity::set_once(&mut connection, "shop/orders", "keyRing", "abc")
        .await
        .unwrap();
    let other = identity::set_once(&mut connection, "shop/orders", "keyRing", "xyz").await;
    assert!(matches!(other, Err(Error::IdentityDiffers { .. })));
    let all = identity::all(&mut connection, "shop/orders").await.unwrap();
    assert_eq!(
        all.into_iter().collect::<Vec<_>>(),
        [("keyRing".to_owned(), "abc".to_owned())]
    );
}
