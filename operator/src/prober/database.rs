//! Anchor D: is a pod connected to the declared database while the canary logs in to it?
//!
//! One short connection for one login, as the role that reads the ledger: it has `pg_read_all_stats`. Where it hasn't,
//! or the server can't be asked, nothing is said.

use std::net::IpAddr;
use std::time::Duration;

use accord_crds::recipe::SessionRow;
use accord_exchange::{Anchors, Watch};
use accord_plan::outcome::{DatabaseCheck, Login};
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

const CONNECT: Duration = Duration::from_secs(3);
/// A pod that keeps no connection shows itself only for the length of a query and a password hash: tens of milliseconds.
const SAMPLE: Duration = Duration::from_millis(20);

/// The declared database.
pub(super) struct Database {
    check: DatabaseCheck,
}

impl Database {
    pub(super) fn new(check: DatabaseCheck) -> Self {
        Self { check }
    }

    pub(super) fn check(&self) -> &DatabaseCheck {
        &self.check
    }

    /// Anchor R: whether a session has its row. Nothing is said where the role may not look, or there is no such table.
    pub(super) async fn has_row(&self, row: &SessionRow, id: &str) -> Option<bool> {
        let check = &self.check;
        let at = (check.host.as_str(), check.port);
        let options = options(check, at, &check.database, &check.ledger)
            .options([
                ("statement_timeout", "5s"),
                ("default_transaction_read_only", "on"),
            ])
            // They would hold the id.
            .disable_statement_logging();
        let look = async {
            let mut conn = PgConnection::connect_with(&options).await.ok()?;
            let query = AssertSqlSafe(exists(row));
            let there = sqlx::query_scalar(query).bind(id).fetch_one(&mut conn).await;
            let _ = conn.close().await;
            there.ok()
        };
        let there = timeout(CONNECT, look).await.ok().flatten();
        if there.is_none() {
            tracing::debug!(
                host = check.host,
                table = row.table,
                "rows of sessions can't be seen"
            );
        }
        there
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let check = &self.check;
        let at = (check.host.as_str(), check.port);
        let options = options(check, at, &check.database, &check.ledger);
        let mut conn = PgConnection::connect_with(&options.options([("statement_timeout", "5s")])).await?;
        // Without it the addresses of other roles' connections read as null, which looks like nobody.
        let sees: bool = sqlx::query_scalar("SELECT pg_has_role('pg_read_all_stats', 'usage')")
            .fetch_one(&mut conn)
            .await?;
        if sees {
            Ok(conn)
        } else {
            Err(sqlx::Error::RowNotFound)
        }
    }
}

impl Anchors for Database {
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        Box::pin(async move {
            if let Ok(Ok(conn)) = timeout(CONNECT, self.connect()).await {
                let database = self.check.database.clone();
                return Some(Box::new(Connections {
                    conn,
                    address,
                    database,
                }) as Box<dyn Watch>);
            }
            // Not the error itself: servers put names of roles in it. The data stores' own check tells it.
            tracing::debug!(host = self.check.host, "connections of pods can't be seen");
            None
        })
    }
}

/// Ids of any type are compared as their text. Names are quoted: they come from the declaration.
fn exists(row: &SessionRow) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let table: Vec<_> = row.table.split('.').map(quoted).collect();
    format!(
        "SELECT EXISTS (SELECT FROM {} WHERE {}::text = $1)",
        table.join("."),
        quoted(&row.column)
    )
}

/// How the prober connects: to the database, or to a replica of it behind the same authority.
pub(super) fn options(
    check: &DatabaseCheck,
    (host, port): (&str, u16),
    database: &str,
    login: &Login,
) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .username(&login.user)
        .password(&login.password)
        .database(database)
        .application_name("accord-prober");
    match &check.ca_certificate {
        Some(pem) => options
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert_from_pem(pem.clone().into_bytes()),
        None => options.ssl_mode(PgSslMode::Prefer),
    }
}

struct Connections {
    conn: PgConnection,
    address: IpAddr,
    database: String,
}

impl Connections {
    async fn there(&mut self) -> Option<bool> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE client_addr = $1::text::inet AND datname = $2 \
             AND pid <> pg_backend_pid())",
        )
        .bind(self.address.to_string())
        .bind(&self.database)
        .fetch_one(&mut self.conn)
        .await
        .ok()
    }
}

impl Watch for Connections {
    fn seen(mut self: Box<Self>, mut until: oneshot::Receiver<()>) -> BoxFuture<'static, Option<bool>> {
        Box::pin(async move {
            let mut last = false;
            let seen = loop {
                match self.there().await {
                    Some(false) if last => break Some(false),
                    Some(false) => {}
                    known => break known,
                }
                // Once more when the login is over: a connection that is kept is still there.
                tokio::select! {
                    _ = &mut until => last = true,
                    () = sleep(SAMPLE) => {}
                }
            };
            let _ = self.conn.close().await;
            seen
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
