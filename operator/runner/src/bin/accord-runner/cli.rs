//! The command line. No secret is ever an argument: arguments are readable by everybody on the node.

use std::path::PathBuf;
use std::time::Duration;

use accord_runner::ledger;
use clap::{Args, Parser, Subcommand, ValueEnum};

const CODES: &str = "\
Exit codes:
    0  done, or recorded as done already
    1  the command failed; its own exit code is in the ledger and in the termination message. Or it printed no facts
    2  the arguments are wrong
   69  the database can't be reached within --connect-timeout
   70  the ledger, or the runner itself, failed
   72  the ledger's URL goes through a connection pooler; give the direct URL
   73  another run held the lock for longer than --wait-timeout
   74  the lock's connection was lost, so the command was ended; no success was recorded
   75  held for a person: an interrupted seed that isn't declared idempotent
   76  an earlier session of the migration role couldn't be ended
   77  the command can't be started
   78  the file with the ledger's URL is missing or wrong
  143  ended by SIGTERM or SIGINT; recorded as interrupted if the command had started

Environment:
  ACCORD_LEDGER_URL_FILE   file with the ledger role's direct URL [/etc/accord/runner/uri]
  ACCORD_MIGRATION_ROLE    the role whose earlier sessions are ended before the command starts [migrate]
  ACCORD_POD_NAME          name written to the ledger [HOSTNAME]
  ACCORD_TERMINATION_LOG   where the reason goes as JSON, if the file exists [/dev/termination-log]
  ACCORD_LOG_FORMAT        json for structured logs
  ACCORD_LOG               filter of the logs [info]
The command gets this environment without ACCORD_* (ACCORD_CANARY_* and ACCORD_FACTS* stay), and with PGOPTIONS extended by
lock_timeout and client_connection_check_interval.";

/// Runs a migration or a seed at least once, records it at most once, and never two at a time.
#[derive(Debug, Parser)]
#[command(name = "accord-runner", version, about, after_help = CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy this program to DIR/accord-runner, for an init container
    Install {
        /// A directory that exists
        dir: PathBuf,
    },
    /// Run a command under the lock and the ledger
    Run(RunArgs),
    /// Run a command twice and hand its answers on in the termination message; without a database
    Facts(FactsArgs),
    /// Print the ledger's rows of a service as JSON
    Ledger {
        /// The `AuthService`, as NAMESPACE/NAME
        #[arg(long, value_name = "NS/NAME", value_parser = service)]
        service: String,
    },
    /// Decide over an interrupted run that is held for a person
    Release(ReleaseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What the command is
    #[arg(long)]
    pub(crate) kind: RunKind,
    /// Its declared name
    #[arg(long, value_parser = word)]
    pub(crate) name: String,
    /// Its revision: another one is another run
    #[arg(long, value_parser = word)]
    pub(crate) revision: String,
    /// The `AuthService`, as NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME", value_parser = service)]
    pub(crate) service: String,
    /// The seed may be run again after an interruption
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// How long one statement of the command may wait for a lock in Postgres; 0s waits for ever
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) lock_timeout: Duration,
    /// How often a waiting or running command says so
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) progress_interval: Duration,
    /// How long to wait for another run of this service to end
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub(crate) wait_timeout: Duration,
    /// How long the database may take to answer
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub(crate) connect_timeout: Duration,
    /// How long the command may take to end after SIGTERM
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct FactsArgs {
    /// How long one run may take
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The command and its arguments; it prints a line that begins with {"accordFacts":
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// What was interrupted
    #[arg(long)]
    pub(crate) kind: LedgerKind,
    /// Its declared name
    #[arg(long, value_parser = word)]
    pub(crate) name: String,
    /// Its revision
    #[arg(long, value_parser = word)]
    pub(crate) revision: String,
    /// The `AuthService`, as NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME", value_parser = service)]
    pub(crate) service: String,
    /// Count it as done instead of running it again
    #[arg(long)]
    pub(crate) done: bool,
}

/// What `run` runs. A canary isn't in the ledger: it converges, so it always runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunKind {
    Migration,
    Seed,
    Canary,
}

/// What the ledger holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LedgerKind {
    Migration,
    Seed,
}

impl RunKind {
    pub(crate) fn in_ledger(self) -> Option<ledger::Kind> {
        match self {
            Self::Migration => Some(ledger::Kind::Migration),
            Self::Seed => Some(ledger::Kind::Seed),
            Self::Canary => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.in_ledger().map_or("canary", ledger::Kind::as_str)
    }
}

impl From<LedgerKind> for ledger::Kind {
    fn from(kind: LedgerKind) -> Self {
        match kind {
            LedgerKind::Migration => Self::Migration,
            LedgerKind::Seed => Self::Seed,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("{text:?} isn't a duration; write 500ms, 30s, 5m or 1h");
    text.parse::<jiff::SignedDuration>()
        .map_err(wrong)?
        .try_into()
        .map_err(|_| format!("{text:?} is negative"))
}

fn service(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.into())
        }
        _ => Err(format!("{text:?} isn't NAMESPACE/NAME")),
    }
}

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 253 || text.chars().any(char::is_control) {
        return Err(format!(
            "{text:?} must have 1 to 253 characters, none of them a control character"
        ));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        assert!(duration("30").is_err());
        assert!(duration("-3s").is_err());
    }

    #[test]
    fn a_service_has_a_namespace() {
        assert!(service("shop/login").is_ok());
        for wrong in ["login", "/login", "shop/", "a/b/c"] {
            assert!(service(wrong).is_err(), "{wrong}");
        }
    }
}
