//! Running other programs: every failure says which program, with which arguments, and the last lines that it wrote.
//! Nothing secret may be an argument: arguments are visible to every process and are part of errors. Secrets go in
//! through standard input.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// How many lines of a failed program's output an error carries.
const LAST_LINES: usize = 12;

/// A program to run.
#[derive(Debug, Clone)]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    log: Option<PathBuf>,
}

/// What a program that ran to its end left behind.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Cmd {
    /// The program `program` without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: None,
            log: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets one variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the directory that it runs in.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    /// Gives it `input` on its standard input; without it, standard input is empty.
    #[must_use]
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(input.into());
        self
    }

    /// Sends all its output to a file, which an error then names.
    #[must_use]
    pub fn log(mut self, file: impl AsRef<Path>) -> Self {
        self.log = Some(file.as_ref().to_owned());
        self
    }

    /// Runs it; an error unless it exits with 0.
    pub fn run(&self) -> Result<()> {
        self.output().map(drop)
    }

    /// Runs it and returns its standard output; an error unless it exits with 0.
    pub fn output(&self) -> Result<String> {
        let outcome = self.outcome()?;
        if outcome.status.success() {
            return Ok(outcome.stdout);
        }
        bail!("{}", self.failure(&outcome))
    }

    /// True when it can be run and exits with 0.
    pub fn succeeds(&self) -> bool {
        self.outcome().is_ok_and(|o| o.status.success())
    }

    /// Runs it to its end, however it ends; an error only when it can't be run.
    pub fn outcome(&self) -> Result<Outcome> {
        let mut command = self.command();
        command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        if let Some(log) = &self.log {
            let file = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
            command.stdout(file.try_clone()?).stderr(file);
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("can't run {}", self.shown()))?;
        let feeder = self
            .stdin
            .clone()
            .zip(child.stdin.take())
            .map(|(input, mut pipe)| {
                // A program may end without reading everything: that is its own business.
                std::thread::spawn(move || drop(pipe.write_all(&input)))
            });
        let output = child
            .wait_with_output()
            .with_context(|| format!("lost {}", self.shown()))?;
        if let Some(feeder) = feeder {
            let _ = feeder.join();
        }
        Ok(Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts it with its standard output piped to the caller; the caller ends it.
    pub fn spawn_piped(&self) -> Result<Child> {
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
            .spawn()
            .with_context(|| format!("can't run {}", self.shown()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(n, v)| (n, v)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        command
    }

    fn shown(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        let mut shown = name.to_string_lossy().into_owned();
        for arg in &self.args {
            shown.push(' ');
            shown.push_str(&arg.to_string_lossy());
        }
        if shown.chars().count() > 200 {
            shown = shown.chars().take(199).chain(['…']).collect();
        }
        shown
    }

    fn failure(&self, outcome: &Outcome) -> String {
        let (written, place) = match &self.log {
            Some(log) => (
                std::fs::read_to_string(log).unwrap_or_default(),
                format!("; all of it: {}", log.display()),
            ),
            None if outcome.stderr.trim().is_empty() => (outcome.stdout.clone(), String::new()),
            None => (outcome.stderr.clone(), String::new()),
        };
        let lines = last_lines(&written, LAST_LINES);
        format!("{} failed ({}{place})\n{lines}", self.shown(), outcome.status)
    }
}

/// The last `count` lines of a text that aren't blank.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Where a program lies, looked up as a shell would, and in the directories of system tools besides.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/go/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_run_and_what_it_wrote() {
        let error = Cmd::new("sh")
            .args(["-c", "echo why not >&2; exit 3"])
            .run()
            .unwrap_err()
            .to_string();
        assert!(error.contains("exit status: 3"), "{error}");
        assert!(error.contains("why not"), "{error}");
    }

    #[test]
    fn input_reaches_the_program_and_is_not_an_argument() {
        let cmd = Cmd::new("cat").stdin("a secret");
        assert_eq!(cmd.output().unwrap(), "a secret");
        assert!(!cmd.shown().contains("secret"));
    }

    #[test]
    fn a_missing_program_is_an_error_and_not_a_panic() {
        assert!(Cmd::new("no-such-program-here").run().is_err());
        assert!(find("no-such-program-here").is_none());
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b\nc");
    }
}
