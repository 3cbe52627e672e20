//! Background processes that outlive this one: started in a session of their own, recorded, found again after a
//! crash, and ended without ever touching a process that isn't ours.
//!
//! A process is recognised in two ways. Its record holds process id, start time and boot, so that an id that was
//! used again can't be mistaken for it. And its environment carries a mark that nothing else sets, which finds what
//! was started by a run that died before it could write a record, and the children that inherited it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::paths;

/// The variable that marks every process of the cluster; its value is the state directory and the component's name.
const MARK: &str = "ACCORD_EMBEDDED_CLUSTER";

/// A program of the cluster that runs in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    /// Names its record and its log.
    pub(crate) name: &'static str,
    /// The program's path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
}

/// What is known of a process that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    name: String,
    pid: i32,
    /// In clock ticks since boot: field 22 of `/proc/PID/stat`.
    started: u64,
    /// Start times begin anew with each boot, and so does the meaning of a record.
    boot: String,
    program: PathBuf,
}

impl Component {
    /// Where its output goes.
    pub(crate) fn log(&self, state: &Path) -> PathBuf {
        state.join("log").join(format!("{}.log", self.name))
    }

    /// Starts it in a session of its own, with nothing of the caller's open.
    pub(crate) fn start(&self, state: &Path) -> Result<()> {
        let log = self.log(state);
        paths::write(&log, "")?;
        let output = File::options().append(true).open(&log)?;
        // setsid becomes the program itself, so the process id stays.
        let mut child = Command::new("setsid")
            .arg(&self.program)
            .args(&self.args)
            .env(MARK, format!("{}:{}", state.display(), self.name))
            .current_dir(state)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("can't start {}", self.program.display()))?;
        let pid = i32::try_from(child.id())?;
        // Until setsid has become the program, its command line is empty or another's, and it could not be recognised.
        let becoming = Instant::now();
        while command_line(pid).is_none_or(|line| line.starts_with("setsid") || line.is_empty())
            && child.try_wait()?.is_none()
            && becoming.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let Some((started, _)) = stat(pid) else {
            let status = child.wait()?;
            bail!(
                "{} ended as soon as it was started ({status}); its log: {}",
                self.name,
                log.display()
            );
        };
        let record = Record {
            name: self.name.to_owned(),
            pid,
            started,
            boot: boot_id()?,
            program: self.program.clone(),
        };
        paths::write(
            &record_path(state, self.name),
            serde_json::to_vec_pretty(&record)?,
        )
    }

    /// The last lines of its log when it has ended, which it never should by itself.
    pub(crate) fn obituary(&self, state: &Path) -> Option<String> {
        if Record::read(state, self.name).is_some_and(|r| r.is_alive()) {
            return None;
        }
        let log = std::fs::read_to_string(self.log(state)).unwrap_or_default();
        Some(format!(
            "{} has ended. Its last lines ({}):\n{}",
            self.name,
            self.log(state).display(),
            crate::exec::last_lines(&log, 8)
        ))
    }
}

impl Record {
    /// The record of a component, if one was written and can be read.
    pub(crate) fn read(state: &Path, name: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(record_path(state, name)).ok()?).ok()
    }

    /// Every record of the cluster.
    pub(crate) fn all(state: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(state.join("processes")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|e| serde_json::from_slice(&std::fs::read(e.path()).ok()?).ok())
            .collect()
    }

    /// The component's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// True while the very process that was recorded runs.
    pub(crate) fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|b| b == self.boot);
        let same_process =
            stat(self.pid).is_some_and(|(started, state)| started == self.started && state != 'Z');
        same_boot && same_process && self.runs_its_program()
    }

    /// Ends the process and waits until it is gone: asks first, then insists.
    pub(crate) fn stop(&self, patience: Duration) {
        if let Some(handle) = Handle::open(self.pid)
            // The handle pins whatever has this id now: only what is recognised after opening it may be signalled.
            && self.is_alive()
        {
            handle.end(patience);
        }
    }

    fn runs_its_program(&self) -> bool {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        command_line(self.pid).is_some_and(|line| line.split('\0').any(|arg| arg.ends_with(name.as_ref())))
    }
}

/// The mark of a process, for one that is started otherwise than as a [`Component`].
pub(crate) fn mark(state: &Path, name: &str) -> (&'static str, String) {
    (MARK, format!("{}:{name}", state.display()))
}

/// Ends every process that carries the cluster's mark, recorded or not, and says how many there were.
pub(crate) fn end_marked(state: &Path) -> usize {
    let mark = format!("{MARK}={}:", state.display());
    let mut ended = 0;
    // What dies may leave children that were just being made: look again until nothing is found.
    for _ in 0..5 {
        let found: Vec<Handle> = process_ids()
            .into_iter()
            .filter_map(|pid| {
                let handle = Handle::open(pid)?;
                let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
                let marked = environment
                    .split(|b| *b == 0)
                    .any(|v| v.starts_with(mark.as_bytes()));
                marked.then_some(handle)
            })
            .collect();
        if found.is_empty() {
            break;
        }
        ended += found.len();
        for handle in &found {
            handle.end(Duration::ZERO);
        }
    }
    ended
}

/// Ends the processes of these ids at once: the members of a control group that is ours alone.
pub(crate) fn kill_all(pids: &[i32]) {
    for pid in pids {
        if let Some(handle) = Handle::open(*pid) {
            handle.end(Duration::ZERO);
        }
    }
}

/// A process held by a file descriptor: a signal through it can't reach another that got the same id later.
struct Handle(OwnedFd);

impl Handle {
    fn open(pid: i32) -> Option<Self> {
        let own = i32::try_from(std::process::id()).ok();
        if pid <= 1 || own == Some(pid) {
            return None;
        }
        pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty())
            .ok()
            .map(Self)
    }

    fn end(&self, patience: Duration) {
        if !patience.is_zero() {
            let _ = pidfd_send_signal(&self.0, Signal::TERM);
            if self.gone_within(patience) {
                return;
            }
        }
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
        self.gone_within(Duration::from_secs(5));
    }

    fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(timeout) = Timespec::try_from(left) else {
                return false;
            };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

fn record_path(state: &Path, name: &str) -> PathBuf {
    state.join("processes").join(format!("{name}.json"))
}

fn boot_id() -> Result<String> {
    Ok(paths::read(Path::new("/proc/sys/kernel/random/boot_id"))?
        .trim()
        .to_owned())
}

/// Start time and state letter of a process.
fn stat(pid: i32) -> Option<(u64, char)> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may hold blanks and brackets: count from the last bracket.
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(19)?.parse().ok()?, fields.first()?.chars().next()?))
}

fn command_line(pid: i32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

fn process_ids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str) -> PathBuf {
        paths::ensure(&std::env::temp_dir().join(format!("accord-{name}-{}", std::process::id()))).unwrap()
    }

    fn sleeper(name: &'static str) -> Component {
        Component {
            name,
            program: crate::exec::find("sleep").unwrap(),
            args: vec!["60".into()],
        }
    }

    #[test]
    fn a_recorded_process_is_found_alive_and_ended() {
        let state = state("alive");
        sleeper("one").start(&state).unwrap();
        let record = Record::read(&state, "one").unwrap();
        assert!(record.is_alive());
        assert!(sleeper("one").obituary(&state).is_none());
        record.stop(Duration::from_secs(5));
        assert!(!record.is_alive());
        assert!(sleeper("one").obituary(&state).is_some());
        std::fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_process_id_that_was_used_again_is_left_alone() {
        let state = state("recycled");
        sleeper("two").start(&state).unwrap();
        let record = Record::read(&state, "two").unwrap();
        // The same id, another life: other start time, other boot, other program.
        for stranger in [
            Record {
                started: record.started - 1,
                ..record.clone()
            },
            Record {
                boot: "another".into(),
                ..record.clone()
            },
            Record {
                program: "/usr/bin/other".into(),
                ..record.clone()
            },
        ] {
            assert!(!stranger.is_alive());
            stranger.stop(Duration::from_secs(1));
            assert!(
                record.is_alive(),
                "{stranger:?} ended a process that wasn't its own"
            );
        }
        record.stop(Duration::from_secs(5));
        std::fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_process_without_a_record_is_found_by_its_mark() {
        let state = state("marked");
        sleeper("three").start(&state).unwrap();
        let record = Record::read(&state, "three").unwrap();
        std::fs::remove_dir_all(state.join("processes")).unwrap();
        assert!(end_marked(&state) >= 1);
        assert!(!record.is_alive());
        std::fs::remove_dir_all(state).unwrap();
    }
}
