//! The program `accord-operator`.

use std::process::ExitCode;

use accord_operator::settings::{Cli, Command};
use accord_operator::{check, run, telemetry};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // One provider for every TLS connection; libraries that bring their own default must not choose.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("accord-operator: TLS was set up twice; this is a defect of Accord");
        return ExitCode::FAILURE;
    }
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("accord-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Some(Command::Check { url }) => runtime.block_on(check::check(&url)),
        Some(Command::Run(settings)) => {
            telemetry::init(settings.log_format)?;
            runtime.block_on(run::run(*settings))
        }
        None => {
            telemetry::init(cli.settings.log_format)?;
            runtime.block_on(run::run(cli.settings))
        }
    }
}
