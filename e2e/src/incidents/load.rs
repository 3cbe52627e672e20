//! Users who come at a fixed rate whatever becomes of those before them (an open loop): a service that answers late
//! doesn't get fewer of them, which would hide it. Beside them regulars, who keep their connection from visit to visit
//! and are counted apart: the Service chose a replica for them once, and nobody asks again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::visit::{User, Visit};
use crate::http::PodHttp;

/// Between two users: a login hashes a password for half a second of CPU, and one replica may be alone with all of them.
const PACE: Duration = Duration::from_millis(1500);
/// Between two changes of the one password.
const SLOW_PACE: Duration = Duration::from_secs(5);
/// Users at most, whatever becomes of the body: ten minutes of them.
const MOST: usize = 400;
/// Clients that keep their connection, each with a visit after the other.
const REGULARS: usize = 2;
/// Between two visits of a regular.
const REGULAR_PACE: Duration = Duration::from_secs(3);

/// What became of the users through the Service.
#[derive(Debug, Default, Clone)]
pub(super) struct Users {
    /// With a new connection for each request.
    pub(super) new: Tally,
    /// With one connection for as long as the server keeps it.
    pub(super) regular: Tally,
}

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
) -> Result<(T, Users)> {
    let over = AtomicBool::new(false);
    let (new, regular) = (Mutex::new(Tally::default()), Mutex::new(Tally::default()));
    let done = std::thread::scope(|scope| {
        let (over, new, regular) = (&over, &new, &regular);
        // Visits that wait for their turn aren't the Service's fault: fewer come. A regular's would only wait too.
        let (pace, regulars) = match user.turn {
            Some(_) => (SLOW_PACE, 0),
            None => (PACE, REGULARS),
        };
        scope.spawn(move || {
            let begun = Instant::now();
            for number in 0..MOST {
                let due = begun + pace * u32::try_from(number).unwrap_or(u32::MAX);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if over.load(Ordering::Relaxed) {
                    return;
                }
                scope.spawn(move || count(new, user.visit(front, front)));
            }
        });
        for _ in 0..regulars {
            scope.spawn(move || {
                let front = front.kept_open();
                for _ in 0..MOST {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    count(regular, user.visit(&front, &front));
                    std::thread::sleep(REGULAR_PACE);
                }
            });
        }
        let done = body();
        over.store(true, Ordering::Relaxed);
        done
    });
    let [new, regular] = [new, regular].map(|t| t.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok((done?, Users { new, regular }))
}

fn count(tally: &Mutex<Tally>, visit: Visit) {
    tally.lock().unwrap_or_else(PoisonError::into_inner).count(visit);
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
