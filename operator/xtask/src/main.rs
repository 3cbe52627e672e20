//! `cargo xtask`: the developer's and the visitor's commands. Parses arguments and says how it ended; the work is done
//! in `accord-e2e`.

use std::process::ExitCode;

use accord_e2e::{embedded, progress};
use anyhow::Result;
use clap::{Parser, Subcommand};

/// Brings up a real cluster, shows Accord on it, and tests it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The embedded cluster of this machine.
    #[command(subcommand)]
    Cluster(ClusterCommand),
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Brings it up, or finds that it is.
    Up,
    /// Takes it down, whole; also after a crash.
    Down,
    /// Says how it is; exits with 1 when it isn't well.
    Status,
    /// Prints shell exports: `eval "$(cargo xtask cluster env)"`.
    Env,
}

fn main() -> ExitCode {
    progress::start();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            progress::say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Cluster(command) => cluster(&command),
    }
}

fn cluster(command: &ClusterCommand) -> Result<ExitCode> {
    match command {
        ClusterCommand::Up => {
            let found = embedded::up()?;
            let word = if found == embedded::Found::Running {
                "is running"
            } else {
                "is up"
            };
            progress::say(&format!(
                "the cluster {word}; look around: eval \"$(cargo xtask cluster env)\""
            ));
        }
        ClusterCommand::Down => {
            let word = if embedded::down()? {
                "the cluster is gone"
            } else {
                "there was no cluster"
            };
            progress::say(word);
        }
        ClusterCommand::Status => {
            let (well, lines) = embedded::status();
            println!("{}", lines.join("\n"));
            if !well {
                return Ok(ExitCode::FAILURE);
            }
        }
        ClusterCommand::Env => {
            println!("export KUBECONFIG={}", embedded::kubeconfig().display());
            println!("export PATH={}:$PATH", embedded::tools().display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
