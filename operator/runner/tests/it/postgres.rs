//! A real Postgres and a real PgBouncer on loopback, one server for all tests and one database for each.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::eventually;

/// `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65534;

/// A process that ends with the test: also when the test is killed, since its standard input closes then.
struct Service(Child);

impl Service {
    fn start(command: &[String]) -> Self {
        let script = r#""$@" </dev/null & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid"#;
        let mut whole = as_nobody("sh");
        whole.args(["-c", script, "sh"]).args(command);
        Self(
            whole
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

pub struct Server {
    service: Option<Service>,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Before its directory goes.
        self.service.take();
    }
}

impl Server {
    /// The server of this test run; it ends with the last test that holds it.
    pub async fn get() -> Arc<Self> {
        static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let (server, fresh) = {
            let mut slot = SERVER.lock().unwrap();
            if let Some(server) = slot.upgrade() {
                (server, false)
            } else {
                let server = Arc::new(Self::start());
                *slot = Arc::downgrade(&server);
                (server, true)
            }
        };
        if fresh {
            let mut admin = server.admin("postgres").await;
            sqlx::raw_sql(
                "CREATE ROLE owner NOLOGIN;
                 CREATE ROLE migrate LOGIN; GRANT owner TO migrate; ALTER ROLE migrate SET role = owner;
                 CREATE ROLE app_a LOGIN; GRANT owner TO app_a; ALTER ROLE app_a SET role = owner;
                 CREATE ROLE accord LOGIN; GRANT migrate TO accord;
                 CREATE TABLE roles_are_there ();",
            )
            .execute(&mut admin)
            .await
            .unwrap();
        } else {
            let mut admin = server.admin("postgres").await;
            loop {
                let there: bool = sqlx::query_scalar("SELECT to_regclass('roles_are_there') IS NOT NULL")
                    .fetch_one(&mut admin)
                    .await
                    .unwrap();
                if there {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        server
    }

    fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("accord-pg")
            .tempdir_in("/tmp")
            .unwrap();
        give_away(dir.path());
        let data = dir.path().join("data");
        let bin = binaries();
        let made = as_nobody(bin.join("initdb"))
            .args([
                "-A",
                "trust",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let authority = certificates(&data);
        fs::write(dir.path().join("ca.crt"), authority).unwrap();
        let port = free_port();
        let mut command = vec![
            bin.join("postgres").display().to_string(),
            "-D".into(),
            data.display().to_string(),
        ];
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", dir.path().display()),
            "max_connections=200".into(),
            "fsync=off".into(),
            "ssl=on".into(),
        ] {
            command.extend(["-c".into(), setting]);
        }
        Self {
            service: Some(Service::start(&command)),
            dir,
            port,
        }
    }

    /// A superuser's connection; the server may still be starting.
    async fn admin(&self, database: &str) -> PgConnection {
        let url = self.url("postgres", database);
        for _ in 0..400 {
            if let Ok(connection) = PgConnection::connect(&url).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Postgres on port {} didn't start within 20 s", self.port);
    }

    fn url(&self, role: &str, database: &str) -> String {
        format!(
            "postgres://{role}:pw-of-{role}@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }
}

/// A database as the operator makes it.
pub struct Database {
    server: Arc<Server>,
    pub name: String,
    pub admin: PgConnection,
}

impl Database {
    pub async fn new() -> Self {
        let mut database = Self::announced().await;
        database.create().await;
        database
    }

    /// A name without a database yet.
    pub async fn announced() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = Server::get().await;
        let name = format!("orders_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = server.admin("postgres").await;
        Self { server, name, admin }
    }

    pub async fn create(&mut self) {
        let sql = format!("CREATE DATABASE {} OWNER owner", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&mut self.admin)
            .await
            .unwrap();
        self.admin = self.server.admin(&self.name).await;
        self.execute("CREATE SCHEMA accord AUTHORIZATION accord; CREATE TABLE effects (what text); ALTER TABLE effects OWNER TO owner").await;
    }

    pub fn url(&self, role: &str) -> String {
        self.server.url(role, &self.name)
    }

    /// Verified TLS to the name `host`, as the operator writes it.
    pub fn tls_url(&self, role: &str, host: &str) -> String {
        let authority = self.server.dir.path().join("ca.crt");
        self.url(role).replace("127.0.0.1", host).replace(
            "sslmode=disable",
            &format!("sslmode=verify-full&sslrootcert={}", authority.display()),
        )
    }

    pub async fn connect(&self, role: &str) -> PgConnection {
        PgConnection::connect(&self.url(role)).await.unwrap()
    }

    pub async fn execute(&mut self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.admin).await.unwrap();
    }

    /// The only column of the only row, as text.
    pub async fn text(&mut self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(&mut self.admin).await.unwrap()
    }

    pub async fn count(&mut self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.admin).await.unwrap()
    }

    /// `state/attempt/exit_code` of every row of the ledger.
    pub async fn ledger(&mut self) -> Vec<String> {
        sqlx::query_scalar("SELECT format('%s/%s/%s', state, attempt, exit_code) FROM accord.ledger ORDER BY kind, name, revision")
            .fetch_all(&mut self.admin)
            .await
            .unwrap()
    }

    /// Waits until the query counts at least one.
    pub async fn until(&mut self, what: &str, sql: &'static str) {
        for _ in 0..600 {
            if self.count(sql).await > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("within 15 s: {what}");
    }
}

/// PgBouncer before a database.
pub struct Bouncer {
    service: Option<Service>,
    _dir: tempfile::TempDir,
    port: u16,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        self.service.take();
    }
}

impl Bouncer {
    pub fn start(database: &Database, extra: &str) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let program = program.expect("these tests need a real PgBouncer: apt-get install pgbouncer");
        let dir = tempfile::Builder::new()
            .prefix("accord-pgb")
            .tempdir_in("/tmp")
            .unwrap();
        let port = free_port();
        let config = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir=\nauth_type=any\n{extra}\n",
            database.server.port
        )
        .replace("* = host=127.0.0.1", &format!("{} = user=accord host=127.0.0.1", database.name));
        fs::write(&config, text).unwrap();
        give_away(dir.path());
        let service = Service::start(&[program.into(), "-q".into(), config.display().to_string()]);
        eventually("PgBouncer listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            service: Some(service),
            _dir: dir,
            port,
        }
    }

    pub fn url(&self, database: &Database) -> String {
        format!(
            "postgres://accord:pw-of-accord@127.0.0.1:{}/{}?sslmode=disable",
            self.port, database.name
        )
    }
}

/// A server certificate for `localhost` in the data directory; returns its authority's certificate.
fn certificates(data: &Path) -> String {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    for (name, text) in [
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        let path = data.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give_away(&path);
    }
    authority
}

fn as_nobody(program: impl AsRef<Path>) -> Command {
    if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            &format!("--reuid={NOBODY}"),
            &format!("--regid={NOBODY}"),
            "--clear-groups",
            "--",
        ]);
        command.arg(program.as_ref()).current_dir("/");
        command
    } else {
        Command::new(program.as_ref())
    }
}

fn give_away(dir: &Path) {
    if rustix::process::getuid().is_root() {
        chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The newest server's programs. A missing server fails the tests: skipping them would look like passing.
fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr/pgsql"]
        .into_iter()
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    found.sort();
    found
        .pop()
        .expect("these tests need a real Postgres: apt-get install postgresql")
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
