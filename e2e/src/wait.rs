//! Waiting for a condition with a limit, and saying what was last seen when it doesn't come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::progress;

/// How an attempt went.
#[derive(Debug)]
pub enum Seen<T> {
    /// It is there.
    Done(T),
    /// Not yet; the words say what was seen instead, and become the live line and the error.
    NotYet(String),
    /// It will not come; the words say why.
    Never(String),
}

/// Tries until `attempt` is done. An error of an attempt is not the end: a cluster that restarts something answers
/// with errors for a while. At the limit the error says what was last seen, and what happened in the namespace.
pub fn wait<T>(
    cluster: &Cluster,
    namespace: &str,
    description: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let last = match attempt() {
            Ok(Seen::Done(value)) => return Ok(value),
            Ok(Seen::NotYet(words)) => words,
            Ok(Seen::Never(words)) => bail!("{description}: {words}\n{}", cluster.recent(namespace)),
            Err(error) => format!("{error:#}"),
        };
        if begun.elapsed() > limit {
            bail!(
                "gave up waiting for {description} after {}.\nLast seen: {last}\n{}",
                progress::clock(begun.elapsed()),
                cluster.recent(namespace)
            );
        }
        let first = last.lines().next().unwrap_or_default();
        progress::live_line(&format!("waiting for {description}: {first}"));
        std::thread::sleep(Duration::from_millis(300));
    }
}
