//! Anchor D against a real Postgres on loopback. Every connection comes from one address here, so databases and roles
//! tell them apart.

use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use accord_plan::outcome::Login;

use super::*;

/// `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65534;

/// A throw-away server.
pub(in crate::prober) struct Server {
    process: Child,
    pub(in crate::prober) port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Kills the postmaster; its children end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binaries() -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("Postgres: apt-get install postgresql")
        .filter_map(|e| Some(e.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions
        .pop()
        .expect("Postgres with initdb: apt-get install postgresql")
}

fn as_nobody(program: &Path) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(program);
    if std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Server {
    pub(in crate::prober) async fn start() -> Self {
        let mut initdb = as_nobody(&binaries().join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--pgdata"]);
        Self::on(initdb, &[]).await
    }

    /// A streaming replica, which applies what it gets after a delay.
    pub(in crate::prober) async fn standby(&self, delay: &str) -> Self {
        let mut copy = as_nobody(&binaries().join("pg_basebackup"));
        copy.args(["--no-sync", "--write-recovery-conf", "--checkpoint=fast"])
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
                "-D",
            ]);
        Self::on(copy, &["-c", &format!("recovery_min_apply_delay={delay}")]).await
    }

    /// On the directory that `fill` makes; its path is the command's last argument.
    async fn on(mut fill: Command, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let _ = chown(dir.path(), Some(NOBODY), Some(NOBODY));
        let data = dir.path().join("data");
        assert!(fill.arg(&data).status().unwrap().success());
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let process = as_nobody(&binaries().join("postgres"))
            .args([
                "-c",
                "fsync=off",
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args(settings)
            .args(["-p", &port.to_string(), "-D"])
            .arg(&data)
            .spawn()
            .unwrap();
        let server = Self {
            process,
            port,
            _dir: dir,
        };
        let up = async {
            while server.connect("postgres", "postgres").await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_mins(1), up)
            .await
            .expect("Postgres is up within a minute");
        server
    }

    pub(in crate::prober) async fn connect(
        &self,
        user: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(user)
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await
    }

    fn database(&self, role: &str) -> Database {
        let ledger = Login {
            user: role.into(),
            password: "unused".into(),
        };
        Database::new(DatabaseCheck {
            port: self.port,
            ledger,
            ..Self::nowhere()
        })
    }
}

/// Watches for a login that takes a fifth of a second.
async fn seen_during_a_login(database: &Database) -> Option<bool> {
    seen_of(database, Ipv4Addr::LOCALHOST).await
}

/// The same, of the pod with this address.
async fn seen_of(database: &Database, address: Ipv4Addr) -> Option<bool> {
    let watch = database.watch(address.into()).await?;
    let (done, until) = oneshot::channel();
    let login = async {
        sleep(Duration::from_millis(200)).await;
        drop(done);
    };
    tokio::join!(login, watch.seen(until)).1
}

#[tokio::test]
async fn a_pod_is_seen_by_its_connection_to_the_declared_database_only() {
    let server = Server::start().await;
    let mut admin = server.connect("postgres", "postgres").await.unwrap();
    for statement in [
        "CREATE ROLE reader LOGIN",
        "CREATE ROLE blind LOGIN",
        "CREATE ROLE app LOGIN",
        "GRANT pg_read_all_stats TO reader",
        "CREATE DATABASE portal",
        "CREATE DATABASE other",
    ] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    let database = server.database("reader");
    assert_eq!(
        seen_during_a_login(&database).await,
        Some(false),
        "nobody is connected, the watch itself aside"
    );

    let elsewhere = server.connect("app", "other").await.unwrap();
    assert_eq!(
        seen_during_a_login(&database).await,
        Some(false),
        "connected to another database"
    );
    drop(elsewhere);

    let here = server.connect("app", "portal").await.unwrap();
    assert_eq!(seen_during_a_login(&database).await, Some(true));
    assert_eq!(
        seen_of(&database, Ipv4Addr::new(192, 0, 2, 1)).await,
        Some(false),
        "connected is another pod"
    );
    assert_eq!(
        seen_during_a_login(&server.database("blind")).await,
        None,
        "a role that may not look says nothing"
    );
    drop(here);

    // A connection of tens of milliseconds in the middle of the login, as without persistent connections.
    let brief = async {
        sleep(Duration::from_millis(80)).await;
        let app = server.connect("app", "portal").await.unwrap();
        sleep(Duration::from_millis(60)).await;
        app.close().await.unwrap();
    };
    assert_eq!(tokio::join!(seen_during_a_login(&database), brief).0, Some(true));
}

#[tokio::test]
async fn a_session_has_its_row_or_it_has_none_or_nobody_may_look() {
    let server = Server::start().await;
    let mut admin = server.connect("postgres", "postgres").await.unwrap();
    for statement in ["CREATE ROLE reader LOGIN", "CREATE DATABASE portal"] {
        sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    }
    let mut portal = server.connect("postgres", "portal").await.unwrap();
    for statement in [
        "CREATE SCHEMA \"Auth\"",
        "CREATE TABLE \"Auth\".sessions (id uuid PRIMARY KEY, data text)",
        "CREATE TABLE closed (id text)",
        "INSERT INTO \"Auth\".sessions VALUES ('5f0f2c1e-0d0a-4c6f-9d5e-3a2b1c0d9e8f', 'x')",
        "GRANT USAGE ON SCHEMA \"Auth\" TO reader",
        "GRANT SELECT (id) ON \"Auth\".sessions TO reader",
    ] {
        sqlx::raw_sql(statement).execute(&mut portal).await.unwrap();
    }
    let database = server.database("reader");
    let row = |table: &str| SessionRow {
        table: table.into(),
        column: "id".into(),
    };
    let (known, id) = (row("Auth.sessions"), "5f0f2c1e-0d0a-4c6f-9d5e-3a2b1c0d9e8f");
    assert_eq!(database.has_row(&known, id).await, Some(true));
    assert_eq!(
        database.has_row(&known, "another").await,
        Some(false),
        "no error, whatever the id looks like"
    );
    assert_eq!(database.has_row(&row("closed"), id).await, None);
    assert_eq!(database.has_row(&row("nowhere"), id).await, None);
}

#[tokio::test]
async fn a_database_that_does_not_answer_says_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let database = Database::new(DatabaseCheck {
        port: closed,
        ..Server::nowhere()
    });
    assert_eq!(seen_during_a_login(&database).await, None);
}

impl Server {
    pub(in crate::prober) fn nowhere() -> DatabaseCheck {
        DatabaseCheck {
            trigger: String::new(),
            service: "ns/portal".into(),
            host: "127.0.0.1".into(),
            port: 1,
            database: "portal".into(),
            ledger: Login {
                user: "reader".into(),
                password: "unused".into(),
            },
            managed: None,
            ca_certificate: None,
            replica: None,
        }
    }
}
