//! `facts`: asks the application twice what a server would use. Two processes, so that what is made at start differs. It
//! needs no database, takes no lock and records nothing: the operator reads the answers from the pod's status.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::info;

use crate::child::Child;
use crate::cli::FactsArgs;
use crate::environment;
use crate::exit::{self, Stop};
use crate::redact::Redactor;
use crate::run::Report;
use crate::signals::Signals;

/// How often it is asked.
const RUNS: usize = 2;
/// The longest answer, in bytes: all of them have to fit into a termination message of 4096.
const LIMIT: usize = 1900;
/// From SIGTERM to SIGKILL of a command that takes too long.
const GRACE: Duration = Duration::from_secs(2);

/// Runs the command, and writes its answers into the termination message.
pub(crate) async fn ask(args: &FactsArgs, redactor: &Redactor) -> Report {
    let redactor = Arc::new(redactor.clone());
    let mut tail = String::new();
    let mut answers = Vec::with_capacity(RUNS);
    for run in 1..=RUNS {
        match once(args, &redactor, &mut tail).await {
            Ok(answer) => answers.push(answer),
            Err(stop) => {
                return Report {
                    result: Err(stop),
                    tail,
                };
            }
        }
        info!(run, "answered");
    }
    exit::write_answers(&answers);
    Report {
        result: Ok("Answered"),
        tail,
    }
}

async fn once(
    args: &FactsArgs,
    redactor: &Arc<Redactor>,
    tail: &mut String,
) -> Result<serde_json::Value, Stop> {
    let mut signals = Signals::new()?;
    let program = args.command.first().cloned().unwrap_or_default();
    let mut command = Command::new(&program);
    command
        .args(args.command.iter().skip(1))
        .env_clear()
        .envs(environment::of_question());
    let mut child =
        Child::spawn(command, redactor).map_err(|source| Stop::CannotStart { program, source })?;
    let code = tokio::select! {
        ended = timeout(args.timeout, child.wait()) => ended.ok(),
        () = signals.recv() => {
            child.end(GRACE).await;
            return Err(Stop::Terminated { started: true });
        }
    };
    if code.is_none() {
        child.end(GRACE).await;
    }
    let printed = child.finish().await;
    *tail = printed.text();
    let problem = match (code, printed.answer()) {
        (None, _) => format!("took longer than {:?}", args.timeout),
        // It may have answered, and then failed for a reason of its own: a line that is there counts.
        (Some(_), Some(answer)) if answer.len() <= LIMIT => match serde_json::from_str(answer) {
            Ok(answer) => return Ok(answer),
            Err(error) => format!("printed a line that isn't JSON: {error}"),
        },
        (Some(_), Some(answer)) => format!("printed {} bytes, {LIMIT} are read", answer.len()),
        (Some(0), None) => "printed no line that begins with {\"accordFacts\":".to_owned(),
        (Some(code), None) => {
            let last = tail.trim().lines().last().unwrap_or_default();
            format!("ended with {code}: {last}")
        }
    };
    Err(Stop::NoFacts { problem })
}
