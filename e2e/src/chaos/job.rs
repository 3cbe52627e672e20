//! A Job's container, as a process of this machine: the real `accord-runner` with the real command.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::container::Container;
use crate::process;

/// Between two looks at whether it still runs.
const LOOK: Duration = Duration::from_millis(20);

/// A process that runs, or ran. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process(Arc<Mutex<Child>>);

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// What it left as its last words.
    pub(crate) message: String,
}

impl Process {
    /// Starts it; `ended` is called once, when it has ended.
    pub(crate) fn start(
        container: &Container,
        state: &Path,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) -> Result<Self> {
        let (program, args) = container
            .command
            .split_first()
            .context("a Job without a command")?;
        let last_words = container.dir.join("termination-log");
        crate::paths::write(&last_words, "")?;
        let log = std::fs::File::create(container.dir.join("log"))?;
        let (mark, value) = process::mark(state, "job");
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(&container.env)
            .env("ACCORD_TERMINATION_LOG", &last_words)
            .env(mark, value)
            .current_dir(&container.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't start {program}"))?;
        let child = Arc::new(Mutex::new(child));
        let looked_at = Arc::clone(&child);
        std::thread::spawn(move || {
            let code = wait(&looked_at);
            let message = std::fs::read_to_string(last_words).unwrap_or_default();
            ended(Ended { code, message });
        });
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn wait(child: &Mutex<Child>) -> i32 {
    loop {
        let status = child.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
        match status {
            // Without a code it was killed, by a signal that nobody needs to know here.
            Ok(Some(status)) => return status.code().unwrap_or(137),
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => return 137,
        }
    }
}

/// The directory of a pod's files below a run's.
pub(crate) fn dir(run: &Path, pod: &str) -> PathBuf {
    run.join("pods").join(pod)
}
