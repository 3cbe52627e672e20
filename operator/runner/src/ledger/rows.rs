//! Queries over `accord.ledger`, one function a transition.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::{Error, Key, Row, State, lock};

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// `Succeeded`, `Failed` or `Interrupted`.
    pub state: State,
    /// The command's exit code, where it had one.
    pub exit_code: Option<i32>,
    /// Its last lines, redacted, at most [`super::TAIL_BYTES`].
    pub output_tail: &'a str,
}

const SELECT: &str = "SELECT service, kind, name, revision, state, attempt,
        (extract(epoch FROM started_at) * 1000000)::bigint AS started_at,
        (extract(epoch FROM finished_at) * 1000000)::bigint AS finished_at,
        exit_code, output_tail, runner
   FROM accord.ledger
  WHERE service = $1 AND ($2::text IS NULL OR (kind = $2 AND name = $3 AND revision = $4))
  ORDER BY started_at, kind, name, revision";

/// The row of one revision.
pub async fn get(conn: &mut PgConnection, key: &Key<'_>) -> Result<Option<Row>, Error> {
    let row = sqlx::query(SELECT)
        .bind(key.service)
        .bind(key.kind.as_str())
        .bind(key.name)
        .bind(key.revision)
        .fetch_optional(conn)
        .await
        .map_err(Error::at(READ))?;
    row.as_ref().map(decode).transpose()
}

/// All rows of a service, oldest first.
pub async fn rows(conn: &mut PgConnection, service: &str) -> Result<Vec<Row>, Error> {
    let none: Option<&str> = None;
    let rows = sqlx::query(SELECT)
        .bind(service)
        .bind(none)
        .bind(none)
        .bind(none)
        .fetch_all(conn)
        .await
        .map_err(Error::at(READ))?;
    rows.iter().map(decode).collect()
}

/// Records that an attempt begins, and returns its number. Commits before it returns; the lock must be held.
pub async fn start(conn: &mut PgConnection, key: &Key<'_>, runner: &str) -> Result<i32, Error> {
    let attempt = sqlx::query_scalar(
        "INSERT INTO accord.ledger AS l (service, kind, name, revision, state, attempt, started_at, runner)
         VALUES ($1, $2, $3, $4, 'started', 1, now(), $5)
         ON CONFLICT (service, kind, name, revision) DO UPDATE
            SET state = 'started', attempt = l.attempt + 1, started_at = now(), finished_at = NULL,
                exit_code = NULL, output_tail = '', runner = excluded.runner
          WHERE l.state IN ('failed', 'interrupted')
         RETURNING attempt",
    )
    .bind(key.service)
    .bind(key.kind.as_str())
    .bind(key.name)
    .bind(key.revision)
    .bind(runner)
    .fetch_optional(&mut *conn)
    .await
    .map_err(Error::at("record the start in the ledger"))?;
    match attempt {
        Some(attempt) => Ok(attempt),
        None => Err(wrong_state(conn, key, "started").await),
    }
}

/// Records how an attempt ended, only while this session holds the lock: the check is part of the statement.
pub async fn finish(
    conn: &mut PgConnection,
    key: &Key<'_>,
    attempt: i32,
    outcome: &Outcome<'_>,
) -> Result<(), Error> {
    let done = sqlx::query(
        "UPDATE accord.ledger
            SET state = $6, finished_at = now(), exit_code = $7, output_tail = $8
          WHERE service = $1 AND kind = $2 AND name = $3 AND revision = $4 AND state = 'started' AND attempt = $5
            AND EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
                           AND pid = pg_backend_pid() AND (classid::bigint << 32) | objid::bigint = $9)",
    )
    .bind(key.service)
    .bind(key.kind.as_str())
    .bind(key.name)
    .bind(key.revision)
    .bind(attempt)
    .bind(outcome.state.as_str())
    .bind(outcome.exit_code)
    .bind(outcome.output_tail)
    .bind(lock::key(key.service))
    .execute(&mut *conn)
    .await
    .map_err(Error::at("record the outcome in the ledger"))?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    if lock::is_held(conn, key.service).await? {
        return Err(wrong_state(conn, key, "finished").await);
    }
    Err(Error::LockNotHeld)
}

/// Records that a `started` row's runner is dead. The caller holds the lock, which is what proves it.
pub async fn interrupt(conn: &mut PgConnection, key: &Key<'_>) -> Result<(), Error> {
    transition(
        conn,
        key,
        &[State::Started],
        State::Interrupted,
        "",
        "marked as interrupted",
    )
    .await
}

/// A person's decision over an interrupted run: run it again (`failed`), or count it as done (`baseline`).
/// The caller holds the lock.
pub async fn release(conn: &mut PgConnection, key: &Key<'_>, done: bool, note: &str) -> Result<(), Error> {
    let to = if done { State::Baseline } else { State::Failed };
    transition(
        conn,
        key,
        &[State::Started, State::Interrupted],
        to,
        note,
        "released",
    )
    .await
}

/// Records that a revision is there already without ever having been run by Accord. Leaves an existing row alone, and
/// says whether it wrote one.
pub async fn baseline(conn: &mut PgConnection, key: &Key<'_>, runner: &str) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO accord.ledger (service, kind, name, revision, state, attempt, started_at, finished_at, runner)
         VALUES ($1, $2, $3, $4, 'baseline', 0, now(), now(), $5) ON CONFLICT DO NOTHING",
    )
    .bind(key.service)
    .bind(key.kind.as_str())
    .bind(key.name)
    .bind(key.revision)
    .bind(runner)
    .execute(conn)
    .await
    .map_err(Error::at("record the baseline in the ledger"))?;
    Ok(done.rows_affected() == 1)
}

const READ: &str = "read the ledger";

async fn transition(
    conn: &mut PgConnection,
    key: &Key<'_>,
    from: &[State],
    to: State,
    note: &str,
    step: &'static str,
) -> Result<(), Error> {
    let from: Vec<&str> = from.iter().map(|state| state.as_str()).collect();
    let done = sqlx::query(
        "UPDATE accord.ledger
            SET state = $6, finished_at = coalesce(finished_at, now()),
                output_tail = CASE WHEN $7 = '' THEN output_tail ELSE $7 END
          WHERE service = $1 AND kind = $2 AND name = $3 AND revision = $4 AND state = ANY ($5)",
    )
    .bind(key.service)
    .bind(key.kind.as_str())
    .bind(key.name)
    .bind(key.revision)
    .bind(from)
    .bind(to.as_str())
    .bind(note)
    .execute(&mut *conn)
    .await
    .map_err(Error::at("change the ledger's row"))?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(wrong_state(conn, key, step).await)
    }
}

async fn wrong_state(conn: &mut PgConnection, key: &Key<'_>, step: &'static str) -> Error {
    match get(conn, key).await {
        Ok(row) => {
            let state = row.map_or("none", |row| row.state.as_str()).to_owned();
            Error::WrongState { step, state }
        }
        Err(error) => error,
    }
}

fn decode(row: &PgRow) -> Result<Row, Error> {
    let kind: String = column(row, "kind")?;
    let state: String = column(row, "state")?;
    let finished_at: Option<i64> = column(row, "finished_at")?;
    Ok(Row {
        service: column(row, "service")?,
        kind: kind.parse()?,
        name: column(row, "name")?,
        revision: column(row, "revision")?,
        state: state.parse()?,
        attempt: column(row, "attempt")?,
        started_at: timestamp(column(row, "started_at")?)?,
        finished_at: finished_at.map(timestamp).transpose()?,
        exit_code: column(row, "exit_code")?,
        output_tail: column(row, "output_tail")?,
        runner: column(row, "runner")?,
    })
}

fn column<'r, T>(row: &'r PgRow, name: &'static str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(Error::at(READ))
}

fn timestamp(micros: i64) -> Result<jiff::Timestamp, Error> {
    jiff::Timestamp::from_microsecond(micros).map_err(|_| Error::Unknown {
        column: "started_at or finished_at",
        value: micros.to_string(),
    })
}
