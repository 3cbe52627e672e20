//! Makes the ledger's schema where it is missing. May touch the schema `accord` only.

use sqlx::{Connection, PgConnection, Row as _};

use super::Error;

/// The tables. Every statement may be run again; later versions append, they never rewrite.
pub const DDL: &str = "
CREATE TABLE IF NOT EXISTS accord.ledger (
    service     text        NOT NULL CHECK (service <> ''),
    kind        text        NOT NULL CHECK (kind IN ('migration', 'seed')),
    name        text        NOT NULL CHECK (name <> ''),
    revision    text        NOT NULL CHECK (revision <> ''),
    state       text        NOT NULL CHECK (state IN ('started', 'succeeded', 'failed', 'interrupted', 'baseline')),
    attempt     integer     NOT NULL CHECK (attempt >= 0),
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    exit_code   integer,
    output_tail text        NOT NULL DEFAULT '' CHECK (octet_length(output_tail) <= 2048),
    runner      text        NOT NULL DEFAULT '',
    PRIMARY KEY (service, kind, name, revision)
);
CREATE TABLE IF NOT EXISTS accord.identity (
    service     text        NOT NULL CHECK (service <> ''),
    key         text        NOT NULL CHECK (key <> ''),
    value       text        NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service, key)
);
REVOKE ALL ON ALL TABLES IN SCHEMA accord FROM PUBLIC;
REVOKE ALL ON SCHEMA accord FROM PUBLIC;
";

/// Serialises the DDL of runners and operator: `CREATE … IF NOT EXISTS` alone fails when two race.
const DDL_LOCK: i64 = 0x6163_636f_7264_0001;

/// Makes schema and tables where they are missing, as the connected role, and refuses those of another role.
///
/// Idle cost: one catalogue query; no DDL, and no lock, where everything is there.
pub async fn ensure(conn: &mut PgConnection) -> Result<(), Error> {
    if inspect(conn).await? == Found::All {
        return Ok(());
    }
    let step = "make the schema accord";
    let mut tx = conn.begin().await.map_err(Error::at(step))?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(DDL_LOCK)
        .execute(&mut *tx)
        .await
        .map_err(Error::at(step))?;
    match inspect(&mut tx).await? {
        Found::All => return Ok(()),
        Found::Schema => {}
        // Not `IF NOT EXISTS`: that asks for CREATE on the database even where the schema exists.
        Found::Nothing => {
            sqlx::raw_sql("CREATE SCHEMA accord")
                .execute(&mut *tx)
                .await
                .map_err(Error::at(step))?;
        }
    }
    sqlx::raw_sql(DDL)
        .execute(&mut *tx)
        .await
        .map_err(Error::at(step))?;
    tx.commit().await.map_err(Error::at(step))
}

#[derive(PartialEq)]
enum Found {
    Nothing,
    Schema,
    All,
}

/// Who owns what. A schema that another role made first is refused: its owner could rewrite the ledger.
async fn inspect(conn: &mut PgConnection) -> Result<Found, Error> {
    let step = "look for the schema accord";
    let row = sqlx::query(
        "SELECT current_user::text AS me,
                (SELECT pg_get_userbyid(nspowner)::text FROM pg_catalog.pg_namespace WHERE nspname = 'accord') AS schema,
                (SELECT pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class
                  WHERE relname = 'ledger' AND relnamespace = to_regnamespace('accord')) AS ledger,
                (SELECT pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class
                  WHERE relname = 'identity' AND relnamespace = to_regnamespace('accord')) AS identity",
    )
    .fetch_one(conn)
    .await
    .map_err(Error::at(step))?;
    let me: String = row.try_get("me").map_err(Error::at(step))?;
    let mut there = [false; 3];
    for (index, (column, object)) in [
        ("schema", "SCHEMA accord"),
        ("ledger", "TABLE accord.ledger"),
        ("identity", "TABLE accord.identity"),
    ]
    .into_iter()
    .enumerate()
    {
        let owner: Option<String> = row.try_get(column).map_err(Error::at(step))?;
        if let Some(owner) = owner {
            if owner != me {
                return Err(Error::NotOurs { object, owner, me });
            }
            there[index] = true;
        }
    }
    Ok(match there {
        [true, true, true] => Found::All,
        [true, ..] => Found::Schema,
        _ => Found::Nothing,
    })
}
