//! A pooled URL is refused before anything is locked, recorded or run.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::postgres::{Bouncer, Database};
use crate::runner::Pod;

async fn refused(extra: &str, prepare: impl AsyncFnOnce(&str)) {
    let mut database = Database::new().await;
    let bouncer = Bouncer::start(&database, extra);
    let url = bouncer.url(&database);
    prepare(&url).await;
    let pod = Pod::with_url(&database, &url);
    let end = pod.run(
        "migration",
        &["--connect-timeout", "5s"],
        r#"echo ran > "$DIR/ran""#,
    );
    assert_eq!(end.code, Some(72), "{}", end.stderr);
    assert_eq!(end.termination["reason"], "PooledUrl");
    assert!(
        end.termination["message"]
            .as_str()
            .unwrap()
            .contains("direct URL")
    );
    assert!(!pod.path("ran").exists());
    assert_eq!(
        database
            .count("SELECT count(*) FROM pg_class WHERE relname = 'ledger'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_transaction_pooler_is_refused() {
    refused("pool_mode=transaction", async |_| {}).await;
}

#[tokio::test]
async fn a_transaction_pooler_with_one_server_connection_is_refused() {
    refused("pool_mode=transaction\ndefault_pool_size=1", async |_| {}).await;
}

#[tokio::test]
async fn a_transaction_pooler_that_hands_out_the_oldest_is_refused() {
    // Many idle server connections, given out in turn: two sessions rarely meet on one.
    refused("pool_mode=transaction\nserver_round_robin=1", async |url| {
        warm(url, 8).await;
    })
    .await;
}

#[tokio::test]
async fn a_session_pooler_is_refused_once_it_hands_out_used_connections() {
    // It would keep the lock, but nobody can tell it from the other kind by its URL.
    refused("pool_mode=session", async |url| warm(url, 2).await).await;
}

/// Leaves the pooler with `n` idle server connections that are older than any doubt about clocks.
async fn warm(url: &str, n: usize) {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.extra_float_digits(None);
    let mut busy = Vec::new();
    for _ in 0..n {
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
        busy.push(connection);
    }
    // By the server's clock, and with its connections still taken, so that none is replaced.
    sqlx::raw_sql("SELECT pg_sleep(1.2)")
        .execute(&mut busy[0])
        .await
        .unwrap();
    for mut connection in busy {
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_pooler_that_refuses_start_up_parameters_is_named_as_one() {
    // What PgBouncer answers to a client that sends them; the runner doesn't, a wrapper might.
    let database = Database::new().await;
    let bouncer = Bouncer::start(&database, "pool_mode=transaction");
    let options: PgConnectOptions = bouncer.url(&database).parse().unwrap();
    let error = PgConnection::connect_with(&options.options([("lock_timeout", "1s")]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("unsupported startup parameter"),
        "{error}"
    );
}
