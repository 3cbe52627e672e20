//! The command: its process group, its output, its end.
//!
//! The runner is PID 1 of the container. It reaps whatever is handed to it, and when it is killed itself the kernel ends
//! every process of the container with it; outside a container, a command whose runner was killed lives on, and the
//! next run ends its sessions in the database (`sessions`). A parent-death signal would need unsafe code, and would add
//! nothing inside a container.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::redact::Redactor;
use crate::tail::{Tail, first_bytes};

/// From SIGTERM to SIGKILL once the lock is lost; part of the sum in `connect::SETTINGS`.
pub(crate) const LOST_LOCK_GRACE: Duration = Duration::from_secs(5);

/// A longer line is printed cut: nobody reads it, and the memory is bounded.
const LINE: usize = 64 * 1024;
const PRINTED: usize = 16 * 1024;

/// How long output may come after the command's end, from a process that left its group.
const DRAIN: Duration = Duration::from_secs(2);

/// A running command.
pub(crate) struct Child {
    group: Pid,
    exit: oneshot::Receiver<i32>,
    ended: Option<i32>,
    output: JoinSet<()>,
    reaper: JoinHandle<()>,
    tail: Arc<Mutex<Tail>>,
}

impl Child {
    /// Starts the command in a process group of its own, without standard input.
    pub(crate) fn spawn(mut command: Command, redactor: &Arc<Redactor>) -> io::Result<Self> {
        // Before the command starts, so that no end of it is missed.
        let signals = signal(SignalKind::child())?;
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Pid::from_child(&child);
        let (sender, exit) = oneshot::channel();
        // `child` isn't waited for by its handle: the reaper waits for all, and two waiters would steal from each other.
        let reaper = tokio::spawn(reap(signals, group, sender));
        let mut this = Self {
            group,
            exit,
            ended: None,
            output: JoinSet::new(),
            reaper,
            tail: Arc::default(),
        };
        if let Some(stdout) = child.stdout.take() {
            this.forward(stdout, io::stdout(), redactor);
        }
        if let Some(stderr) = child.stderr.take() {
            this.forward(stderr, io::stderr(), redactor);
        }
        Ok(this)
    }

    /// The command's process id, which is its group's too.
    pub(crate) fn pid(&self) -> i32 {
        self.group.as_raw_pid()
    }

    /// Waits for the end: the exit code, or 128 + n for signal n. May be dropped and called again.
    pub(crate) async fn wait(&mut self) -> i32 {
        if let Some(code) = self.ended {
            return code;
        }
        // The reaper ends only together with the runtime; 255 would then be recorded as a failure, not as a success.
        let code = (&mut self.exit).await.unwrap_or(255);
        self.ended = Some(code);
        code
    }

    /// SIGTERM to the whole group, SIGKILL after `grace`.
    pub(crate) async fn end(&mut self, grace: Duration) -> i32 {
        self.signal(Signal::TERM);
        if let Ok(code) = timeout(grace, self.wait()).await {
            return code;
        }
        tracing::warn!("the command didn't end within {grace:?} of SIGTERM; killing it");
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Ends what the command left running in its group, waits for the rest of the output, and returns what is kept of it.
    pub(crate) async fn finish(mut self) -> Tail {
        // A process in the background would work on the database without the lock.
        self.signal(Signal::KILL);
        let drained = timeout(DRAIN, async { while self.output.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                "something that the command started still holds its output open; not waiting for it"
            );
        }
        // A command that comes after this one has a reaper of its own.
        self.reaper.abort();
        let _ = (&mut self.reaper).await;
        std::mem::take(&mut self.tail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn signal(&self, signal: Signal) {
        // The only error here is that nobody is left to be told.
        let _ = kill_process_group(self.group, signal);
    }

    /// On a thread that may block: whoever reads our output may stall, and the lock must be kept meanwhile.
    fn forward<R, W>(&mut self, from: R, mut to: W, redactor: &Arc<Redactor>)
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        let (redactor, tail) = (Arc::clone(redactor), Arc::clone(&self.tail));
        self.output
            .spawn_blocking(move || copy_lines(BufReader::new(from), &mut to, &redactor, &tail));
    }
}

/// Reaps the command and every orphan that PID 1 inherits.
async fn reap(mut signals: tokio::signal::unix::Signal, command: Pid, exit: oneshot::Sender<i32>) {
    let mut exit = Some(exit);
    loop {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == command
                && let Some(exit) = exit.take()
            {
                let status = ExitStatus::from_raw(status.as_raw());
                // Nobody listens any more when the runner is about to end.
                let _ = exit.send(
                    status
                        .code()
                        .unwrap_or_else(|| 128 + status.signal().unwrap_or(127)),
                );
            }
        }
        if signals.recv().await.is_none() {
            return;
        }
    }
}

/// Passes lines on, redacted, and keeps the last ones. Goes on reading where writing fails: a full pipe would stop the
/// command in the middle of a migration.
fn copy_lines(mut from: impl BufRead, to: &mut impl Write, redactor: &Redactor, tail: &Mutex<Tail>) {
    let mut line = Vec::new();
    let mut dropped = false;
    loop {
        let chunk = match from.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if chunk.is_empty() {
            break;
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(chunk.len(), |at| at + 1);
        let room = LINE.saturating_sub(line.len());
        let text = &chunk[..newline.unwrap_or(chunk.len())];
        dropped |= text.len() > room;
        line.extend_from_slice(&text[..text.len().min(room)]);
        from.consume(taken);
        if newline.is_some() {
            write_line(&line, dropped, to, redactor, tail);
            line.clear();
            dropped = false;
        }
    }
    if !line.is_empty() {
        write_line(&line, dropped, to, redactor, tail);
    }
}

fn write_line(line: &[u8], dropped: bool, to: &mut impl Write, redactor: &Redactor, tail: &Mutex<Tail>) {
    let redacted = redactor.redact(String::from_utf8_lossy(line).trim_end_matches('\r'));
    // Cut after redacting, and far before the place where the input was cut: half a secret isn't recognised.
    let shown = first_bytes(&redacted, PRINTED);
    let mut text = shown.to_owned();
    if dropped || shown.len() < redacted.len() {
        text.push_str(" … (line cut)");
    }
    tail.lock().unwrap_or_else(PoisonError::into_inner).push(&text);
    text.push('\n');
    let _ = to.write_all(text.as_bytes());
    let _ = to.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(input: &[u8], secret: &str) -> (String, String) {
        let redactor = Redactor::new([("A_SECRET".to_owned(), secret.to_owned())]);
        let (tail, mut out) = (Mutex::new(Tail::default()), Vec::new());
        copy_lines(BufReader::with_capacity(7, input), &mut out, &redactor, &tail);
        (String::from_utf8(out).unwrap(), tail.into_inner().unwrap().text())
    }

    #[test]
    fn lines_are_redacted_whatever_the_chunks() {
        let (out, tail) = copied(
            b"one\r\nthe hidden-word here\nlast without newline",
            "hidden-word",
        );
        assert_eq!(out, "one\nthe *** here\nlast without newline\n");
        assert_eq!(tail, "one\nthe *** here\nlast without newline");
    }

    #[test]
    fn a_secret_across_the_cut_of_an_endless_line_does_not_show() {
        for before in [PRINTED - 5, LINE - 5] {
            let input = format!("{}hidden-word{}\nnext\n", "x".repeat(before), "y".repeat(200_000));
            let (out, _) = copied(input.as_bytes(), "hidden-word");
            assert!(!out.contains("hid"), "{before}");
            assert!(out.ends_with("(line cut)\nnext\n"));
            assert!(out.len() < PRINTED + 100);
        }
    }
}
