//! `accord verify`: asks the replicas of an auth service whether they agree, by the same exchange and the same verdicts as
//! the operator, and without a cluster.
//!
//! It sends requests to the URLs that it is given, asks the cache that it is given, and reads the files that it is told; it
//! writes to its output only.

mod cli;
mod examine;
mod input;
mod problem;
mod report;
mod store;
mod target;

use std::io::Write as _;
use std::process::ExitCode;

use accord_exchange::{Anchors, Client, Exchange, Limits, NoAnchors};
use clap::Parser as _;

use crate::cli::{Cli, Command, Verify};
use crate::problem::Problem;
use crate::report::Report;

/// From `sysexits.h`: the command was used wrongly.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    let Command::Verify(args) = cli.command;
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Problem::Runtime)
        .and_then(|runtime| runtime.block_on(verify(&args)));
    match ended {
        Ok(report) => ExitCode::from(report.exit_code()),
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "accord: {problem}");
            ExitCode::from(problem.exit_code())
        }
    }
}

async fn verify(args: &Verify) -> Result<Report, Problem> {
    let recipe = input::recipe(args)?;
    let targets = target::parse(&args.urls)?;
    input::fits(args, &recipe)?;
    let keys = input::keys(args.keys.as_deref())?;
    let canary = input::canary(args.credentials.as_deref())?;
    let limits = Limits {
        request: std::time::Duration::from_secs(args.timeout.into()),
        ..Limits::default()
    };
    let client = if targets.iter().any(target::Target::is_tls) {
        Client::trusting(limits, input::authorities(args.ca_file.as_deref())?)
    } else {
        Client::new(limits)
    }
    .map_err(Problem::Client)?;
    let hostname = match (&args.hostname, targets.first()) {
        (Some(hostname), _) => hostname.clone(),
        (None, first) => first.map(target::Target::authority).unwrap_or_default(),
    };
    let store = input::store(args, &recipe).await?;
    let anchors: &dyn Anchors = match &store {
        Some(store) => store,
        None => &NoAnchors,
    };
    let replicas = target::resolve(targets).await?;
    let exchange = Exchange {
        client: &client,
        recipe: &recipe,
        hostname: &hostname,
        aliases: &[],
        canary: &canary,
        keys: &keys,
        anchors,
        wrong_password: true,
        change_password: args.change_password,
    };
    let report = Report::new(examine::examine(exchange, &replicas).await);
    let text = report.text(args.output)?;
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Problem::Output)?;
    Ok(report)
}
