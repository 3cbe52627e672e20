//! What a person sees while things take time: one line a step, with the time since the start; on a terminal a live
//! line while one step lasts. Writes to standard error only, so that standard output stays for results.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();
/// When the last line was printed, in milliseconds since the start.
static LAST: AtomicU64 = AtomicU64::new(0);
/// The live line that is on the terminal now, so that other lines can go above it.
static LIVE: Mutex<String> = Mutex::new(String::new());

thread_local! {
    /// What the lines of this thread are about, where several threads write.
    static SUBJECT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work` with its subject before each line of this thread: another's lines come between them.
pub fn under<T>(subject: &str, work: impl FnOnce() -> T) -> T {
    let before = SUBJECT.replace(format!("{subject}: "));
    let result = work();
    SUBJECT.set(before);
    result
}

fn subject() -> String {
    SUBJECT.with_borrow(String::clone)
}

/// Starts the clock; later calls change nothing.
pub fn start() {
    START.get_or_init(Instant::now);
}

/// The time since the start.
pub fn elapsed() -> Duration {
    START.get_or_init(Instant::now).elapsed()
}

/// Prints one line with the time since the start.
pub fn say(text: &str) {
    let subject = subject();
    LAST.store(
        u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
    let mut current = live();
    let mut err = std::io::stderr().lock();
    if !current.is_empty() {
        let _ = write!(err, "\r\x1b[K");
        current.clear();
    }
    for line in text.lines() {
        let _ = writeln!(err, "{:>7}  {subject}{line}", clock(elapsed()));
    }
}

/// Prints lines that belong to the one before: no time of their own.
pub fn detail(text: &str) {
    let subject = subject();
    for line in text.lines() {
        let mut current = live();
        let mut err = std::io::stderr().lock();
        if !current.is_empty() {
            let _ = write!(err, "\r\x1b[K");
            current.clear();
        }
        let _ = writeln!(err, "         {subject}{line}");
    }
}

/// Shows a line that the next one replaces. Without a terminal one each half minute is printed, so that a log shows
/// what is waited for.
pub fn live_line(words: &str) {
    if !std::io::stderr().is_terminal() {
        if is_due() {
            say(words);
        }
        return;
    }
    let mut current = live();
    let text: String = format!("{:>7}  {}{words}", clock(elapsed()), subject())
        .chars()
        .take(width())
        .collect();
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    let _ = std::io::stderr().flush();
    *current = text;
}

/// True once each half minute since the last line.
fn is_due() -> bool {
    let last = Duration::from_millis(LAST.load(Ordering::Relaxed));
    elapsed().saturating_sub(last) > Duration::from_secs(30)
}

/// Runs `work`, which may take long: says what it is, how long it is expected to take, and how long it took.
/// Without a terminal a line each minute shows that it still goes on.
pub fn during<T>(what: &str, expectation: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    if expectation.is_empty() {
        say(&format!("{what} …"));
    } else {
        say(&format!("{what} … ({expectation})"));
    }
    let (done, ended) = channel::<()>();
    let subject = subject();
    std::thread::scope(|scope| {
        let _watcher = scope.spawn(move || {
            SUBJECT.set(subject);
            let tick = if std::io::stderr().is_terminal() { 1 } else { 60 };
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_secs(tick)) {
                let line = format!("{what}: {} so far", clock(begun.elapsed()));
                if tick == 1 { live_line(&line) } else { say(&line) }
            }
        });
        let result = work();
        drop(done);
        if begun.elapsed() > Duration::from_secs(2) {
            say(&format!("{what}: took {}", clock(begun.elapsed())));
        }
        result
    })
}

/// A duration as people write it: `4.2s`, `3m07s`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 100 {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

fn live() -> std::sync::MutexGuard<'static, String> {
    LIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn width() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|c| c.parse().ok())
        .unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_have_tenths_and_long_ones_minutes() {
        assert_eq!(clock(Duration::from_millis(4210)), "4.2s");
        assert_eq!(clock(Duration::from_secs(187)), "3m07s");
    }

    #[test]
    fn lines_have_their_subject_for_as_long_as_it_is_worked_on() {
        let inner = under("calm", || under("drift", subject) + &subject());
        assert_eq!(inner, "drift: calm: ");
        assert_eq!(subject(), "");
    }

    #[test]
    fn work_is_run_once_and_its_result_comes_back() {
        let mut runs = 0;
        let result = during("adding", "", || {
            runs += 1;
            41 + runs
        });
        assert_eq!((result, runs), (42, 1));
    }
}
