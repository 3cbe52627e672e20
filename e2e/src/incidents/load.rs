//! Users who come at a fixed rate whatever becomes of those before them (an open loop): a service that answers late
//! doesn't get fewer of them, which would hide it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::visit::{User, Visit};
use crate::http::PodHttp;

/// Between two users: a login hashes a password for half a second of CPU, and one replica may be alone with all of them.
const PACE: Duration = Duration::from_millis(1500);
/// Users at most, whatever becomes of the body: ten minutes of them.
const MOST: usize = 400;

/// What became of the users.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) right: usize,
    /// With logins that failed.
    pub(super) wrong: usize,
    pub(super) logins_failed: usize,
    pub(super) unanswered: usize,
    /// The first few that weren't right, in words.
    pub(super) words: Vec<String>,
}

impl Tally {
    pub(super) fn count(&mut self, visit: Visit) {
        // Wrong answers first: where nobody is admitted, most words would be those of refused connections.
        match visit {
            Visit::Right => self.right += 1,
            Visit::NoLogin(words) => {
                self.logins_failed += 1;
                self.wrong += 1;
                self.words.insert(0, words);
            }
            Visit::Wrong(words) => {
                self.wrong += 1;
                self.words.insert(0, words);
            }
            Visit::Unanswered(words) => {
                self.unanswered += 1;
                self.words.push(words);
            }
        }
        self.words.truncate(5);
    }

    /// Logins that succeeded, whatever came after.
    pub(super) fn logins(&self) -> usize {
        self.right + self.wrong - self.logins_failed
    }

    pub(super) fn all(&self) -> usize {
        self.right + self.wrong + self.unanswered
    }
}

/// Sends users through `front` while `body` runs.
pub(super) fn while_users_come<T>(
    user: &User<'_>,
    front: &PodHttp,
    body: impl FnOnce() -> Result<T>,
) -> Result<(T, Tally)> {
    let over = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    let done = std::thread::scope(|scope| {
        let (over, tally) = (&over, &tally);
        scope.spawn(move || {
            let begun = Instant::now();
            for number in 0..MOST {
                let due = begun + PACE * u32::try_from(number).unwrap_or(u32::MAX);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if over.load(Ordering::Relaxed) {
                    return;
                }
                scope.spawn(move || {
                    let visit = user.visit(front, front);
                    tally
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .count(visit);
                });
            }
        });
        let done = body();
        over.store(true, Ordering::Relaxed);
        done
    });
    let tally = tally
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((done?, tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_right_is_counted_by_its_kind_and_told() {
        let mut tally = Tally::default();
        tally.count(Visit::Right);
        tally.count(Visit::Wrong("a".into()));
        tally.count(Visit::Unanswered("b".into()));
        tally.count(Visit::NoLogin("c".into()));
        assert_eq!(
            (tally.right, tally.wrong, tally.unanswered, tally.all()),
            (1, 2, 1, 4)
        );
        assert_eq!(tally.logins(), 2);
        assert_eq!(tally.words, ["c", "a", "b"]);
    }
}
