//! Tells a transaction pooler from a server, by what it does and not by what it says.
//!
//! Behind a pooler a session's state belongs to whoever gets the server connection next, so an advisory lock would be
//! stranded or shared. Three signs, each sufficient:
//! 1. it refuses a start-up parameter that every server accepts;
//! 2. two sessions of ours are one session of the server, or one of ours changes its server session between statements.
//!    The second session holds a transaction open meanwhile, so that the pooler can't hand the first one the same again;
//! 3. the second session's server process is older than our connection. That finds session poolers too.
//!
//! Only simple queries: prepared statements are what older poolers break on. What slips through (a pooler with a free
//! pool of its own for each of us) is found while the command runs: the heartbeat looks for the lock, not just for an answer.

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};

/// Seconds by which the server's clock may be set back while we look.
const CLOCK_STEP: f64 = 1.0;

/// Sign 1.
pub(crate) fn refused_startup(error: &sqlx::Error) -> Option<String> {
    let message = error.as_database_error()?.message();
    message
        .contains("unsupported startup parameter")
        .then(|| format!("it answered {message:?}"))
}

/// Signs 2 and 3. Simple protocol only, on a fresh connection.
pub(crate) async fn detect(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<Option<String>, sqlx::Error> {
    let row =
        sqlx::raw_sql("SELECT pg_backend_pid() AS pid, extract(epoch FROM clock_timestamp())::float8 AS now")
            .fetch_one(&mut *first)
            .await?;
    let (pid, now): (i32, f64) = (row.try_get("pid")?, row.try_get("now")?);

    let mut second = PgConnection::connect_with(options).await?;
    sqlx::raw_sql("BEGIN").execute(&mut second).await?;
    let row = sqlx::raw_sql(
        "SELECT pid, extract(epoch FROM backend_start)::float8 AS began FROM pg_catalog.pg_stat_activity
          WHERE pid = pg_backend_pid()",
    )
    .fetch_one(&mut second)
    .await?;
    let (other, began): (i32, Option<f64>) = (row.try_get("pid")?, row.try_get("began")?);

    let evidence = if other == pid {
        Some(format!("two connections share the server process {pid}"))
    } else {
        let row = sqlx::raw_sql("SELECT pg_backend_pid() AS pid")
            .fetch_one(&mut *first)
            .await?;
        let again: i32 = row.try_get("pid")?;
        if again != pid {
            Some(format!(
                "one connection moved from server process {pid} to {again}"
            ))
        } else if began.is_some_and(|began| began + CLOCK_STEP < now) {
            Some(format!(
                "a new connection was given the older server process {other}"
            ))
        } else {
            None
        }
    };
    sqlx::raw_sql("ROLLBACK").execute(&mut second).await?;
    // Close errors don't matter: the answer is known.
    let _ = second.close().await;
    Ok(evidence)
}
