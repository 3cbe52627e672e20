//! What the incidents showed: a row for each, and a total.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::load::{Tally, Users};
use super::plain::Plain;
use crate::progress::clock;

/// What Accord found, and what became of the users meanwhile.
pub(super) struct Found {
    /// Every reason that was given.
    pub(super) reasons: Vec<String>,
    /// The users through the Service.
    pub(super) users: Users,
    /// Until it was found.
    pub(super) took: Duration,
}

impl Found {
    pub(super) fn sentence(&self) -> String {
        let Tally {
            right,
            wrong,
            unanswered,
            words,
            logins_failed: _,
        } = &self.users.new;
        let examples = if words.is_empty() || *wrong == 0 {
            String::new()
        } else {
            format!(" ({})", words.join("; "))
        };
        let regular = &self.users.regular;
        format!(
            "{} after {}; users: {right} served right, {wrong} wrong, {unanswered} not served{examples}; on kept \
             connections: {} of {}",
            self.reasons.join(" and "),
            clock(self.took),
            regular.right,
            regular.all()
        )
    }
}

/// One incident.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) reasons: &'static [&'static str],
    pub(super) plain: Plain,
    pub(super) first: Found,
    pub(super) update: Found,
    pub(super) mended: Tally,
}

impl Row {
    /// An error that says what was otherwise than promised.
    pub(super) fn ensure_kept(&self) -> Result<()> {
        let named = |found: &Found| {
            !found.reasons.is_empty() && found.reasons.iter().all(|r| self.reasons.contains(&r.as_str()))
        };
        let all_right = |tally: &Tally| tally.all() > 0 && tally.right == tally.all();
        let expected = self.reasons.join(" or ");
        ensure!(
            self.plain.ready == 3 && self.plain.tally.right < self.plain.tally.all(),
            "{}: the plain Deployment doesn't show the fault: {} of 3 ready, {} of {} users served right",
            self.name,
            self.plain.ready,
            self.plain.tally.right,
            self.plain.tally.all()
        );
        // A server that doesn't answer shows one fault only.
        ensure!(
            self.plain.tally.unanswered == 0 || self.reasons == ["Slow"],
            "{}: the plain Deployment left {} of {} users without an answer, which isn't its fault: {}",
            self.name,
            self.plain.tally.unanswered,
            self.plain.tally.all(),
            self.plain.tally.words.join("; ")
        );
        // Where nobody is admitted, nobody is served: that is the promise, and no failure.
        ensure!(
            named(&self.first) && self.first.users.new.wrong == 0,
            "{}: as first declaration, expected {expected} and nobody served wrong: {}",
            self.name,
            self.first.sentence()
        );
        ensure!(
            named(&self.update) && all_right(&self.update.users.new),
            "{}: as an update, expected {expected} and everybody served: {} {}",
            self.name,
            self.update.sentence(),
            self.update.users.new.words.join("; ")
        );
        ensure!(
            all_right(&self.mended),
            "{}: mended, {} of {} users served right: {}",
            self.name,
            self.mended.right,
            self.mended.all(),
            self.mended.words.join("; ")
        );
        Ok(())
    }

    /// In one line.
    pub(super) fn sentence(&self) -> String {
        format!(
            "{}: plain {} of {} users served right; under Accord {}, as an update {} of {}, mended {} of {}",
            self.name,
            self.plain.tally.right,
            self.plain.tally.all(),
            self.first.reasons.join(" and "),
            self.update.users.new.right,
            self.update.users.new.all(),
            self.mended.right,
            self.mended.all()
        )
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn is_perfect(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|r| r.ensure_kept().is_ok())
    }

    pub(super) fn print(&self) {
        println!(
            "\n{:<26} {:>24}  {:<32}  {:<32} {:>9}",
            "users served right",
            "plain Deployment",
            "first declaration, under Accord",
            "as an update, under Accord",
            "mended"
        );
        for row in &self.rows {
            let share = |tally: &Tally| format!("{} of {}", tally.right, tally.all());
            let found = |found: &Found, served: String| format!("{}, {served}", found.reasons.join("+"));
            println!(
                "{:<26} {:>24}  {:<32}  {:<32} {:>9}",
                row.name,
                format!("{}, {} logins", share(&row.plain.tally), row.plain.tally.logins()),
                found(&row.first, format!("{} wrong", row.first.users.new.wrong)),
                found(&row.update, share(&row.update.users.new)),
                share(&row.mended)
            );
        }
        for row in &self.rows {
            if let Err(error) = row.ensure_kept() {
                println!("✗ {error}");
            }
        }
        println!("\n{}", self.total());
    }

    fn total(&self) -> String {
        let sum = |pick: fn(&Row) -> &Tally| {
            self.rows
                .iter()
                .map(pick)
                .fold((0, 0), |(right, all), t| (right + t.right, all + t.all()))
        };
        let (plain, plain_all) = sum(|r| &r.plain.tally);
        let (update, update_all) = sum(|r| &r.update.users.new);
        let (regular, regular_all) = sum(|r| &r.update.users.regular);
        let (mended, mended_all) = sum(|r| &r.mended);
        let (under, under_all) = (update + mended, update_all + mended_all);
        let wrong: usize = self.rows.iter().map(|r| r.first.users.new.wrong).sum();
        let kept = self.rows.iter().filter(|r| r.ensure_kept().is_ok()).count();
        format!(
            "{kept} of {} incidents as promised. Users served right: plain {} ({plain} of {plain_all}), under Accord {} \
             ({under} of {under_all}), on connections that were kept through updates {} ({regular} of {regular_all}); \
             served wrong in first declarations: {wrong}.",
            self.rows.len(),
            percent(plain, plain_all),
            percent(under, under_all),
            percent(regular, regular_all)
        )
    }
}

/// Rounded down: 100 % means all of them.
fn percent(right: usize, all: usize) -> String {
    (right * 100)
        .checked_div(all)
        .map_or_else(|| "-".to_owned(), |p| format!("{p} %"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(right: usize, wrong: usize) -> Tally {
        Tally {
            right,
            wrong,
            ..Tally::default()
        }
    }

    fn found(reason: &str, users: Tally) -> Found {
        Found {
            reasons: vec![reason.to_owned()],
            users: Users {
                new: users,
                regular: Tally::default(),
            },
            took: Duration::ZERO,
        }
    }

    fn row() -> Row {
        Row {
            name: "x",
            reasons: &["LocalSession"],
            plain: Plain {
                ready: 3,
                tally: tally(20, 40),
            },
            first: found("LocalSession", tally(0, 0)),
            update: found("LocalSession", tally(9, 0)),
            mended: tally(9, 0),
        }
    }

    #[test]
    fn a_promise_is_broken_by_each_of_its_parts() {
        row().ensure_kept().unwrap();
        let broken: [fn(&mut Row); 9] = [
            |r| r.plain.tally.unanswered = 60,
            |r| r.plain.tally = tally(60, 0),
            |r| r.plain.ready = 2,
            |r| r.first.reasons = vec!["LocalDatabase".into()],
            |r| r.first.reasons.clear(),
            |r| r.first.users.new = tally(1, 1),
            |r| r.update.users.new = tally(8, 1),
            |r| r.update.reasons.clear(),
            |r| r.mended = tally(0, 0),
        ];
        for (index, change) in broken.iter().enumerate() {
            let mut row = row();
            change(&mut row);
            assert!(row.ensure_kept().is_err(), "{index}");
        }
    }

    #[test]
    fn one_wrong_answer_of_many_is_not_all_of_them() {
        assert_eq!(percent(999, 1000), "99 %");
        assert_eq!(percent(0, 0), "-");
    }
}
