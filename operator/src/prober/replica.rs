//! Is a read replica behind? One short connection to the database and one to the replica, after an exchange.
//!
//! The clock of the last replayed transaction says nothing while nobody writes. So it asks how far the database is, and
//! whether the replica gets there within a moment.

use std::time::Duration;

use accord_plan::outcome::DatabaseCheck;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::database::options;

const CALL: Duration = Duration::from_secs(3);
/// What a person doesn't notice between two clicks.
const MOMENT: Duration = Duration::from_secs(1);
const SAMPLE: Duration = Duration::from_millis(50);

/// True when the replica is still without what the database has now, a moment later. `None` without a replica, and
/// where one of both can't be asked.
pub(super) async fn behind(check: &DatabaseCheck) -> Option<bool> {
    let replica = check.replica.as_ref()?;
    let position = timeout(CALL, position(check)).await.ok()??;
    let options = options(
        check,
        (&replica.host, replica.port),
        &replica.database,
        &replica.login,
    );
    let mut conn = timeout(CALL, PgConnection::connect_with(&options))
        .await
        .ok()?
        .ok()?;
    let until = Instant::now() + MOMENT;
    let behind = loop {
        let there = timeout(CALL, has_replayed(&mut conn, &position)).await.ok()??;
        if there || Instant::now() >= until {
            break !there;
        }
        sleep(SAMPLE).await;
    };
    let _ = conn.close().await;
    Some(behind)
}

/// How far the database is, as it writes it.
async fn position(check: &DatabaseCheck) -> Option<String> {
    let options = options(check, (&check.host, check.port), &check.database, &check.ledger);
    let mut conn = PgConnection::connect_with(&options).await.ok()?;
    let position = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text")
        .fetch_one(&mut conn)
        .await
        .ok();
    let _ = conn.close().await;
    position
}

/// `None` where it is no replica.
async fn has_replayed(conn: &mut PgConnection, position: &str) -> Option<bool> {
    let replayed: Option<bool> = sqlx::query_scalar("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn")
        .bind(position)
        .fetch_one(conn)
        .await
        .ok()?;
    replayed
}

#[cfg(test)]
mod tests;
