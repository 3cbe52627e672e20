//! How a run ends: one exit code a reason, and the termination message that Kubernetes keeps.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use accord_runner::ledger;
use serde::Serialize;

use crate::redact::Redactor;
use crate::tail;

/// Why a run ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the command ended with {code}{}", again(*recorded))]
    CommandFailed { code: i32, recorded: bool },
    #[error("the facts command {problem}")]
    NoFacts { problem: String },
    #[error("{path}: {problem}. Mount the ledger role's direct URL there, or set ACCORD_LEDGER_URL_FILE")]
    UrlFile { path: String, problem: String },
    #[error("the database didn't answer within {waited:?}; last error: {source}")]
    Unreachable { waited: Duration, source: sqlx::Error },
    #[error(
        "the ledger's URL goes through a connection pooler ({evidence}), where a session lock is lost between two \
         statements. Give the server's direct URL: port 5432 of Postgres itself, not PgBouncer's"
    )]
    Pooled { evidence: String },
    #[error("{0}")]
    Ledger(#[from] ledger::Error),
    #[error("waited {waited:?} for the lock of {service}, held by {holder}; the next attempt waits again")]
    Busy {
        waited: Duration,
        service: String,
        holder: String,
    },
    #[error(
        "the lock's connection was lost ({why}), so the command was ended and no success was recorded; the next attempt looks \
         into the ledger"
    )]
    LockLost { why: String },
    #[error(
        "{what} was interrupted and isn't declared idempotent, so running it again could apply it twice. Look at what \
         it left behind, then say either `accord-runner release {arguments}` (it runs again) or `accord-runner release \
         {arguments} --done` (it counts as done)"
    )]
    Held { what: String, arguments: String },
    #[error("{problem}")]
    Sessions { problem: String },
    #[error("can't start {program:?}: {source}")]
    CannotStart { program: String, source: std::io::Error },
    #[error("ended by a signal{}", if *started { "; recorded as interrupted" } else { " before the command started" })]
    Terminated { started: bool },
    #[error("can't {step}: {source}")]
    Io { step: String, source: std::io::Error },
}

fn again(recorded: bool) -> &'static str {
    if recorded {
        "; recorded as failed, the next attempt runs it again"
    } else {
        ""
    }
}

impl Stop {
    /// The exit codes of `--help`.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::CommandFailed { .. } | Self::NoFacts { .. } => 1,
            Self::Unreachable { .. } => 69,
            Self::Ledger(ledger::Error::LockNotHeld) | Self::LockLost { .. } => 74,
            Self::Ledger(_) | Self::Io { .. } => 70,
            Self::Pooled { .. } => 72,
            Self::Busy { .. } => 73,
            Self::Held { .. } => 75,
            Self::Sessions { .. } => 76,
            Self::CannotStart { .. } => 77,
            Self::UrlFile { .. } => 78,
            Self::Terminated { .. } => 143,
        }
    }

    /// One word for the operator.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::CommandFailed { .. } => "CommandFailed",
            Self::NoFacts { .. } => "NoFacts",
            Self::UrlFile { .. } => "LedgerUrlInvalid",
            Self::Unreachable { .. } => "DatabaseUnreachable",
            Self::Pooled { .. } => "PooledUrl",
            Self::Ledger(ledger::Error::LockNotHeld) | Self::LockLost { .. } => "LockLost",
            Self::Ledger(_) => "LedgerFailed",
            Self::Busy { .. } => "Busy",
            Self::Held { .. } => "Held",
            Self::Sessions { .. } => "SessionsRemain",
            Self::CannotStart { .. } => "CannotStart",
            Self::Terminated { .. } => "Terminated",
            Self::Io { .. } => "RunnerFailed",
        }
    }

    fn command_exit_code(&self) -> Option<i32> {
        match self {
            Self::CommandFailed { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What the operator reads from the pod's status instead of its logs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Termination<'a> {
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_exit_code: Option<i32>,
    reason: &'a str,
    message: &'a str,
    tail: &'a str,
}

/// Kubernetes keeps 4096 bytes for all containers of a pod together at worst; ours stays well below.
const LIMIT: usize = 2048;

/// Writes the termination message where the file exists. A failure to write it never changes the outcome.
pub(crate) fn write_termination(result: Result<&str, &Stop>, output: &str, redactor: &Redactor) {
    let json = match result {
        Ok(reason) => render(0, None, reason, "", ""),
        Err(stop) => {
            let message = redactor.redact(&stop.to_string());
            render(
                stop.code(),
                stop.command_exit_code(),
                stop.reason(),
                &message,
                output,
            )
        }
    };
    write(&json);
}

/// Writes the answers of a facts command in place of the tail.
pub(crate) fn write_answers(answers: &[serde_json::Value]) {
    write(&serde_json::json!({"exitCode": 0, "reason": "Answered", "facts": answers}).to_string());
}

fn write(json: &str) {
    let path = std::env::var_os("ACCORD_TERMINATION_LOG").unwrap_or_else(|| "/dev/termination-log".into());
    let Ok(mut file) = OpenOptions::new().write(true).truncate(true).open(path) else {
        return;
    };
    if let Err(error) = file.write_all(json.as_bytes()) {
        tracing::warn!(%error, "can't write the termination message");
    }
}

/// JSON of at most [`LIMIT`] bytes: what is too long loses its tail's beginning first, escapes counted.
fn render(
    exit_code: u8,
    command_exit_code: Option<i32>,
    reason: &str,
    message: &str,
    output: &str,
) -> String {
    let message = tail::first_bytes(message, 700);
    let mut budget = LIMIT;
    loop {
        let tail = tail::last_bytes(output, budget);
        let termination = Termination {
            exit_code,
            command_exit_code,
            reason,
            message,
            tail,
        };
        // Serialising five plain fields can't fail; an empty message would still be no lie.
        let json = serde_json::to_string(&termination).unwrap_or_default();
        if json.len() <= LIMIT || budget == 0 {
            return json;
        }
        // One byte takes at most six as JSON (\u0001).
        budget = budget.saturating_sub(((json.len() - LIMIT) / 6).max(16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_termination_message_is_bounded_and_keeps_the_end() {
        let output = format!("{}\nlast \"line\"", "\"\\\n\u{1}".repeat(2000));
        let json = render(1, Some(3), "CommandFailed", &"m".repeat(5000), &output);
        assert!(json.len() <= LIMIT, "{}", json.len());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["exitCode"], 1);
        assert_eq!(value["commandExitCode"], 3);
        assert!(value["tail"].as_str().unwrap().ends_with("last \"line\""));
    }
}
