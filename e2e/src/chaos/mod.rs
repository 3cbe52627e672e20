//! `cargo xtask chaos`: one history of a service, gone through again and again on a real API server, each time with
//! another fault between it and the operator. Whatever happens, the end has to be that of the run without faults.
//!
//! The control plane is real, and so are the operator, the runner and Postgres; the node and the application are
//! played. Faults are chosen by counting requests, so that a run is repeated from its plan.

mod api;
mod app;
mod canonical;
mod container;
mod control;
mod history;
mod job;
mod judge;
mod node;
mod operator;
mod plan;
mod plans;
mod proxy;
mod report;
mod request;
mod stores;
mod until;
mod watch_faults;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::api::Api;
use self::control::{Control, PLACE};
use self::history::Outcome;
use self::plan::Plan;
use self::plans::Run;
use self::report::Tally;
use self::stores::Postgres;
use crate::exec::{Cmd, find};
use crate::{paths, progress};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only the plan in this file.
    pub plan: Option<PathBuf>,
    /// Only these families of faults; all of them without any.
    pub families: Vec<String>,
    /// Only so many runs of each family, drawn by the seed.
    pub points: Option<usize>,
    /// What they are drawn by.
    pub seed: u64,
    /// No run begins after this time.
    pub limit: Option<Duration>,
    /// Say which runs there are, and do none.
    pub list: bool,
    /// Write the table into the documentation.
    pub record: bool,
}

/// Histories that go on at a time. They mostly wait.
const AT_ONCE: usize = 5;
/// Runs of each family in the small tier.
const FEW: usize = 3;

/// What all runs share.
#[derive(Debug)]
struct Lab {
    api: Api,
    operator: PathBuf,
    runner: PathBuf,
    /// Where the plans and logs of failed runs are kept.
    kept: PathBuf,
    // In the order in which they end.
    postgres: Postgres,
    _control: Control,
}

impl Lab {
    fn open() -> Result<Self> {
        let (operator, runner) = programs()?;
        let control = Control::start()?;
        // A build during the run changes nothing in it.
        let copy = |program: &Path| -> Result<PathBuf> {
            let to = paths::ensure(&Self::state().join("bin"))?.join(program.file_name().unwrap_or_default());
            std::fs::copy(program, &to).with_context(|| format!("can't copy {}", program.display()))?;
            Ok(to)
        };
        Ok(Self {
            api: Control::api(),
            operator: copy(&operator)?,
            runner: copy(&runner)?,
            kept: paths::ensure(&target().join("chaos"))?,
            postgres: Postgres::start()?,
            _control: control,
        })
    }

    fn state() -> &'static Path {
        Path::new(PLACE.state)
    }

    fn runs() -> PathBuf {
        Self::state().join("runs")
    }
}

fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|d| !d.is_empty());
    paths::checkout().join(target.unwrap_or_else(|| "target".into()))
}

/// The operator and the runner of this checkout, built as tests are.
fn programs() -> Result<(PathBuf, PathBuf)> {
    let cargo = find("cargo").context("there is no `cargo` on the PATH")?;
    progress::during("building the operator and the runner", "", || {
        Cmd::new(cargo)
            .args([
                "build",
                "--locked",
                "--quiet",
                "--package",
                "accord-operator",
                "--package",
                "accord-runner",
                "--bins",
            ])
            .cwd(paths::checkout())
            .run()
    })?;
    let built = target().join("debug");
    Ok((built.join("accord-operator"), built.join("accord-runner")))
}

/// Runs; true when all came to the same end as the one without faults.
pub fn run(options: &Options) -> Result<bool> {
    let lab = Lab::open()?;
    let calm = calm(&lab)?;
    let runs = match &options.plan {
        Some(file) => vec![Run {
            family: "file",
            plan: Plan::read(file)?,
        }],
        None => plans::choose(
            &plans::all(&calm.seen),
            &options.families,
            options.points,
            options.seed,
        )?,
    };
    if options.list {
        for run in &runs {
            println!("{:<8} {}", run.family, run.plan.name);
        }
        return Ok(true);
    }
    let begun = Instant::now();
    let tally = work_off(&lab, &calm, &runs, options.limit);
    println!("{}", tally.table(&calm));
    if options.record {
        tally.record(&calm)?;
    }
    println!("{}", tally.total(begun.elapsed()));
    Ok(tally.is_good())
}

/// A few runs of the kinds that take no longer than the history itself, always the same ones; how many there were.
pub(crate) fn few() -> Result<usize> {
    let lab = Lab::open()?;
    let calm = calm(&lab)?;
    let families = ["kill", "error", "stale"].map(str::to_owned);
    let runs = plans::choose(&plans::all(&calm.seen), &families, Some(FEW), 1)?;
    let begun = Instant::now();
    let tally = work_off(&lab, &calm, &runs, None);
    ensure!(tally.is_good(), "{}", tally.total(begun.elapsed()));
    Ok(tally.runs())
}

/// The history without faults: the measure of all others.
fn calm(lab: &Lab) -> Result<Outcome> {
    progress::say("the control plane is up; first the history without faults");
    let plan = Plan {
        name: "calm".into(),
        faults: Vec::new(),
    };
    let calm = history::go_through(lab, "chaos-calm", &plan)?;
    progress::say(&format!(
        "without faults: {} writes, {} requests, {}",
        judge::writes(&calm.seen),
        calm.seen.len(),
        progress::clock(calm.took)
    ));
    Ok(calm)
}

/// Goes through the runs, some at a time: each has a namespace, a proxy and an operator of its own, so that no count
/// sees another's requests.
fn work_off(lab: &Lab, calm: &Outcome, runs: &[Run], limit: Option<Duration>) -> Tally {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while limit.is_none_or(|limit| begun.elapsed() < limit) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = runs.get(n) else { return };
                    let outcome = history::go_through(lab, &format!("chaos-{n}"), &run.plan);
                    let broken = match &outcome {
                        Ok(outcome) => judge::faults(calm, outcome),
                        Err(error) => vec![format!("{error:#}")],
                    };
                    if !broken.is_empty() {
                        tell(lab, run, &broken);
                    }
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(run, outcome.ok().as_ref(), &broken);
                    progress::live_line(&format!("{} of {} runs", tally.runs(), runs.len()));
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Says what is wrong with a run, and how it is repeated.
fn tell(lab: &Lab, run: &Run, broken: &[String]) {
    progress::say(&format!("{}: FAILED", run.plan.name));
    progress::detail(&broken.join("\n"));
    match run.plan.write(&lab.kept) {
        Ok(file) => progress::detail(&format!("again: cargo xtask chaos --plan {}", file.display())),
        Err(error) => progress::detail(&format!("{error:#}")),
    }
}
