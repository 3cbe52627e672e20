//! The real operator as a process of this machine, kept running as a kubelet would: whenever it ends it is started
//! again, under the same name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::plan::Copied;
use crate::{paths, process};

/// Between two looks at whether it still runs.
const LOOK: Duration = Duration::from_millis(20);
/// A kubelet that meets an end that nobody ordered waits longer.
const BACK_OFF: Duration = Duration::from_secs(1);

/// How it is started.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) program: PathBuf,
    /// The control plane's directory, which marks the process.
    pub(crate) state: PathBuf,
    /// What it looks after.
    pub(crate) namespace: String,
    /// The run's directory: kubeconfig and log.
    pub(crate) dir: PathBuf,
    /// Which of the copies it is.
    pub(crate) number: usize,
    /// What is special about it.
    pub(crate) copy: Copied,
}

impl Setting {
    fn name(&self) -> String {
        format!("accord-operator-{}", self.number)
    }
}

/// A running operator.
#[derive(Debug)]
pub(crate) struct Operator {
    setting: Setting,
    child: Mutex<Child>,
    starts: AtomicUsize,
    kills: AtomicU32,
    deaths: AtomicU32,
    over: AtomicBool,
}

impl Operator {
    /// Starts it, with the API server at an address.
    pub(crate) fn start(setting: Setting, api: &str) -> Result<Arc<Self>> {
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{api}\"}}}}]\n\
             users: [{{name: c, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: c}}}}]\n"
        );
        paths::write(&kubeconfig_of(&setting), kubeconfig)?;
        let child = spawn(&setting, 0)?;
        let operator = Arc::new(Self {
            setting,
            child: Mutex::new(child),
            starts: AtomicUsize::new(1),
            kills: AtomicU32::new(0),
            deaths: AtomicU32::new(0),
            over: AtomicBool::new(false),
        });
        let kept = Arc::clone(&operator);
        std::thread::spawn(move || kept.keep());
        Ok(operator)
    }

    /// Its log.
    pub(crate) fn log(&self) -> PathBuf {
        log_of(&self.setting)
    }

    /// How often it was killed.
    pub(crate) fn kills(&self) -> u32 {
        self.kills.load(Ordering::Relaxed)
    }

    /// How often it ended by itself.
    pub(crate) fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Kills it, and waits until it is gone; another one is there when this returns.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        self.kills.fetch_add(1, Ordering::Relaxed);
        if !self.over.load(Ordering::Relaxed) {
            self.spawn_into(&mut child);
        }
    }

    /// Stops it in the middle of whatever it does, and lets it go on after so long.
    pub(crate) fn pause(self: &Arc<Self>, time: Duration) {
        self.signal(Signal::STOP);
        let paused = Arc::clone(self);
        std::thread::spawn(move || {
            std::thread::sleep(time);
            paused.signal(Signal::CONT);
        });
    }

    /// Ends it for good.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn signal(&self, signal: Signal) {
        // Held, so that nobody waits for it meanwhile and its id stays its own.
        let mut child = self.child();
        let is_alive = matches!(child.try_wait(), Ok(None));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| is_alive) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Starts it again when it ends by itself.
    fn keep(&self) {
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            let mut child = self.child();
            if self.over.load(Ordering::Relaxed) || !matches!(child.try_wait(), Ok(Some(_))) {
                continue;
            }
            self.deaths.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(BACK_OFF);
            self.spawn_into(&mut child);
        }
    }

    fn spawn_into(&self, child: &mut Child) {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        if let Ok(next) = spawn(&self.setting, start) {
            *child = next;
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What moves the clock of a program that asks libc for the time; `None` where it isn't installed.
pub(crate) fn clock_mover() -> Option<PathBuf> {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    libraries
        .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

fn kubeconfig_of(setting: &Setting) -> PathBuf {
    setting.dir.join(format!("kubeconfig-{}", setting.number))
}

fn log_of(setting: &Setting) -> PathBuf {
    setting.dir.join(format!("operator-{}.log", setting.number))
}

/// `start` is how often it was started before.
fn spawn(setting: &Setting, start: usize) -> Result<Child> {
    let log = open(&log_of(setting))?;
    let (mark, value) = process::mark(&setting.state, "operator");
    let mut command = Command::new(&setting.program);
    command
        .env_clear()
        .env(mark, value)
        .env("KUBECONFIG", kubeconfig_of(setting))
        // As a restarted container: its own lease needn't run out.
        .env("POD_NAME", setting.name())
        .env("POD_NAMESPACE", &setting.namespace)
        .env("ACCORD_WATCH_NAMESPACES", &setting.namespace)
        .env("ACCORD_HTTP_ADDR", "127.0.0.1:0")
        .env("RUST_LOG", "info,accord_operator=debug");
    if let Some(lease) = &setting.copy.lease {
        command.env("ACCORD_LEASE_NAME", lease);
    }
    let clocks = &setting.copy.clock;
    if let Some(off) = clocks.get(start).or(clocks.last()) {
        let mover = clock_mover().context("no clock can be moved here: apt-get install faketime")?;
        command
            .env("LD_PRELOAD", mover)
            .env("FAKETIME", format!("{off:+}"))
            // Waiting isn't a matter of the date. Older and newer versions spell it differently.
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("can't start {}", setting.program.display()))
}

fn open(path: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("can't write {}", path.display()))
}
