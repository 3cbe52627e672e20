//! `accord-runner` runs a migration or a seed at least once, records it at most once, and never two at a time.
//!
//! It runs the user's command in the user's image as PID 1 of a Job's container: takes the service's advisory lock in the
//! database itself, reads the ledger there, records `started`, runs the command, records the outcome. When the lock's
//! connection is lost, the command is killed. Exit codes and environment: `accord-runner --help` (`cli`).
//!
//! It touches the schema `accord`, the sessions of the migration role, its child and the termination log. It never
//! prints a password: the ledger's URL comes from a file, and what the command prints goes through `redact`.

mod admin;
mod child;
mod cli;
mod connect;
mod decide;
mod environment;
mod exit;
mod facts;
mod heartbeat;
mod install;
mod pooler;
mod redact;
mod run;
mod sessions;
mod signals;
mod tail;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::exit::Stop;
use crate::redact::Redactor;
use crate::run::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs();
    if let Err(error) = environment::isolate() {
        tracing::error!("can't start again with a clean environment: {error}");
        return ExitCode::from(70);
    }
    let mut redactor = Redactor::new(
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    );
    // Two threads: one may be busy with the command's output while the other keeps the lock.
    let report = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let report = runtime.block_on(dispatch(&cli.command, &mut redactor));
            // A process that left the command's group may hold a pipe open for ever; nothing of ours is left to do.
            runtime.shutdown_background();
            report
        }
        Err(source) => Report {
            result: Err(Stop::Io {
                step: "start the runtime".to_owned(),
                source,
            }),
            tail: String::new(),
        },
    };
    let result = report.result.as_ref().map(|reason| *reason);
    let answered = matches!(cli.command, Command::Facts(_)) && result.is_ok();
    if matches!(cli.command, Command::Run(_) | Command::Facts(_)) && !answered {
        exit::write_termination(result, &report.tail, &redactor);
    }
    match report.result {
        Ok(_) => ExitCode::SUCCESS,
        Err(stop) => {
            tracing::error!(reason = stop.reason(), "{}", redactor.redact(&stop.to_string()));
            ExitCode::from(stop.code())
        }
    }
}

async fn dispatch(command: &Command, redactor: &mut Redactor) -> Report {
    let result = match command {
        Command::Run(args) => return run::run(args, redactor).await,
        Command::Facts(args) => return facts::ask(args, redactor).await,
        Command::Install { dir } => install::install(dir)
            .map(|path| {
                tracing::info!(path = %path.display(), "installed");
                "Installed"
            })
            .map_err(|source| Stop::Io {
                step: format!("install into {}", dir.display()),
                source,
            }),
        Command::Ledger { service } => admin::print(service, redactor).await,
        Command::Release(args) => admin::release(args, redactor).await,
    };
    Report {
        result,
        tail: String::new(),
    }
}

/// Logs go to stderr, beside the command's own output.
fn logs() {
    let filter = EnvFilter::try_from_env("ACCORD_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=error"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    if std::env::var("ACCORD_LOG_FORMAT").is_ok_and(|format| format == "json") {
        builder.json().flatten_event(true).init();
    } else {
        builder.with_target(false).init();
    }
}
