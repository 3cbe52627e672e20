//! `cargo xtask`: the developer's and the visitor's commands. Parses arguments and says how it ended; the work is done
//! in `accord-e2e`.

use std::process::ExitCode;

use accord_e2e::cluster::Cluster;
use accord_e2e::images::{self, Image};
use accord_e2e::{chaos, demo, embedded, incidents, mutations, progress, sbom, scenarios, testing};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Brings up a real cluster, shows Accord on it, and tests it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    /// Use this context of your own kubeconfig instead of the embedded cluster.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// With --context: push the images there (HOST/PATH) instead of loading them into kind, k3d or minikube.
    #[arg(long, global = true, value_name = "HOST/PATH", requires = "context")]
    registry: Option<String>,
    /// Take Accord as it is on the cluster, in place of building and installing this checkout's.
    #[arg(long, global = true)]
    installed: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The embedded cluster of this machine.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// From nothing to a Django service whose replicas agree, with the proof.
    Demo(DemoArgs),
    /// Builds images where their inputs changed, and brings them to the cluster.
    Images {
        /// postgres, valkey, python, node, operator, or the name of a directory in examples/. Without names: all that the
        /// demo needs.
        names: Vec<String>,
        /// Build the operator's alone, for no cluster, and say its digest.
        #[arg(long, conflicts_with = "names")]
        digest: bool,
    },
    /// Writes what the operator's image is made of to target/sbom, as CycloneDX JSON.
    Sbom,
    /// Runs every test, from fast to real; the last line counts them.
    Test(TestArgs),
    /// Puts bugs in on purpose, on a copy of the checkout, and sees that each is caught by its test.
    Mutations {
        /// Names of files in e2e/mutations, without `.patch`. Without names: all.
        names: Vec<String>,
        /// Say which there are and what they break.
        #[arg(long)]
        list: bool,
    },
    /// Breaks what stands between the operator and a real API server, request by request, and sees that the end is the same.
    Chaos(ChaosArgs),
    /// Writes the CRD and the reference from the types.
    Gen {
        /// Change nothing; fail when something isn't current.
        #[arg(long)]
        check: bool,
    },
}

#[derive(Args)]
struct DemoArgs {
    /// An incident in four ways instead: plain, as first declaration, as an update, mended. `all` runs every one.
    #[arg(long, value_name = "NAME")]
    incident: Option<String>,
    /// Say which incidents there are.
    #[arg(long)]
    list: bool,
}

#[derive(Args)]
struct TestArgs {
    /// Leave out what needs a cluster.
    #[arg(long)]
    fast: bool,
    /// Only this scenario; may be repeated. `--list` shows them.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Only this stage; may be repeated.
    #[arg(long, value_name = "NAME")]
    stage: Vec<String>,
    /// Leave the embedded cluster running.
    #[arg(long)]
    keep: bool,
    /// Say which scenarios there are and what they show.
    #[arg(long)]
    list: bool,
}

#[derive(Args)]
struct ChaosArgs {
    /// Only the run that this file describes: a failed one is kept.
    #[arg(long, value_name = "FILE")]
    plan: Option<std::path::PathBuf>,
    /// Only this family of faults; may be repeated: kill, error, watch, stale, kills, errors, slow, pause, two, clock,
    /// restart.
    #[arg(long, value_name = "NAME")]
    family: Vec<String>,
    /// Only so many runs of each family, and of single faults so many for each step, drawn by the seed. Without it: all,
    /// which takes hours.
    #[arg(long, value_name = "NUMBER")]
    points: Option<usize>,
    /// The same seed draws the same runs.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Begin no run after so many minutes.
    #[arg(long, value_name = "MINUTES")]
    limit: Option<u64>,
    /// Say which runs there are, after the history without faults that tells.
    #[arg(long)]
    list: bool,
    /// Write the table into operator/docs/reliability.md.
    #[arg(long)]
    record: bool,
    /// The directory of another accord-operator and accord-runner than those of this checkout, as they are built for tests.
    #[arg(long, value_name = "DIRECTORY")]
    programs: Option<std::path::PathBuf>,
    /// So many lives go on at a time; 5 where nothing is said.
    #[arg(long, value_name = "NUMBER")]
    at_once: Option<usize>,
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
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let words = format!("failed: {error:#}");
            let (first, rest) = words.split_once('\n').unwrap_or((&words, ""));
            progress::say(first);
            progress::detail(rest);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if cli.installed {
        demo::take_as_installed();
    }
    match &cli.command {
        Command::Cluster(command) => cluster(command),
        Command::Demo(args) => show(cli, args),
        Command::Images { digest: true, .. } => {
            println!("{}", images::operator_digest()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Images { names, .. } => bring_images(cli, names),
        Command::Sbom => bills(),
        Command::Test(args) => test(cli, args),
        Command::Mutations { list: true, .. } => mutations::list().map(|()| ExitCode::SUCCESS),
        Command::Mutations { names, .. } => Ok(exit_code(mutations::run(names)?)),
        Command::Chaos(args) => {
            let options = chaos::Options {
                plan: args.plan.clone(),
                families: args.family.clone(),
                points: args.points,
                seed: args.seed,
                limit: args.limit.map(std::time::Duration::from_mins),
                list: args.list,
                record: args.record,
                programs: args.programs.clone(),
                at_once: args.at_once,
            };
            Ok(exit_code(chaos::run(&options)?))
        }
        Command::Gen { check } => testing::generate(*check).map(|()| ExitCode::SUCCESS),
    }
}

/// The cluster that the arguments name, up and answering.
fn target(cli: &Cli) -> Result<Cluster> {
    match &cli.context {
        Some(context) => Cluster::context(context, cli.registry.as_deref()),
        None => Cluster::embedded(),
    }
}

fn show(cli: &Cli, args: &DemoArgs) -> Result<ExitCode> {
    if args.list {
        incidents::list();
        return Ok(ExitCode::SUCCESS);
    }
    let perfect = match &args.incident {
        Some(name) => incidents::run(&target(cli)?, name)?,
        None => demo::run(&target(cli)?)?,
    };
    Ok(exit_code(perfect))
}

fn exit_code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn test(cli: &Cli, args: &TestArgs) -> Result<ExitCode> {
    if args.list {
        for scenario in scenarios::ALL {
            println!("{:<20} {}", scenario.name, scenario.shows);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options = testing::Options {
        fast: args.fast,
        scenarios: args.scenario.clone(),
        stages: args.stage.clone(),
        keep: args.keep,
    };
    let passed = testing::run(&options, || target(cli))?;
    Ok(exit_code(passed))
}

fn bring_images(cli: &Cli, names: &[String]) -> Result<ExitCode> {
    let cluster = target(cli)?;
    let defaults = ["postgres", "valkey", "operator", "django-orders"].map(str::to_owned);
    for name in if names.is_empty() { &defaults[..] } else { names } {
        let image = match name.as_str() {
            "postgres" => Image::Postgres,
            "valkey" => Image::Valkey,
            "python" => Image::Python,
            "node" => Image::Node,
            "operator" => Image::Operator,
            example => Image::example(example),
        };
        match cluster.load(&image)? {
            Some(loaded) => progress::say(&format!("{} is on the cluster", loaded.reference)),
            None => progress::say(&format!("{name}: this cluster pulls the public image")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn bills() -> Result<ExitCode> {
    for bill in sbom::write()? {
        progress::say(&format!(
            "{}: {} crates linked, {} others that build it",
            bill.file.display(),
            bill.linked,
            bill.building
        ));
    }
    Ok(ExitCode::SUCCESS)
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
