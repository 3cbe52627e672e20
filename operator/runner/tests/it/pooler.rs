//! A pooled URL is refused before anything is locked, recorded or run.

use sqlx::Connection as _;

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
    refused("", async |_| {}).await;
}

#[tokio::test]
async fn a_transaction_pooler_with_one_server_connection_is_refused() {
    refused("default_pool_size=1", async |_| {}).await;
}

#[tokio::test]
async fn a_transaction_pooler_that_hands_out_the_oldest_is_refused() {
    // Many idle server connections, given out in turn: two sessions rarely meet on one.
    refused("server_round_robin=1\nmin_pool_size=8", async |url| {
        let mut busy = Vec::new();
        for _ in 0..8 {
            let mut connection = sqlx::PgConnection::connect_with(
                &url.parse::<sqlx::postgres::PgConnectOptions>()
                    .unwrap()
                    .extra_float_digits(None),
            )
            .await
            .unwrap();
            sqlx::raw_sql("BEGIN").execute(&mut connection).await.unwrap();
            busy.push(connection);
        }
    })
    .await;
}

#[tokio::test]
async fn a_pooler_that_refuses_start_up_parameters_is_named_as_one() {
    use sqlx::postgres::PgConnectOptions;
    // What PgBouncer answers to a client that sends them; the runner doesn't, a wrapper might.
    let database = Database::new().await;
    let bouncer = Bouncer::start(&database, "");
    let options: PgConnectOptions = bouncer.url(&database).parse().unwrap();
    let error = sqlx::PgConnection::connect_with(&options.options([("lock_timeout", "1s")]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("unsupported startup parameter"),
        "{error}"
    );
}
