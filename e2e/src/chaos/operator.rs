//! The real operator as a process of this machine, kept running as a kubelet would: whenever it ends it is started
//! again, under the same name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::paths;
use crate::process;

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
    /// Its own directory: kubeconfig and log.
    pub(crate) dir: PathBuf,
}

/// A running operator.
#[derive(Debug)]
pub(crate) struct Operator {
    setting: Setting,
    child: Mutex<Child>,
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
        paths::write(&setting.dir.join("kubeconfig"), kubeconfig)?;
        let child = spawn(&setting)?;
        let operator = Arc::new(Self {
            setting,
            child: Mutex::new(child),
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
        self.setting.dir.join("operator.log")
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
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        self.kills.fetch_add(1, Ordering::Relaxed);
        if !self.over.load(Ordering::Relaxed)
            && let Ok(next) = spawn(&self.setting)
        {
            *child = next;
        }
    }

    /// Ends it for good.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Starts it again when it ends by itself.
    fn keep(&self) {
        while !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            if self.over.load(Ordering::Relaxed) || !matches!(child.try_wait(), Ok(Some(_))) {
                continue;
            }
            self.deaths.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(BACK_OFF);
            if let Ok(next) = spawn(&self.setting) {
                *child = next;
            }
        }
    }
}

fn spawn(setting: &Setting) -> Result<Child> {
    let log = open(&setting.dir.join("operator.log"))?;
    let (mark, value) = process::mark(&setting.state, "operator");
    Command::new(&setting.program)
        .env_clear()
        .env(mark, value)
        .env("KUBECONFIG", setting.dir.join("kubeconfig"))
        // As a restarted container: its own lease needn't run out.
        .env("POD_NAME", "accord-operator-0")
        .env("POD_NAMESPACE", &setting.namespace)
        .env("ACCORD_WATCH_NAMESPACES", &setting.namespace)
        .env("ACCORD_HTTP_ADDR", "127.0.0.1:0")
        .env("RUST_LOG", "info,accord_operator=debug")
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
