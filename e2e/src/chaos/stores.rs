//! One real Postgres for all runs, on loopback, with a database and a role for each: the services' external database.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::control::PLACE;
use crate::exec::{Cmd, find};
use crate::paths;
use crate::process;

const PORT: u16 = 25434;
/// `nobody`: Postgres refuses to run as root.
const NOBODY: u32 = 65534;

/// A Postgres that runs. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Postgres {
    child: Child,
    bin: PathBuf,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        let bin = binaries().context("there is no Postgres on this machine: apt-get install postgresql")?;
        let dir = paths::ensure(&Path::new(PLACE.state).join("postgres"))?;
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY))?;
        let data = dir.join("data");
        let made = Command::new(bin.join("initdb"))
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
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir(&dir)
            .output()?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let log = std::fs::File::create(Path::new(PLACE.state).join("log/postgres.log"))?;
        let (mark, value) = process::mark(Path::new(PLACE.state), "postgres");
        let child = Command::new(bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("port={PORT}"), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", &format!("unix_socket_directories={}", dir.display())])
            .args(["-c", "fsync=off", "-c", "max_connections=200"])
            .env(mark, value)
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("can't start Postgres")?;
        let postgres = Self { child, bin };
        let begun = Instant::now();
        while let Err(error) = postgres.sql("postgres", "SELECT 1") {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(error.context("Postgres doesn't answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(postgres)
    }

    /// A new database with a role that owns it; returns its URI.
    pub(crate) fn lend(&self, name: &str) -> Result<String> {
        let role = format!("CREATE ROLE \"{name}\" LOGIN PASSWORD 'only-for-a-run'");
        self.sql("postgres", &role)?;
        self.sql(
            "postgres",
            &format!("CREATE DATABASE \"{name}\" OWNER \"{name}\""),
        )?;
        Ok(format!(
            "postgres://{name}:only-for-a-run@127.0.0.1:{PORT}/{name}"
        ))
    }

    /// Takes it back.
    pub(crate) fn take_back(&self, name: &str) -> Result<()> {
        self.sql(
            "postgres",
            &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
        )?;
        self.sql("postgres", &format!("DROP ROLE IF EXISTS \"{name}\""))
            .map(drop)
    }

    /// Runs one statement as the superuser.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String> {
        Cmd::new(self.bin.join("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &PORT.to_string(),
                "-U",
                "postgres",
                "-d",
                database,
            ])
            .args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort();
    versions
        .pop()
        .or_else(|| find("initdb").and_then(|p| p.parent().map(Path::to_owned)))
}
