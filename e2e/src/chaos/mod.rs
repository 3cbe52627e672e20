//! `cargo xtask chaos`: one history of a service, gone through again and again on a real API server, each time with
//! another fault between it and the operator. Whatever happens, the end has to be that of the run without faults.
//!
//! The control plane is real, and so are the operator, the runner and Postgres; the node and the application are
//! played. Faults are chosen by counting requests, so that a run is repeated from its plan.

mod action;
mod api;
mod app;
mod canonical;
mod clock;
mod container;
mod control;
mod counter;
mod follow;
mod handling;
mod history;
mod job;
mod judge;
mod logins;
mod node;
mod operator;
mod outcome;
mod page;
mod plan;
mod plans;
mod pod;
mod points;
mod proxy;
mod random;
mod report;
mod request;
mod steps;
mod stores;
mod traffic;
mod until;
mod visit;
mod watch_faults;
mod whole_lives;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use self::api::Api;
use self::control::{Control, PLACE};
use self::outcome::Outcome;
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
    /// Only so many runs of each family, and of single faults so many for each step, drawn by the seed.
    pub points: Option<usize>,
    /// What they are drawn by.
    pub seed: u64,
    /// No run begins after this time.
    pub limit: Option<Duration>,
    /// Say which runs there are, and do none.
    pub list: bool,
    /// Write the table into the documentation.
    pub record: bool,
    /// Where `accord-operator` and `accord-runner` lie; built as tests are where nothing is said.
    pub programs: Option<PathBuf>,
    /// Histories that go on at a time. They mostly wait.
    pub at_once: Option<usize>,
}

const AT_ONCE: usize = 5;
/// Faults of each family and step in the small tier.
const FEW: usize = 1;

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
    control: Control,
}

impl Lab {
    fn open(programs: Option<&Path>) -> Result<Self> {
        let (operator, runner) = match programs {
            Some(dir) => (dir.join("accord-operator"), dir.join("accord-runner")),
            None => built()?,
        };
        let control = Control::start()?;
        // A build during the run changes nothing in it.
        let copy = |program: &Path| -> Result<PathBuf> {
            let to = paths::ensure(&Self::state().join("bin"))?.join(program.file_name().unwrap_or_default());
            std::fs::copy(program, &to).with_context(|| format!("can't copy {}", program.display()))?;
            Ok(to)
        };
        Ok(Self {
            api: Control::api().patient(),
            operator: copy(&operator)?,
            runner: copy(&runner)?,
            kept: paths::ensure(&target().join("chaos"))?,
            postgres: Postgres::start()?,
            control,
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
fn built() -> Result<(PathBuf, PathBuf)> {
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
    let lab = Lab::open(options.programs.as_deref())?;
    let calm = calm(&lab)?;
    let mut runs = match &options.plan {
        Some(file) => vec![plans::of_file(Plan::read(file)?)],
        None => plans::choose(&calm, &options.families, options.points, options.seed)?,
    };
    without_clocks(&mut runs);
    if options.list {
        for run in &runs {
            let families: Vec<&str> = run.parts.iter().map(|part| part.family).collect();
            println!("{:<32} {}", run.plan.name, families.join(" "));
        }
        return Ok(true);
    }
    let begun = Instant::now();
    let tally = work_off(&lab, &calm, &runs, options);
    println!("{}", tally.table(&calm));
    if options.record {
        tally.record(&calm, begun.elapsed())?;
    }
    println!("{}", tally.total(begun.elapsed()));
    Ok(tally.is_good())
}

/// Where no clock can be moved, nothing is shown about clocks.
fn without_clocks(runs: &mut Vec<Run>) {
    if operator::clock_mover().is_some() {
        return;
    }
    let before = runs.len();
    runs.retain(|run| run.plan.copies.iter().all(|copy| copy.clock.is_empty()));
    if runs.len() < before {
        progress::say("no clock can be moved here, runs are left out: apt-get install faketime");
    }
}

/// A few runs of the kinds that take no longer than the history itself, always the same ones; how many there were.
pub(crate) fn few() -> Result<usize> {
    let lab = Lab::open(None)?;
    let calm = calm(&lab)?;
    let families = ["kill", "error", "stale", "two"].map(str::to_owned);
    let runs = plans::choose(&calm, &families, Some(FEW), 1)?;
    let begun = Instant::now();
    let tally = work_off(&lab, &calm, &runs, &Options::default());
    ensure!(tally.is_good(), "{}", tally.total(begun.elapsed()));
    Ok(tally.points())
}

/// The history without faults: the measure of all others.
fn calm(lab: &Lab) -> Result<Outcome> {
    progress::say("the control plane is up; first the history without faults");
    let plan = Plan {
        name: "calm".into(),
        ..Plan::default()
    };
    let calm = history::go_through(lab, "chaos-calm", &plan, &[])?;
    // What doesn't even hold then is no measure.
    let broken = judge::faults(&calm, &plan, &calm);
    ensure!(broken.is_empty(), "without faults:\n{}", broken.join("\n"));
    progress::say(&format!(
        "without faults: {} writes, {} requests, {} logins ({} retried), {}",
        judge::writes(&calm.seen),
        calm.seen.len(),
        calm.logins.all(),
        calm.logins.retried,
        progress::clock(calm.took)
    ));
    Ok(calm)
}

/// Goes through the runs: first those that have to be alone, then some at a time. Each has a namespace, a proxy and an
/// operator of its own, so that no count sees another's requests.
fn work_off(lab: &Lab, calm: &Outcome, runs: &[Run], options: &Options) -> Tally {
    let begun = Instant::now();
    let in_time = || options.limit.is_none_or(|limit| begun.elapsed() < limit);
    let tally = Mutex::new(Tally::default());
    let (alone, beside): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|run| run.plan.is_alone());
    for (n, run) in alone.into_iter().enumerate() {
        if in_time() {
            one(lab, calm, &format!("chaos-alone-{n}"), run, &tally, runs.len());
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.at_once.unwrap_or(AT_ONCE) {
            scope.spawn(|| {
                while in_time() {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(run) = beside.get(n) else { return };
                    one(lab, calm, &format!("chaos-{n}"), run, &tally, runs.len());
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Goes through one run, and judges it.
fn one(lab: &Lab, calm: &Outcome, namespace: &str, run: &Run, tally: &Mutex<Tally>, all: usize) {
    let outcome = history::go_through(lab, namespace, &run.plan, &calm.rests);
    let broken = match &outcome {
        Ok(outcome) => judge::faults(calm, &run.plan, outcome),
        Err(error) => vec![format!("{error:#}")],
    };
    if !broken.is_empty() {
        tell(lab, run, &broken);
    }
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.add(run, outcome.ok().as_ref(), &broken);
    progress::live_line(&format!("{} of {all} lives", tally.lives()));
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
