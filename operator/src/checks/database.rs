//! Asks the database who it is and what its ledger holds. In managed Postgres it first makes sure of roles, database
//! and schemas: every step looks before it writes, so that it can be run again, and an idle check writes nothing.
//!
//! The application's roles act as `owner` (`ALTER ROLE … SET role`): members alone couldn't touch each other's tables.

use std::fmt::Write as _;
use std::time::Duration;

use accord_plan::observed::{DatabaseFacts, LedgerRow};
use accord_plan::outcome::{DatabaseCheck, Login, ManagedRoles};
use accord_runner::ledger;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::time::timeout;

use super::scram;

/// The role that owns the application's database. Nobody logs in as it.
const OWNER: &str = "owner";
/// The role that migrations log in as: the ledger's role ends its left-over sessions.
const MIGRATE: &str = "migrate";
/// The schema of the ledger.
const SCHEMA: &str = "accord";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the database at {at} can't be connected to as {user}: {source}")]
    Connect { at: String, user: String, source: Told },
    #[error("the database at {at} doesn't answer within {} s", CONNECT.as_secs())]
    ConnectTimeout { at: String },
    #[error("could not {step}: {source}")]
    Step { step: &'static str, source: Told },
    #[error("could not {step}: the system gives no random bytes")]
    Random { step: &'static str },
    #[error(
        "the schema {SCHEMA} belongs to {owner:?}, not to {wanted:?}: it holds the ledger, which no other role may write. Drop or rename it"
    )]
    SchemaNotOurs { owner: String, wanted: String },
    #[error("{0}")]
    Ledger(#[from] ledger::Error),
}

/// What sqlx says, in short and without statements.
#[derive(Debug)]
pub(super) struct Told(String);

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Told {}

impl From<sqlx::Error> for Told {
    fn from(error: sqlx::Error) -> Self {
        let text = match &error {
            sqlx::Error::Database(refused) => refused.message().to_owned(),
            sqlx::Error::Io(io) => io.to_string(),
            other => other.to_string(),
        };
        Self(text.chars().take(200).collect())
    }
}

fn at(step: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| Error::Step {
        step,
        source: error.into(),
    }
}

pub(super) async fn ask(check: &DatabaseCheck) -> Result<DatabaseFacts, Error> {
    if let Some(managed) = &check.managed {
        ensure(check, managed).await?;
    }
    let mut conn = connect(check, &check.ledger, &check.database).await?;
    ledger::ensure(&mut conn).await?;
    let rows = ledger::rows(&mut conn, &check.service).await?;
    let facts = DatabaseFacts {
        system_identifier: system_identifier(&mut conn).await,
        is_empty: sqlx::query_scalar(NO_TABLE)
            .fetch_one(&mut conn)
            .await
            .map_err(at("look for tables"))?,
        ledger: Some(rows.into_iter().map(row).collect()),
    };
    let _ = conn.close().await;
    Ok(facts)
}

fn row(row: ledger::Row) -> LedgerRow {
    LedgerRow {
        kind: row.kind.to_string(),
        name: row.name,
        revision: row.revision,
        state: row.state.to_string(),
        exit_code: row.exit_code,
        output_tail: row.output_tail,
    }
}

/// Whether there is a table of the application's.
const NO_TABLE: &str = "SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'accord'))";

/// Empty where the server doesn't let the role ask.
async fn system_identifier(conn: &mut PgConnection) -> String {
    sqlx::query_scalar("SELECT system_identifier::text FROM pg_control_system()")
        .fetch_one(conn)
        .await
        .unwrap_or_default()
}

async fn connect(check: &DatabaseCheck, login: &Login, database: &str) -> Result<PgConnection, Error> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&check.host)
        .port(check.port)
        .username(&login.user)
        .password(&login.password)
        .database(database)
        .application_name("accord-operator")
        .options([("statement_timeout", "20s"), ("lock_timeout", "10s")])
        // Statements hold verifiers of passwords.
        .disable_statement_logging();
    options = match &check.ca_certificate {
        Some(pem) => options
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert_from_pem(pem.clone().into_bytes()),
        None => options.ssl_mode(PgSslMode::Prefer),
    };
    let at = format!("{}:{}", check.host, check.port);
    match timeout(CONNECT, PgConnection::connect_with(&options)).await {
        Ok(Ok(conn)) => Ok(conn),
        Ok(Err(error)) => Err(Error::Connect {
            at,
            user: login.user.clone(),
            source: error.into(),
        }),
        Err(_) => Err(Error::ConnectTimeout { at }),
    }
}

/// Roles, database and schemas of managed Postgres.
async fn ensure(check: &DatabaseCheck, managed: &ManagedRoles) -> Result<(), Error> {
    let mut conn = connect(check, &managed.superuser, "postgres").await?;
    ensure_role(&mut conn, OWNER, None).await?;
    ensure_role(&mut conn, &check.ledger.user, Some(&check.ledger.password)).await?;
    for member in &managed.members {
        ensure_role(&mut conn, &member.user, Some(&member.password)).await?;
        ensure_acts_as_owner(&mut conn, &member.user).await?;
        ensure_member(&mut conn, OWNER, &member.user).await?;
    }
    if managed.members.iter().any(|m| m.user == MIGRATE) {
        ensure_member(&mut conn, MIGRATE, &check.ledger.user).await?;
    }
    ensure_member(&mut conn, "pg_read_all_stats", &check.ledger.user).await?;
    ensure_database(&mut conn, check, managed).await?;
    let _ = conn.close().await;

    let mut conn = connect(check, &managed.superuser, &check.database).await?;
    ensure_schemas(&mut conn, &check.ledger.user).await?;
    let _ = conn.close().await;
    Ok(())
}

/// A role with its password, or one that nobody logs in as. The password is set where the stored verifier is another's.
async fn ensure_role(conn: &mut PgConnection, role: &str, password: Option<&str>) -> Result<(), Error> {
    let step = "make sure of the roles";
    let there = sqlx::query(
        "SELECT rolcanlogin, rolsuper, coalesce(rolpassword, '') FROM pg_authid WHERE rolname = $1",
    )
    .bind(role)
    .fetch_optional(&mut *conn)
    .await
    .map_err(at(step))?;
    let (is_there, can_login, stored) = match &there {
        Some(row) => (
            true,
            row.try_get::<bool, _>(0).map_err(at(step))?,
            row.try_get::<String, _>(2).map_err(at(step))?,
        ),
        None => (false, false, String::new()),
    };
    let mut statement = String::new();
    if !is_there {
        let _ = write!(
            statement,
            "CREATE ROLE {} NOSUPERUSER NOCREATEDB NOCREATEROLE",
            quoted(role)
        );
    }
    if can_login != password.is_some() || !is_there {
        begin(&mut statement, role);
        statement.push_str(if password.is_some() { " LOGIN" } else { " NOLOGIN" });
    }
    if let Some(password) = password
        && !scram::matches(&stored, password)
    {
        begin(&mut statement, role);
        let verifier = scram::verifier(password).ok_or(Error::Random { step })?;
        let _ = write!(statement, " PASSWORD '{verifier}'");
    }
    run(conn, step, statement).await
}

fn begin(statement: &mut String, role: &str) {
    if statement.is_empty() {
        let _ = write!(statement, "ALTER ROLE {}", quoted(role));
    }
}

async fn ensure_acts_as_owner(conn: &mut PgConnection, role: &str) -> Result<(), Error> {
    let step = "make the application's roles act as the owner";
    let is_so: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
          WHERE s.setdatabase = 0 AND r.rolname = $1 AND s.setconfig @> ARRAY['role=' || $2::text])",
    )
    .bind(role)
    .bind(OWNER)
    .fetch_one(&mut *conn)
    .await
    .map_err(at(step))?;
    if is_so {
        return Ok(());
    }
    run(
        conn,
        step,
        format!("ALTER ROLE {} SET role = {}", quoted(role), quoted(OWNER)),
    )
    .await
}

async fn ensure_member(conn: &mut PgConnection, group: &str, member: &str) -> Result<(), Error> {
    let step = "grant the roles";
    // USAGE: the rights of the group without SET ROLE, which ending its sessions asks for. Roles inherit by default.
    let is_so: bool = sqlx::query_scalar("SELECT pg_has_role($1, $2, 'USAGE')")
        .bind(member)
        .bind(group)
        .fetch_one(&mut *conn)
        .await
        .map_err(at(step))?;
    if is_so {
        return Ok(());
    }
    run(
        conn,
        step,
        format!("GRANT {} TO {}", quoted(group), quoted(member)),
    )
    .await
}

/// The database, which belongs to the owner, and which only its own roles may connect to.
async fn ensure_database(
    conn: &mut PgConnection,
    check: &DatabaseCheck,
    managed: &ManagedRoles,
) -> Result<(), Error> {
    let step = "make sure of the database";
    let database = quoted(&check.database);
    let there = sqlx::query(
        "SELECT pg_get_userbyid(datdba)::text AS owner,
                EXISTS (SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0) AS open
           FROM pg_database WHERE datname = $1",
    )
    .bind(&check.database)
    .fetch_optional(&mut *conn)
    .await
    .map_err(at(step))?;
    let (owner, is_open): (String, bool) = if let Some(row) = &there {
        (
            row.try_get("owner").map_err(at(step))?,
            row.try_get("open").map_err(at(step))?,
        )
    } else {
        run(
            conn,
            step,
            format!("CREATE DATABASE {database} OWNER {}", quoted(OWNER)),
        )
        .await?;
        (OWNER.to_owned(), true)
    };
    if owner != OWNER {
        run(
            conn,
            step,
            format!("ALTER DATABASE {database} OWNER TO {}", quoted(OWNER)),
        )
        .await?;
    }
    if is_open {
        run(
            conn,
            step,
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
        )
        .await?;
    }
    let roles = managed
        .members
        .iter()
        .map(|m| m.user.as_str())
        .chain([check.ledger.user.as_str()]);
    for role in roles {
        let may: bool = sqlx::query_scalar("SELECT has_database_privilege($1, $2, 'CONNECT')")
            .bind(role)
            .bind(&check.database)
            .fetch_one(&mut *conn)
            .await
            .map_err(at(step))?;
        if !may {
            run(
                conn,
                step,
                format!(
                    "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}",
                    quoted(role)
                ),
            )
            .await?;
        }
    }
    Ok(())
}

/// `public` belongs to the owner, the ledger's schema to the ledger's role.
async fn ensure_schemas(conn: &mut PgConnection, ledger_role: &str) -> Result<(), Error> {
    let step = "make sure of the schemas";
    let owner_of = async |conn: &mut PgConnection, schema: &str| -> Result<Option<String>, Error> {
        sqlx::query_scalar("SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1")
            .bind(schema.to_owned())
            .fetch_optional(conn)
            .await
            .map_err(at(step))
    };
    match owner_of(conn, "public").await?.as_deref() {
        // A restored backup may have dropped it on purpose.
        Some(OWNER) | None => {}
        Some(_) => {
            run(
                conn,
                step,
                format!("ALTER SCHEMA public OWNER TO {}", quoted(OWNER)),
            )
            .await?;
            run(
                conn,
                step,
                "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
            )
            .await?;
        }
    }
    match owner_of(conn, SCHEMA).await? {
        Some(owner) if owner == ledger_role => Ok(()),
        Some(owner) => Err(Error::SchemaNotOurs {
            owner,
            wanted: ledger_role.to_owned(),
        }),
        None => {
            run(
                conn,
                step,
                format!("CREATE SCHEMA {SCHEMA} AUTHORIZATION {}", quoted(ledger_role)),
            )
            .await?;
            run(conn, step, format!("REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC")).await
        }
    }
}

/// Runs a statement made of quoted names and verifiers only; an empty one is nothing to do.
async fn run(conn: &mut PgConnection, step: &'static str, statement: String) -> Result<(), Error> {
    if statement.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(conn)
        .await
        .map(drop)
        .map_err(at(step))
}

/// A name as an identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
