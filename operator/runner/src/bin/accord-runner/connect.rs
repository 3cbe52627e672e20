//! The connection that holds the lock: read the URL, wait for a database that is starting, refuse a pooler.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};
use url::Url;

use crate::exit::Stop;
use crate::pooler;
use crate::redact::Redactor;

const DEFAULT_URL_FILE: &str = "/etc/accord/runner/uri";

/// One attempt; a firewall that drops packets must not use up the whole time.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A session of the ledger's role on the server itself.
pub(crate) struct Ledger {
    pub(crate) conn: PgConnection,
    /// As in `server_version_num`: 150004 for 15.4.
    pub(crate) server_version: i32,
}

/// Connects with backoff (0.2 s, doubled up to 5 s) within `limit`. Tells the redactor the URL's password.
///
/// Every failure is retried, a refused password too: the roles are made while the Job is already waiting.
pub(crate) async fn connect(pod: &str, limit: Duration, redactor: &mut Redactor) -> Result<Ledger, Stop> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(200);
    loop {
        // Read anew for each attempt: a rotated password arrives through the mounted file.
        let options = read_url(redactor)?
            .application_name(crate::tail::first_bytes(&format!("accord-runner {pod}"), 63))
            // PgBouncer refuses this parameter in its default configuration; we need no float.
            .extra_float_digits(None)
            .disable_statement_logging();
        let error = match timeout(ATTEMPT, open(&options)).await {
            Ok(Ok(ledger)) => return Ok(ledger),
            Ok(Err(Failure::Pooled(evidence))) => return Err(Stop::Pooled { evidence }),
            Ok(Err(Failure::Sql(error))) => error,
            Err(_) => sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        };
        if began.elapsed() + pause > limit {
            return Err(Stop::Unreachable {
                waited: limit,
                source: error,
            });
        }
        warn!(error = %redactor.redact(&error.to_string()), "the database doesn't answer yet; trying again in {pause:?}");
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

enum Failure {
    Pooled(String),
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match pooler::refused_startup(&error) {
            Some(evidence) => Self::Pooled(evidence),
            None => Self::Sql(error),
        }
    }
}

async fn open(options: &PgConnectOptions) -> Result<Ledger, Failure> {
    let mut conn = PgConnection::connect_with(options).await?;
    if let Some(evidence) = pooler::detect(&mut conn, options).await? {
        return Err(Failure::Pooled(evidence));
    }
    sqlx::raw_sql(SETTINGS).execute(&mut conn).await?;
    let server_version = sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .fetch_one(&mut conn)
        .await?;
    info!(server_version, "connected to the ledger");
    Ok(Ledger { conn, server_version })
}

/// What this session relies on, whatever the role's or the database's defaults are. Only settings that the server has.
///
/// The keepalives end the session of a runner whose node is gone after 10 + 3 × 5 = 25 s. The runner itself gives the
/// lock up, and ends its child, after at most 2 + 10 + 5 = 17 s without an answer (`heartbeat`, `child`), so the next
/// runner can't get the lock while an earlier child is alive.
const SETTINGS: &str = "
SELECT set_config(s.name, v.value, false)
  FROM (VALUES ('statement_timeout', '0'), ('idle_session_timeout', '0'),
               ('idle_in_transaction_session_timeout', '0'), ('lock_timeout', '10s'),
               ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
               ('tcp_user_timeout', '25000')) AS v (name, value)
  JOIN pg_catalog.pg_settings s ON s.name = v.name";

fn read_url(redactor: &mut Redactor) -> Result<PgConnectOptions, Stop> {
    let path = std::env::var_os("ACCORD_LEDGER_URL_FILE")
        .map_or_else(|| PathBuf::from(DEFAULT_URL_FILE), PathBuf::from);
    let wrong = |problem: String| Stop::UrlFile {
        path: path.display().to_string(),
        problem,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("can't be read: {error}")))?;
    redactor.add_url(&text);
    // The parsers' errors name the fault ("invalid port number"), never the text.
    let url = Url::parse(text.trim()).map_err(|error| wrong(format!("isn't a URL: {error}")))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(wrong(format!(
            "has the scheme {:?} instead of postgres",
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) || url.path().len() < 2 {
        return Err(wrong("names no host or no database".to_owned()));
    }
    PgConnectOptions::from_url(&url).map_err(|error| wrong(redactor.redact(&error.to_string())))
}
