//! Ends earlier sessions of the migration role in this database.
//!
//! A killed command's statement runs on in the server and may commit many seconds later. Once the lock is ours, no
//! session of that role can belong to a living run, so each is ended before the command starts.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::exit::Stop;

/// Ending takes milliseconds, except for a session inside a long uninterruptible step.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns once no session of `role` is left in the current database. The application's roles are never touched.
///
/// Where the ledger's own role is also the migration role (an external server with one role for everything), Accord's
/// own sessions are spared by their application name: other waiting runners and the operator are no earlier run.
pub(crate) async fn end_earlier(conn: &mut PgConnection, role: &str) -> Result<(), Stop> {
    let began = Instant::now();
    loop {
        let ended: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM (
                 SELECT pid, pg_terminate_backend(pid) AS signalled FROM pg_catalog.pg_stat_activity
                  WHERE usename = $1 AND datname = current_database() AND pid <> pg_backend_pid()
                    AND NOT (usename = session_user AND application_name LIKE 'accord-%')) AS earlier
              ORDER BY pid",
        )
        .bind(role)
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| refused(role, &error))?;
        if ended.is_empty() {
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            let problem = format!(
                "sessions of the role {role:?} are still there {LIMIT:?} after they were told to end (pids {ended:?}); \
                 look at them in pg_stat_activity"
            );
            return Err(Stop::Sessions { problem });
        }
        if began.elapsed() < Duration::from_millis(100) {
            info!(role, pids = ?ended, "ending earlier sessions of the migration role");
        } else {
            warn!(role, pids = ?ended, "earlier sessions of the migration role haven't ended yet");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn refused(role: &str, error: &sqlx::Error) -> Stop {
    let denied = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42501");
    let problem = if denied {
        format!(
            "earlier sessions of the role {role:?} can't be ended: {error}. As a superuser: GRANT {role:?} TO accord"
        )
    } else {
        format!("can't look for earlier sessions of the role {role:?}: {error}")
    };
    Stop::Sessions { problem }
}
