//! What came of all runs: a table for people, the same for the documentation, and a last line that counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::history::Outcome;
use super::judge;
use super::plans::{FAMILIES, Run};
use crate::{paths, progress};

/// Between these lines of the page stands what the last recorded run wrote.
const BEGIN: &str = "<!-- made by `cargo xtask chaos --record` -->\n";
const END: &str = "<!-- end -->";

/// One family's runs.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    runs: usize,
    points: u32,
    /// Runs whose fault never came: the history had fewer such requests.
    unmet: usize,
    failed: usize,
    most_writes: usize,
    longest: Duration,
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rows: BTreeMap<&'static str, Row>,
    failed: Vec<String>,
}

impl Tally {
    /// Counts a run; without an outcome it didn't come to its end.
    pub(super) fn add(&mut self, run: &Run, outcome: Option<&Outcome>, broken: &[String]) {
        let row = self.rows.entry(run.family).or_default();
        row.runs += 1;
        if let Some(outcome) = outcome {
            row.points += outcome.happened;
            row.unmet += usize::from(outcome.happened == 0);
            row.most_writes = row.most_writes.max(judge::writes(&outcome.seen));
            row.longest = row.longest.max(outcome.took);
        }
        if !broken.is_empty() {
            row.failed += 1;
            self.failed.push(run.plan.name.clone());
        }
    }

    pub(super) fn runs(&self) -> usize {
        self.rows.values().map(|r| r.runs).sum()
    }

    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty() && self.runs() > 0
    }

    /// The table in Markdown, which reads well as it is.
    pub(super) fn table(&self, calm: &Outcome) -> String {
        let mut text = String::from(
            "| what went wrong | runs | faults | never came | most writes | longest | failed |\n|---|---|---|---|---|---|---|\n",
        );
        let _ = writeln!(
            text,
            "| nothing | 1 | 0 | 0 | {} | {} | 0 |",
            judge::writes(&calm.seen),
            progress::clock(calm.took)
        );
        for (family, row) in &self.rows {
            let words = FAMILIES
                .iter()
                .find(|(name, _)| name == family)
                .map_or(*family, |(_, words)| *words);
            let _ = writeln!(
                text,
                "| `{family}`: {words} | {} | {} | {} | {} | {} | {} |",
                row.runs,
                row.points,
                row.unmet,
                row.most_writes,
                progress::clock(row.longest),
                row.failed
            );
        }
        text
    }

    /// The last line.
    pub(super) fn total(&self, took: Duration) -> String {
        let points: u32 = self.rows.values().map(|r| r.points).sum();
        let mut text = format!(
            "{} runs, {points} faults, {} failed in {}",
            self.runs(),
            self.failed.len(),
            progress::clock(took)
        );
        if !self.failed.is_empty() {
            let _ = write!(text, ": {}", self.failed.join(", "));
        }
        text
    }

    /// Puts the table into the page.
    pub(super) fn record(&self, calm: &Outcome, took: Duration) -> Result<()> {
        let page = paths::checkout().join("operator/docs/reliability.md");
        let text = paths::read(&page)?;
        let made = format!("\n{}\n{}.\n\n", self.table(calm), self.total(took));
        paths::write(&page, replaced(&text, &made)?)
    }
}

/// The page with another text between the marks.
fn replaced(page: &str, made: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .context("reliability.md has no place for the table")?;
    let (_, after) = rest
        .split_once(END)
        .context("the place for the table in reliability.md has no end")?;
    Ok(format!("{before}{BEGIN}{made}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let page = format!("# Page\n\n{BEGIN}old\n{END}\n\nMore.\n");
        let page = replaced(&page, "new\n").unwrap();
        assert_eq!(page, format!("# Page\n\n{BEGIN}new\n{END}\n\nMore.\n"));
        assert!(replaced("# Page", "new").is_err());
    }
}
