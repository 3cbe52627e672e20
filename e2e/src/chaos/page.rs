//! The table in the documentation: what a recorded run replaces there, and what stays.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// Between these lines of the page stands what recorded runs wrote.
const BEGIN: &str = "<!-- made by `cargo xtask chaos --record` -->\n";
const END: &str = "<!-- end -->";
/// Begins a line about one recorded run.
const RUN: &str = "- ";

/// The page with another table between the marks, a line below it that adds up the rows, and one for each run that was
/// recorded. Rows of families that this run left out stay, and so do the lines of earlier runs of which a row is left.
pub(super) fn recorded(page: &str, table: &str, run: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .context("reliability.md has no place for the table")?;
    let (old, after) = rest
        .split_once(END)
        .context("the place for the table in reliability.md has no end")?;
    let (head, rows): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| family(line).is_none());
    let mut by_family: BTreeMap<&str, &str> = BTreeMap::new();
    let columns = |row: &str| row.split('|').count();
    let as_now = |row: &&str| head.first().is_some_and(|head| columns(row) == columns(head));
    // A row of another form is of an older table.
    for row in old.lines().filter(as_now).chain(rows.iter().copied()) {
        by_family.extend(family(row).map(|name| (name, row)));
    }
    let is_new = |name: &str| rows.iter().any(|row| family(row) == Some(name));
    // What this run made anew isn't an earlier one's any more.
    let still_counts = |line: &str| -> Option<String> {
        let (names, words) = line.strip_prefix(RUN)?.split_once(": ")?;
        let names = names.split(", ").filter(|name| !is_new(name.trim_matches('`')));
        let names: Vec<&str> = names.collect();
        (!names.is_empty()).then(|| format!("{RUN}{}: {words}", names.join(", ")))
    };
    let mut runs: Vec<String> = old.lines().filter_map(still_counts).collect();
    runs.push(format!("{RUN}{run}"));
    let sum = |column: usize| -> u64 {
        let cells = by_family.values().filter_map(|row| row.split('|').nth(column));
        cells.filter_map(|cell| cell.trim().parse::<u64>().ok()).sum()
    };
    let mut lines = head;
    lines.extend(by_family.values());
    let total = format!("{} points, {} faults. Recorded in:\n", sum(2), sum(3));
    Ok(format!(
        "{before}{BEGIN}\n{}\n\n{total}\n{}\n\n{END}{after}",
        lines.join("\n"),
        runs.join("\n")
    ))
}

/// The family of a row.
fn family(row: &str) -> Option<&str> {
    let (name, _) = row.strip_prefix("| `")?.split_once('`')?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| what | points | faults | failed |\n|---|---|---|---|";

    #[test]
    fn a_new_row_takes_the_place_of_its_familys_and_the_others_stay() {
        let page = format!("# Page\n\n{BEGIN}No run yet.\n{END}\n\nMore.\n");
        let first = format!("{HEAD}\n| `kill`: k | 2 | 3 | 0 |\n| `stale`: s | 1 | 1 | 1 |\n");
        let page = recorded(&page, &first, "`kill`, `stale`: in 1s").unwrap();
        assert!(page.contains("3 points, 4 faults."), "{page}");
        let second = format!("{HEAD}\n| `stale`: s | 4 | 8 | 0 |\n");
        let page = recorded(&page, &second, "`stale`: in 2s").unwrap();
        assert!(
            page.contains("`kill`: k | 2 |") && page.contains("`stale`: s | 4 |"),
            "{page}"
        );
        assert!(
            page.contains("6 points, 11 faults.") && !page.contains("s | 1 |"),
            "{page}"
        );
        assert!(
            page.contains("- `kill`: in 1s\n- `stale`: in 2s\n"),
            "both runs have rows left: {page}"
        );
        let third = format!("{HEAD}\n| `kill`: k | 1 | 1 | 0 |\n");
        let page = recorded(&page, &third, "`kill`: in 3s").unwrap();
        assert!(
            !page.contains("in 1s") && page.contains("in 2s\n- `kill`: in 3s"),
            "{page}"
        );
        assert!(
            page.ends_with("<!-- end -->\n\nMore.\n") && !page.contains("No run yet"),
            "{page}"
        );
        assert!(recorded("# Page", "new", "run").is_err());
    }

    #[test]
    fn rows_of_a_table_with_other_columns_do_not_stay() {
        let page = format!("{BEGIN}| `watch`: w | 9 | 9 | 9 | 9 |\n{END}");
        let page = recorded(
            &page,
            &format!("{HEAD}\n| `kill`: k | 1 | 1 | 0 |\n"),
            "`kill`: r",
        )
        .unwrap();
        assert!(
            !page.contains("watch") && page.contains("1 points, 1 faults"),
            "{page}"
        );
    }
}
