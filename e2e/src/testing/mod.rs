//! `cargo xtask test`: everything that can be checked, from fast to real, one stage after the other. A failed stage
//! doesn't stop the next: one run shows all that is wrong.

mod lanes;
mod stages;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::{embedded, paths, progress, scenarios};

/// Writes what is generated from the types, or checks that it is current.
pub fn generate(check: bool) -> Result<()> {
    stages::generate(check)?.run()
}

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Leave out what needs a cluster.
    pub fast: bool,
    /// Only these scenarios, and nothing else.
    pub scenarios: Vec<String>,
    /// Only these stages.
    pub stages: Vec<String>,
    /// Leave the embedded cluster running afterwards.
    pub keep: bool,
}

/// How many checks of a stage passed, failed or were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Why something was left out, or what is worth knowing.
    note: String,
}

/// Something to check.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Place) -> Result<Count>,
}

/// Where a stage writes what its programs say.
pub(crate) struct Place {
    pub(crate) fast: bool,
    logs: PathBuf,
}

struct Row {
    name: String,
    took: Duration,
    count: Count,
}

impl Count {
    pub(crate) fn passed(passed: usize) -> Self {
        Self {
            passed,
            ..Self::default()
        }
    }

    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self {
            skipped: 1,
            note: why.into(),
            ..Self::default()
        }
    }

    fn failed(why: String) -> Self {
        Self {
            failed: 1,
            note: why,
            ..Self::default()
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn words(&self) -> String {
        let mut words = format!("{} passed", self.passed);
        if self.failed > 0 {
            let _ = write!(words, ", {} failed", self.failed);
        }
        if self.skipped > 0 {
            let _ = write!(words, ", {} skipped", self.skipped);
        }
        words
    }
}

impl Place {
    /// The log of a stage, or of a part of it.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

/// Runs the tests and prints a summary, whose last line counts them. True when nothing failed.
pub fn run(options: &Options, target: impl FnOnce() -> Result<Cluster>) -> Result<bool> {
    let chosen = scenarios::choose(&options.scenarios)?;
    let place = Place {
        fast: options.fast,
        logs: paths::ensure(&paths::checkout().join("target/test-logs"))?,
    };
    let mut rows = Vec::new();
    if options.scenarios.is_empty() {
        for stage in stages::ALL {
            if options.stages.is_empty() || options.stages.iter().any(|s| s == stage.name) {
                rows.push(measured(stage.name, || (stage.run)(&place)));
            }
        }
    }
    if options.fast {
        let why = "--fast: needs a cluster";
        rows.push(Row {
            name: "scenarios".into(),
            took: Duration::ZERO,
            count: Count::skipped(why),
        });
    } else if options.stages.is_empty() || !options.scenarios.is_empty() {
        on_cluster(options, target, &chosen, &mut rows);
    }
    Ok(summarise(&rows))
}

/// Runs what needs a cluster, and leaves the machine as it was.
fn on_cluster(
    options: &Options,
    target: impl FnOnce() -> Result<Cluster>,
    chosen: &[&'static scenarios::Scenario],
    rows: &mut Vec<Row>,
) {
    let was_running = embedded::is_running();
    let mut cluster = None;
    rows.push(measured("cluster", || {
        let made = target()?;
        cluster = Some(made);
        Ok(Count::passed(1))
    }));
    let Some(cluster) = cluster else {
        for scenario in chosen {
            let count = Count::failed("there is no cluster to run it on".into());
            rows.push(Row {
                name: scenario.name.into(),
                took: Duration::ZERO,
                count,
            });
        }
        return;
    };
    rows.extend(lanes::run(&cluster, chosen));
    if cluster.is_embedded() && !was_running && !options.keep {
        rows.push(measured("cluster down", || {
            embedded::down().map(|_| Count::passed(1))
        }));
    }
}

fn measured(name: &str, stage: impl FnOnce() -> Result<Count>) -> Row {
    progress::say(&format!("── {name}"));
    let begun = Instant::now();
    let count = stage().unwrap_or_else(|error| Count::failed(format!("{error:#}")));
    let took = begun.elapsed();
    let mark = if count.failed > 0 { "FAILED" } else { "ok" };
    progress::say(&format!(
        "   {name}: {mark}, {} in {}",
        count.words(),
        progress::clock(took)
    ));
    if !count.note.is_empty() {
        progress::detail(&count.note);
    }
    Row {
        name: name.to_owned(),
        took,
        count,
    }
}

fn summarise(rows: &[Row]) -> bool {
    let mut total = Count::default();
    println!("\n{:<28} {:>8}  result", "stage", "time");
    for row in rows {
        total.add(&row.count);
        let first = row.count.note.lines().next().unwrap_or_default();
        let note = if first.is_empty() {
            String::new()
        } else {
            format!(": {first}")
        };
        println!(
            "{:<28} {:>8}  {}{note}",
            row.name,
            progress::clock(row.took),
            row.count.words()
        );
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    total.failed == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_is_counted_and_does_not_hide_the_rest() {
        let good = measured("good", || Ok(Count::passed(3)));
        let bad = measured("bad", || anyhow::bail!("broken"));
        let left_out = measured("left out", || Ok(Count::skipped("no tool")));
        assert_eq!(bad.count.failed, 1);
        assert!(bad.count.note.contains("broken"));
        assert!(!summarise(&[good, bad, left_out]));
    }
}
