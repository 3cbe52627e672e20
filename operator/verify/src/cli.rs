//! The command line. No secret is an argument: everybody on the machine can read those.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Accord without a cluster.
#[derive(Debug, Parser)]
#[command(name = "accord", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in to each replica, use what it issues at the others, log out, and say whether they agree.
    ///
    /// The account has to exist already, without any rights. Its name and password come from `ACCORD_USERNAME` and
    /// `ACCORD_PASSWORD`, or from --credentials. Exit code: 0 they agree, 1 one of them diverges, 2 it couldn't be told,
    /// 64 the command was used wrongly.
    Verify(Verify),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["recipe", "framework"]))]
pub(crate) struct Verify {
    /// A replica by its own address, not through a load balancer: http or https, host and port. Once for each replica.
    #[arg(long = "url", value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,
    /// How to log in: a YAML file as `spec.verification.recipe` of an AuthService.
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
    /// The recipe of a framework's preset, for example Django.
    #[arg(long, value_name = "NAME")]
    pub(crate) framework: Option<String>,
    /// The name that users know, with a port where it isn't the usual one: Host, Origin and, over https, the name that the
    /// certificate has to be for. Default: that of the first URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// A file with the username in its first line and the password in its second; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// A file with the keys that tokens may be signed with (HMAC), one in a line. Used where the recipe says
    /// `accessTokenKey: KeyRing`.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// A file with the URI of the cache that should hold the sessions, `redis://…` or `rediss://…`. Where the recipe has a
    /// `sessionKey` it is asked whether a session is there; nothing is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) cache: Option<PathBuf>,
    /// Certificate authorities for https and rediss, PEM. Default: those of the system.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Seconds that a replica may take for one answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
    pub(crate) timeout: u16,
    /// Also change the account's password at one replica, see that the old one is refused at the others, and change it
    /// back. Where the recipe has `changePassword`.
    #[arg(long)]
    pub(crate) change_password: bool,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// The same as YAML.
    Yaml,
}
