//! The advisory lock of a service: whoever holds it may run and record.
//!
//! It belongs to a session, so it dies with its holder, and only on a direct connection: a transaction pooler would
//! strand it. It is tried, never waited for inside Postgres: a waiting statement keeps a snapshot open, and the
//! `CREATE INDEX CONCURRENTLY` of the migration that holds the lock would wait for that snapshot, for ever.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use sqlx::{PgConnection, Row as _};

use super::Error;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The pid of its session in Postgres.
    pub pid: i32,
    /// Its application name; a runner's names the pod.
    pub application_name: String,
    /// When its session began; empty where the role may not see it.
    pub since: Option<jiff::Timestamp>,
}

/// The lock's key: the first 8 bytes of a SHA-256, so that it's the same for every version of Postgres and of Accord.
pub fn key(service: &str) -> i64 {
    let hash = digest(&SHA256, format!("accord.dev/ledger\n{service}").as_bytes());
    hash.as_ref()
        .iter()
        .take(8)
        .fold(0_i64, |key, byte| (key << 8) | i64::from(*byte))
}

/// Takes the lock if it is free.
pub async fn try_acquire(conn: &mut PgConnection, service: &str) -> Result<bool, Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(key(service))
        .fetch_one(conn)
        .await
        .map_err(Error::at("take the advisory lock"))
}

/// Whether this session holds the lock, by Postgres' own table of locks.
pub async fn is_held(conn: &mut PgConnection, service: &str) -> Result<bool, Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND pid = pg_backend_pid() AND (classid::bigint << 32) | objid::bigint = $1)",
    )
    .bind(key(service))
    .fetch_one(conn)
    .await
    .map_err(Error::at("look for the advisory lock"))
}

/// Who holds the lock now.
pub async fn holder(conn: &mut PgConnection, service: &str) -> Result<Option<Holder>, Error> {
    let step = "look who holds the advisory lock";
    let row = sqlx::query(
        "SELECT l.pid, coalesce(a.application_name, '') AS application_name,
                (extract(epoch FROM a.backend_start) * 1000000)::bigint AS since
           FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
          WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
            AND (l.classid::bigint << 32) | l.objid::bigint = $1
          LIMIT 1",
    )
    .bind(key(service))
    .fetch_optional(conn)
    .await
    .map_err(Error::at(step))?;
    let Some(row) = row else { return Ok(None) };
    let since: Option<i64> = row.try_get("since").map_err(Error::at(step))?;
    Ok(Some(Holder {
        pid: row.try_get("pid").map_err(Error::at(step))?,
        application_name: row.try_get("application_name").map_err(Error::at(step))?,
        since: since.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok()),
    }))
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn the_key_never_changes() {
        // A changed key would let an old and a new version run at once. Figure: sha256sum, first 16 hex digits.
        assert_eq!(key("shop/login").cast_unsigned(), 0x91ef_3ddf_542c_5d9b);
        assert_ne!(key("shop/login"), key("shop/logim"));
    }
}
