//! Against a real Postgres with TLS, on loopback: the one of the first test that asks for it, with a database of its
//! own for each.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use accord_plan::outcome::Material;

use super::*;
use crate::material;

/// `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65534;

struct Server {
    process: Child,
    dir: tempfile::TempDir,
    port: u16,
    ca: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The shell ends Postgres once its standard input closes: also when the test is killed.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("accord-db")
            .tempdir_in("/tmp")
            .unwrap();
        give_away(dir.path());
        let data = dir.path().join("data");
        std::fs::write(dir.path().join("password"), "of the superuser").unwrap();
        give_away(&dir.path().join("password"));
        let made = as_nobody(program("initdb"))
            .args([
                "-A",
                "scram-sha-256",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .arg(format!("--pwfile={}", dir.path().join("password").display()))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let ca = certificates(&data);
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let script = r#""$@" </dev/null & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid"#;
        let mut command = as_nobody("sh");
        command
            .args(["-c", script, "sh"])
            .arg(program("postgres"))
            .arg("-D")
            .arg(&data);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", dir.path().display()),
            "fsync=off".into(),
            "ssl=on".into(),
            "log_statement=all".into(),
        ] {
            command.args(["-c", &setting]);
        }
        let process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            dir,
            port,
            ca,
        }
    }

    fn check(&self) -> DatabaseCheck {
        let login = |user: &str| Login {
            user: user.into(),
            password: format!("password of {user}"),
        };
        DatabaseCheck {
            trigger: "a".into(),
            service: "docks/harbour".into(),
            host: "localhost".into(),
            port: self.port,
            database: "cargo".into(),
            ledger: login("accord"),
            managed: Some(ManagedRoles {
                superuser: Login {
                    user: "postgres".into(),
                    password: "of the superuser".into(),
                },
                members: ["app_a", "app_b", "migrate"].into_iter().map(login).collect(),
            }),
            ca_certificate: Some(self.ca.clone()),
            replica: None,
        }
    }

    async fn is_up(&self) {
        let check = self.check();
        let superuser = &check.managed.as_ref().unwrap().superuser;
        for _ in 0..400 {
            if connect(&check, superuser, "postgres").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Postgres on port {} didn't start within 20 s", self.port);
    }
}

/// A missing server fails the tests: skipping them would look like passing.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut places: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    places.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    places.sort();
    let found = places
        .into_iter()
        .rev()
        .map(|place| place.join(name))
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("this test needs a real Postgres with {name}: apt-get install postgresql"))
}

fn as_nobody(program: impl AsRef<std::ffi::OsStr>) -> Command {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/tmp");
    command
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn certificates(data: &Path) -> String {
    let text = |made: &BTreeMap<String, Vec<u8>>, name: &str| String::from_utf8(made[name].clone()).unwrap();
    let ca = material::make(
        &Material::Authority {
            common_name: "harbour".into(),
        },
        None,
    )
    .unwrap();
    let asked = Material::Certificate {
        dns_names: vec!["localhost".into()],
        ca_certificate: text(&ca, "ca.crt"),
        ca_secret: String::new(),
    };
    let made = material::make(&asked, Some(&text(&ca, "ca.key"))).unwrap();
    for (from, to) in [("tls.crt", "server.crt"), ("tls.key", "server.key")] {
        let path = data.join(to);
        std::fs::write(&path, &made[from]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        give_away(&path);
    }
    text(&ca, "ca.crt")
}

async fn texts(conn: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(conn).await.unwrap()
}

/// Every version of every role, database and setting: an idle check must not touch one.
const VERSIONS: &str = "SELECT xmin::text FROM pg_authid UNION ALL SELECT xmin::text FROM pg_database
    UNION ALL SELECT xmin::text FROM pg_auth_members UNION ALL SELECT xmin::text FROM pg_db_role_setting
    UNION ALL SELECT xmin::text FROM pg_namespace UNION ALL SELECT xmin::text FROM pg_class ORDER BY 1";

#[tokio::test]
async fn managed_postgres_is_made_ready_once_and_its_roles_can_do_their_work_and_no_more() {
    let server = Server::start();
    server.is_up().await;
    let check = server.check();
    let managed = check.managed.clone().unwrap();

    let facts = ask(&check).await.unwrap();
    assert!(
        facts.system_identifier.parse::<u64>().is_ok(),
        "{}",
        facts.system_identifier
    );
    assert_eq!((facts.is_empty, facts.ledger.as_deref()), (true, Some(&[][..])));

    // Asked again, it finds everything as it should be.
    let mut admin = connect(&check, &managed.superuser, "cargo").await.unwrap();
    let before = texts(&mut admin, VERSIONS).await;
    assert_eq!(ask(&check).await.unwrap(), facts);
    assert_eq!(
        texts(&mut admin, VERSIONS).await,
        before,
        "an idle check wrote something"
    );

    // What one role makes, another one may change: both act as the owner.
    let mut migrate = connect(&check, &managed.members[2], "cargo").await.unwrap();
    sqlx::raw_sql("CREATE TABLE crates (n int)")
        .execute(&mut migrate)
        .await
        .unwrap();
    let mut app = connect(&check, &managed.members[0], "cargo").await.unwrap();
    sqlx::raw_sql("ALTER TABLE crates ADD COLUMN weight int")
        .execute(&mut app)
        .await
        .unwrap();
    // The ledger is out of their reach.
    assert!(
        sqlx::raw_sql("SELECT * FROM accord.ledger")
            .execute(&mut app)
            .await
            .is_err()
    );
    assert!(
        sqlx::raw_sql("DROP SCHEMA accord CASCADE")
            .execute(&mut app)
            .await
            .is_err()
    );
    // The ledger's role ends what a dead migration left behind, and sees who is connected.
    let mut accord = connect(&check, &check.ledger, "cargo").await.unwrap();
    let ended = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE usename = 'migrate'";
    assert_eq!(texts(&mut accord, ended).await, ["true"]);
    let seen = "SELECT state FROM pg_stat_activity WHERE usename = 'app_a' AND state IS NOT NULL";
    assert_eq!(texts(&mut accord, seen).await.len(), 1);

    // A changed password is put right.
    let mut rotated = check.clone();
    rotated.managed.as_mut().unwrap().members[1].password = "another".into();
    ask(&rotated).await.unwrap();
    let login = &rotated.managed.as_ref().unwrap().members[1];
    assert!(connect(&rotated, login, "cargo").await.is_ok());
    assert!(
        connect(&rotated, &managed.members[1], "cargo").await.is_err(),
        "the old one"
    );

    // The server logged every statement, and no password.
    let log = std::fs::read_to_string(server.dir.path().join("log")).unwrap();
    assert!(
        log.contains("CREATE ROLE") && !log.contains("password of") && !log.contains("another"),
        "{log}"
    );
}

#[tokio::test]
async fn a_server_of_another_authority_and_a_wrong_password_are_refused_without_telling_secrets() {
    let server = Server::start();
    server.is_up().await;
    let mut check = server.check();
    check.managed.as_mut().unwrap().superuser.password = "hunter2".into();
    let refused = ask(&check).await.unwrap_err().to_string();
    assert!(
        refused.contains("password authentication failed") && !refused.contains("hunter2"),
        "{refused}"
    );

    let mut check = server.check();
    let other = material::make(
        &Material::Authority {
            common_name: "pier".into(),
        },
        None,
    )
    .unwrap();
    check.ca_certificate = Some(String::from_utf8(other["ca.crt"].clone()).unwrap());
    let refused = ask(&check).await.unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("certificate"), "{refused}");
}
