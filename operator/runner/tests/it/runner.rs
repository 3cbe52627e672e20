//! Starts the real binary as a Job would.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;
use crate::postgres::Database;

/// A directory with what a pod would have: the URL file and the termination log.
pub struct Pod {
    dir: tempfile::TempDir,
    database_url: String,
    env: Vec<(String, String)>,
}

/// How a runner ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub termination: serde_json::Value,
}

pub struct Running {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<()>,
    seen: Arc<Mutex<String>>,
    termination: PathBuf,
}

impl Pod {
    pub fn new(database: &Database) -> Self {
        Self::with_url(database, &database.url("accord"))
    }

    pub fn with_url(database: &Database, ledger_url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uri"), format!("{ledger_url}\n")).unwrap();
        fs::write(dir.path().join("termination-log"), "").unwrap();
        Self {
            dir,
            database_url: database.url("migrate"),
            env: Vec::new(),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_accord-runner"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOSTNAME", "orders-migrate-x7k2p")
            .env("ACCORD_LEDGER_URL_FILE", self.path("uri"))
            .env("ACCORD_TERMINATION_LOG", self.path("termination-log"))
            .env("DATABASE_URL", &self.database_url)
            .env("DIR", self.dir.path())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// `run` of a shell script; options before the script.
    pub fn spawn(&self, kind: &str, options: &[&str], script: &str) -> Running {
        let mut command = self.command();
        command
            .args([
                "run",
                "--kind",
                kind,
                "--name",
                "schema",
                "--revision",
                "r1",
                "--service",
                "shop/orders",
            ])
            .args(options)
            .args(["--", "sh", "-ec", script]);
        // One file a runner, where several share a pod.
        let termination = self.path(&format!("termination-{}", uniform()));
        fs::write(&termination, "").unwrap();
        command.env("ACCORD_TERMINATION_LOG", &termination);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        let seen = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&seen);
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        let stderr = std::thread::spawn(move || {
            for line in err.lines() {
                let mut seen = sink.lock().unwrap();
                seen.push_str(&line.unwrap());
                seen.push('\n');
            }
        });
        Running {
            child,
            stdout,
            stderr,
            seen,
            termination,
        }
    }

    pub fn run(&self, kind: &str, options: &[&str], script: &str) -> Ended {
        self.spawn(kind, options, script).wait()
    }

    /// Another subcommand.
    pub fn call(&self, args: &[&str]) -> Ended {
        let output = self.command().args(args).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            termination: serde_json::Value::Null,
        }
    }
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a word in what the runner and its command write to stderr.
    pub fn until_says(&self, word: &str) {
        eventually(word, || self.seen.lock().unwrap().contains(word));
    }

    pub fn wait(mut self) -> Ended {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > Duration::from_secs(40) {
                self.child.kill().unwrap();
                panic!(
                    "the runner didn't end within 40 s; it said:\n{}",
                    self.seen.lock().unwrap()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let stdout = self.stdout.join().unwrap();
        self.stderr.join().unwrap();
        let json = fs::read_to_string(&self.termination).unwrap();
        Ended {
            code: status.code(),
            stdout,
            stderr: self.seen.lock().unwrap().clone(),
            termination: serde_json::from_str(&json).unwrap_or(serde_json::Value::Null),
        }
    }

    /// Waits for the end of a killed runner, without its output: its orphan may hold the pipes.
    pub fn wait_killed(mut self) {
        self.child.wait().unwrap();
    }
}

fn uniform() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
