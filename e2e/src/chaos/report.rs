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

    /// Puts the table into the page. Families that this run left out keep their rows.
    pub(super) fn record(&self, calm: &Outcome) -> Result<()> {
        let page = paths::checkout().join("operator/docs/reliability.md");
        let text = paths::read(&page)?;
        paths::write(&page, recorded(&text, &self.table(calm))?)
    }
}

/// The page with another table between the marks, and a line below it that adds up the rows.
fn recorded(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .context("reliability.md has no place for the table")?;
    let (old, after) = rest
        .split_once(END)
        .context("the place for the table in reliability.md has no end")?;
    let family = |row: &str| -> Option<String> {
        let (name, _) = row.strip_prefix("| `")?.split_once('`')?;
        Some(name.to_owned())
    };
    let (head, rows): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| family(line).is_none());
    let mut by_family: BTreeMap<String, &str> = BTreeMap::new();
    for row in old.lines().chain(rows) {
        by_family.extend(family(row).map(|name| (name, row)));
    }
    let sum = |column: usize| -> u64 {
        let cells = by_family.values().filter_map(|row| row.split('|').nth(column));
        cells.filter_map(|cell| cell.trim().parse::<u64>().ok()).sum()
    };
    let mut lines = head;
    lines.extend(by_family.values());
    let total = format!("{} runs, {} faults, {} failed.", sum(2), sum(3), sum(7));
    Ok(format!(
        "{before}{BEGIN}\n{}\n\n{total}\n\n{END}{after}",
        lines.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_row_takes_the_place_of_its_familys_and_the_others_stay() {
        let head = "| what | runs | faults | x | y | z | failed |\n|---|---|---|---|---|---|---|";
        let page = format!("# Page\n\n{BEGIN}No run yet.\n{END}\n\nMore.\n");
        let first = format!(
            "{head}\n| `kill`: k | 2 | 3 | 0 | 9 | 1s | 0 |\n| `stale`: s | 1 | 1 | 0 | 9 | 1s | 1 |\n"
        );
        let page = recorded(&page, &first).unwrap();
        assert!(page.contains("3 runs, 4 faults, 1 failed."), "{page}");
        let page = recorded(
            &page,
            &format!("{head}\n| `stale`: s | 4 | 8 | 0 | 9 | 1s | 0 |\n"),
        )
        .unwrap();
        assert!(
            page.contains("`kill`: k | 2 |") && page.contains("`stale`: s | 4 |"),
            "{page}"
        );
        assert!(
            page.contains("6 runs, 11 faults, 0 failed.") && !page.contains("s | 1 |"),
            "{page}"
        );
        assert!(
            page.ends_with("<!-- end -->\n\nMore.\n") && !page.contains("No run yet"),
            "{page}"
        );
        assert!(recorded("# Page", "new").is_err());
    }
}
