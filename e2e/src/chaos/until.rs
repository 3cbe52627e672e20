//! Waiting for a condition with a limit, and saying what was last seen when it doesn't come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at whether it is so.
const LOOK: Duration = Duration::from_millis(200);

/// Tries until there is nothing in the way; an error at the limit says what it was last.
pub(super) fn until(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Result<(), String>>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let last = match look() {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(words)) => words,
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > limit {
            bail!("gave up waiting for {what:?} after {} s: {last}", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}
