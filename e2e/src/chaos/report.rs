//! What came of all runs: a table for people, the same for the documentation, and a last line that counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::judge;
use super::logins::Counts;
use super::outcome::Outcome;
use super::page::recorded;
use super::plans::{FAMILIES, Run};
use crate::{paths, progress};

/// One family's.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    /// Faults that were planned, and those that came.
    points: usize,
    came: u32,
    /// Points whose fault never came: the life had fewer such requests.
    unmet: usize,
    /// Lives that met one.
    lives: usize,
    failed: usize,
    most_writes: usize,
    longest: Duration,
    logins: Sum,
}

/// Logins of some lives.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    all: usize,
    retried: usize,
    lost: usize,
}

impl Sum {
    fn add(&mut self, logins: &Counts) {
        self.all += logins.all();
        self.retried += logins.retried;
        self.lost += logins.lost();
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: BTreeMap<&'static str, Row>,
    lives: usize,
    logins: Sum,
    failed: Vec<String>,
}

impl Tally {
    /// Counts a run; without an outcome it didn't come to its end.
    pub(super) fn add(&mut self, run: &Run, outcome: Option<&Outcome>, broken: &[String]) {
        self.lives += 1;
        let mut came = outcome.map_or(&[][..], |o| &o.came).iter().copied();
        let mut met: Vec<&'static str> = Vec::new();
        for part in &run.parts {
            let of_part: Vec<u32> = came.by_ref().take(part.faults).collect();
            let row = self.rows.entry(part.family).or_default();
            let last = of_part.last().copied().unwrap_or(0);
            // What is wrong with a whole life has no number.
            let (points, times, unmet) = match (part.faults, part.is_one) {
                (0, _) => (1, 1, 0),
                (_, true) => (1, last.min(1), usize::from(last == 0)),
                (n, false) => (
                    n,
                    of_part.iter().sum(),
                    of_part.iter().filter(|c| **c == 0).count(),
                ),
            };
            row.points += points;
            row.came += times;
            row.unmet += if outcome.is_some() { unmet } else { 0 };
            let is_first = !met.contains(&part.family);
            if is_first {
                met.push(part.family);
                row.lives += 1;
                row.failed += usize::from(!broken.is_empty());
            }
            if let Some(outcome) = outcome {
                row.most_writes = row.most_writes.max(judge::writes(&outcome.seen));
                row.longest = row.longest.max(outcome.took);
                if is_first {
                    row.logins.add(&outcome.logins);
                }
            }
        }
        if let Some(outcome) = outcome {
            self.logins.add(&outcome.logins);
        }
        if !broken.is_empty() {
            self.failed.push(run.plan.name.clone());
        }
    }

    pub(super) fn lives(&self) -> usize {
        self.lives
    }

    pub(super) fn points(&self) -> usize {
        self.rows.values().map(|r| r.points).sum()
    }

    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.lives > 0
    }

    /// The table in Markdown, which reads well as it is.
    pub(super) fn table(&self, calm: &Outcome) -> String {
        let mut text = String::from(
            "| what went wrong | points | faults | never came | lives | most writes | longest life | logins | retried | failed | lives that failed |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let _ = writeln!(
            text,
            "| nothing | 0 | 0 | 0 | 1 | {} | {} | {} | {} | {} | 0 |",
            judge::writes(&calm.seen),
            progress::clock(calm.took),
            calm.logins.all(),
            calm.logins.retried,
            calm.logins.lost()
        );
        for (family, row) in &self.rows {
            let words = FAMILIES
                .iter()
                .find(|(name, _)| name == family)
                .map_or(*family, |(_, words)| *words);
            let _ = writeln!(
                text,
                "| `{family}`: {words} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                row.points,
                row.came,
                row.unmet,
                row.lives,
                row.most_writes,
                progress::clock(row.longest),
                row.logins.all,
                row.logins.retried,
                row.logins.lost,
                row.failed
            );
        }
        text
    }

    /// The last line.
    pub(super) fn total(&self, took: Duration) -> String {
        let came: u32 = self.rows.values().map(|r| r.came).sum();
        let mut text = format!(
            "{} lives ({} failed), {} points, {came} faults, {} logins ({} retried, {} failed) in {}",
            self.lives,
            self.failed.len(),
            self.points(),
            self.logins.all,
            self.logins.retried,
            self.logins.lost,
            progress::clock(took)
        );
        if !self.failed.is_empty() {
            let _ = write!(text, ": {}", self.failed.join(", "));
        }
        text
    }

    /// Puts the table into the page. Families that this run left out keep their rows.
    pub(super) fn record(&self, calm: &Outcome, took: Duration) -> Result<()> {
        let page = paths::checkout().join("operator/docs/reliability.md");
        let text = paths::read(&page)?;
        let families: Vec<&str> = self.rows.keys().copied().collect();
        let run = format!("`{}`: {}", families.join("`, `"), self.total(took));
        paths::write(&page, recorded(&text, &self.table(calm), &run)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::plans::Part;
    use super::*;

    fn outcome(came: &[u32]) -> Outcome {
        Outcome {
            rests: Vec::new(),
            ledger: Vec::new(),
            commands: 0,
            seen: Vec::new(),
            told: [].into(),
            came: came.to_vec(),
            kills: 0,
            deaths: 0,
            unserved: Duration::ZERO,
            logins: Counts {
                right: 90,
                retried: 3,
                wrong: 1,
                failed: 1,
                ..Counts::default()
            },
            took: Duration::from_secs(9),
        }
    }

    fn run(parts: &[(&'static str, usize, bool)]) -> Run {
        let part = |&(family, faults, is_one)| Part {
            family,
            faults,
            is_one,
        };
        Run {
            plan: Plan {
                name: "a-life".into(),
                ..Plan::default()
            },
            parts: parts.iter().map(part).collect(),
        }
    }

    #[test]
    fn a_point_of_two_faults_is_one_and_counts_when_its_last_came() {
        let mut tally = Tally::default();
        let life = run(&[("kill", 1, true), ("stale", 2, true), ("kill", 1, true)]);
        tally.add(&life, Some(&outcome(&[1, 1, 0, 1])), &[]);
        let table = tally.table(&outcome(&[]));
        assert!(table.contains("lives | most writes"), "{table}");
        let row = |family: &str| -> String {
            let found = table.lines().find(|l| l.contains(&format!("`{family}`")));
            found.unwrap().rsplit(" | ").skip(1).collect::<Vec<_>>().join(" ")
        };
        // From the right; logins of a life are there once for each of its families.
        assert!(
            row("kill").starts_with("2 3 95 9.0s 0 1 0 2 2 "),
            "{}",
            row("kill")
        );
        assert!(
            row("stale").starts_with("2 3 95 9.0s 0 1 1 0 1 "),
            "{}",
            row("stale")
        );
        assert!(tally.is_good());
    }

    #[test]
    fn what_is_wrong_all_the_time_is_counted_each_time_and_a_failure_is_named() {
        let mut tally = Tally::default();
        tally.add(&run(&[("kills", 1, false)]), Some(&outcome(&[17])), &[]);
        tally.add(
            &run(&[("two", 0, false)]),
            Some(&outcome(&[])),
            &["broken".into()],
        );
        let total = tally.total(Duration::from_mins(1));
        assert!(
            total.contains("2 lives (1 failed), 2 points, 18 faults, 190 logins (6 retried, 4 failed) in"),
            "{total}"
        );
        assert!(total.ends_with(": a-life") && !tally.is_good(), "{total}");
    }
}
