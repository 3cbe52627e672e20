//! The demo's result: a row for each state that the service was in, and the rate over all of them.

use std::time::Duration;

use super::orders::Tally;
use crate::progress::clock;

/// What share of logins worked when the service of the first report was scaled from one machine to three.
const REPORTED: &str = "33 %";

/// The rows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    replicas: usize,
    asked: usize,
    right: usize,
    found: String,
    took: Duration,
    wrong: Vec<String>,
}

impl Table {
    pub(crate) fn add(&mut self, what: &str, found: &str, tally: &Tally, took: Duration) {
        self.rows.push(Row {
            what: what.to_owned(),
            replicas: tally.replicas,
            asked: tally.asked,
            right: tally.right,
            found: found.to_owned(),
            took,
            wrong: tally.wrong.clone(),
        });
    }

    /// True when every answer in every state was as it should be.
    pub(crate) fn is_perfect(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|r| r.asked > 0 && r.right == r.asked)
    }

    /// What was otherwise, for a scenario's report.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.rows
            .iter()
            .flat_map(|r| r.wrong.iter().map(move |w| format!("{}: {w}", r.what)))
            .collect()
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        println!(
            "\n{:<22} {:>8}  {:>18}  {:<14} {:>7}",
            "", "replicas", "answers as due", "Accord says", "time"
        );
        for row in &self.rows {
            let answers = format!("{} of {}", row.right, row.asked);
            let took = clock(row.took);
            println!(
                "{:<22} {:>8}  {answers:>18}  {:<14} {took:>7}",
                row.what, row.replicas, row.found
            );
        }
        println!(
            "\nAnswers as they should be: {}. Before, in the report that this comes from: {REPORTED}.",
            self.rate()
        );
    }

    /// The rate over all rows. Rounded down: 100 % means all of them.
    fn rate(&self) -> String {
        let asked: usize = self.rows.iter().map(|r| r.asked).sum();
        let right: usize = self.rows.iter().map(|r| r.right).sum();
        if asked == 0 {
            return "none were asked for".to_owned();
        }
        format!("{} % ({right} of {asked})", right * 100 / asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(asked: usize, right: usize) -> Tally {
        Tally {
            replicas: 3,
            asked,
            right,
            wrong: Vec::new(),
        }
    }

    #[test]
    fn one_wrong_answer_of_many_is_not_all_of_them() {
        let mut table = Table::default();
        assert!(!table.is_perfect());
        table.add("a", "3/3 Agrees", &tally(1000, 1000), Duration::ZERO);
        assert!(table.is_perfect());
        table.add("b", "3/3 Agrees", &tally(1000, 999), Duration::ZERO);
        assert!(!table.is_perfect());
        assert!(table.rate().starts_with("99 %"), "{}", table.rate());
    }
}
