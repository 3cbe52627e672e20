//! Users who log in while a life goes on, twenty a second by the clock, whatever becomes of those before them: whoever
//! waited for answers would send fewer just when it goes badly. From the first ready pod on, until it is ended.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::random::Random;
use super::traffic::Traffic;
use super::visit::{Visit, visit};

/// Between two users.
const PACE: Duration = Duration::from_millis(50);
/// For so long a user waits for both answers. A machine with other work may take its time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Users at a time. Who is one too many counts as failed: nobody is left out.
const AT_ONCE: usize = 100;
/// Of so many that failed it is told how.
const TOLD: usize = 3;

/// What became of the users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Right at once.
    pub(super) right: usize,
    /// Right after the one retry that is allowed.
    pub(super) retried: usize,
    /// Answered, and not right.
    pub(super) wrong: usize,
    /// Not answered.
    pub(super) failed: usize,
    /// How the first of those that weren't right went.
    pub(super) words: Vec<String>,
}

impl Counts {
    pub(super) fn all(&self) -> usize {
        self.right + self.retried + self.lost()
    }

    /// Those that didn't get what they came for.
    pub(super) fn lost(&self) -> usize {
        self.wrong + self.failed
    }

    /// What is wrong with that, if anything is.
    pub(super) fn fault(&self) -> Option<String> {
        if self.all() == 0 {
            return Some("nobody logged in".to_owned());
        }
        (self.lost() > 0).then(|| {
            format!(
                "of {} logins {} were answered wrongly and {} failed:\n{}",
                self.all(),
                self.wrong,
                self.failed,
                self.words.join("\n")
            )
        })
    }

    fn count(&mut self, after: Duration, visit: Visit) {
        let (count, words) = match visit {
            Visit::Right => (&mut self.right, None),
            Visit::Retried => (&mut self.retried, None),
            Visit::Wrong(words) => (&mut self.wrong, Some(words)),
            Visit::Failed(words) => (&mut self.failed, Some(words)),
        };
        *count += 1;
        if let Some(words) = words.filter(|_| self.words.len() < TOLD) {
            let after = after.as_secs_f64();
            self.words.push(format!("{after:.1} s after the first: {words}"));
        }
    }
}

/// The users of a life. Dropping it sends no more of them.
#[derive(Debug)]
pub(super) struct Logins {
    crowd: Arc<Crowd>,
    sends: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Crowd {
    service: Traffic,
    seed: u64,
    patience: Duration,
    at_once: usize,
    over: AtomicBool,
    there: AtomicUsize,
    counts: Mutex<Counts>,
}

impl Logins {
    /// Sends users from the first ready pod on. Which pods they are sent to is drawn by the seed.
    pub(super) fn start(service: Traffic, seed: u64) -> Self {
        Self::within(service, seed, PATIENCE, AT_ONCE)
    }

    fn within(service: Traffic, seed: u64, patience: Duration, at_once: usize) -> Self {
        let crowd = Arc::new(Crowd {
            service,
            seed,
            patience,
            at_once,
            over: AtomicBool::new(false),
            there: AtomicUsize::new(0),
            counts: Mutex::default(),
        });
        let sent = Arc::clone(&crowd);
        Self {
            crowd,
            sends: Mutex::new(Some(std::thread::spawn(move || sent.come()))),
        }
    }

    /// Sends no more, waits for those that are there, and says what became of all.
    pub(super) fn end(&self) -> Counts {
        self.crowd.over.store(true, Ordering::Relaxed);
        let sends = self.sends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sends) = sends {
            // It can't panic, and what was counted stays.
            let _ = sends.join();
        }
        let counts = self.crowd.counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.crowd.over.store(true, Ordering::Relaxed);
    }
}

impl Crowd {
    fn come(&self) {
        while !self.service.has_begun() {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(PACE);
        }
        let first = Instant::now();
        std::thread::scope(|scope| {
            for number in 0_u32.. {
                // Who couldn't be sent in time is sent late, and not left out.
                let due = first + PACE * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if self.over.load(Ordering::Relaxed) {
                    return;
                }
                let after = first.elapsed();
                if self.there.fetch_add(1, Ordering::Relaxed) >= self.at_once {
                    let words = format!("{} others are waiting", self.at_once);
                    self.left(after, Visit::Failed(words));
                    continue;
                }
                let random = Random::of(self.seed.wrapping_add(number.into()));
                let one = move || self.left(after, visit(&self.service, random, self.patience));
                if let Err(error) = Builder::new().spawn_scoped(scope, one) {
                    self.left(after, Visit::Failed(format!("no thread for it: {error}")));
                }
            }
        });
    }

    fn left(&self, after: Duration, visit: Visit) {
        self.there.fetch_sub(1, Ordering::Relaxed);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.count(after, visit);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    fn counts(visits: &[Visit]) -> Counts {
        let mut counts = Counts::default();
        for visit in visits {
            counts.count(Duration::from_millis(1500), visit.clone());
        }
        counts
    }

    #[test]
    fn each_kind_is_counted_apart_and_only_the_lost_are_a_fault() {
        let good = counts(&[Visit::Right, Visit::Right, Visit::Retried]);
        assert_eq!((good.right, good.retried, good.all(), good.lost()), (2, 1, 3, 0));
        assert_eq!(good.fault(), None);
        for lost in [Visit::Wrong("how".into()), Visit::Failed("how".into())] {
            let counts = counts(&[Visit::Right, lost]);
            let fault = counts.fault().unwrap();
            assert!(fault.ends_with("1.5 s after the first: how"), "{fault}");
            assert!(fault.starts_with("of 2 logins ") && counts.lost() == 1, "{fault}");
        }
        let many = counts(&vec![Visit::Failed("how".into()); 50]);
        assert_eq!((many.failed, many.words.len()), (50, TOLD));
        assert_eq!(Counts::default().fault().as_deref(), Some("nobody logged in"));
    }

    /// Ends the users once it is enough.
    fn after(logins: &Logins, enough: impl Fn(&Counts) -> bool) -> Counts {
        let begun = Instant::now();
        while !enough(&logins.crowd.counts.lock().unwrap()) {
            assert!(begun.elapsed() < Duration::from_mins(1), "{logins:?}");
            std::thread::sleep(PACE);
        }
        logins.end()
    }

    #[test]
    fn nobody_comes_before_there_is_a_pod() {
        let logins = Logins::start(Traffic::default(), 7);
        assert_eq!(logins.end(), Counts::default());
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let logins = Logins::start(Traffic::to(&[nobody], &[]), 7);
        let counts = after(&logins, |counts| counts.all() >= 3);
        assert!(counts.failed == counts.all(), "{counts:?}");
    }

    #[test]
    fn users_come_while_others_wait_and_who_is_one_too_many_has_failed() {
        // Takes connections, and answers nobody: whoever waited for an answer would be the only one.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = Traffic::to(&[listener.local_addr().unwrap()], &[]);
        let logins = Logins::within(silent, 7, Duration::from_secs(2), 5);
        let is_one_too_many = |words: &String| words.ends_with("5 others are waiting");
        let counts = after(&logins, |counts| counts.words.iter().any(is_one_too_many));
        let waited = counts.failed - counts.words.iter().filter(|words| is_one_too_many(words)).count();
        assert!(
            waited >= 5,
            "those that waited are counted when they leave: {counts:?}"
        );
    }
}
