//! The queue of services to be looked at: never twice at a time for one service, a bounded number of them at once, and
//! again later after an error. Knows nothing of what a look is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{Error, Retry};
use crate::index::Key;

/// Services that are looked at at once.
const CONCURRENCY: usize = 8;
/// News that come in a burst are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How soon a service is looked at again when somebody else was faster.
const SOON: Duration = Duration::from_millis(500);
/// And when only a person can help.
const SELDOM: Duration = Duration::from_mins(2);

/// When to look again although nothing happens, or why the look failed.
pub(crate) type Outcome = Result<Option<Duration>, Error>;

/// A request to look at a service.
pub(crate) type Request = ScheduleRequest<Key>;

/// Asks for passes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trigger(UnboundedSender<Request>);

impl Trigger {
    /// A trigger, and the requests that come of it.
    pub(crate) fn new() -> (Self, UnboundedReceiver<Request>) {
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        (Self(sender), receiver)
    }

    /// Look at a service now.
    pub(crate) fn now(&self, key: Key) {
        self.after(key, DEBOUNCE);
    }

    /// Look at a service later, if nothing happens before.
    pub(crate) fn after(&self, key: Key, delay: Duration) {
        // It fails only when the controller has ended.
        let _ = self.0.unbounded_send(ScheduleRequest {
            message: key,
            run_at: Instant::now() + delay,
        });
    }

    pub(crate) fn all(&self, keys: BTreeSet<Key>) {
        for key in keys {
            self.now(key);
        }
    }
}

/// Takes services from the queue and works on them, until it is dropped.
pub(crate) async fn work_off<F>(
    trigger: Trigger,
    requests: UnboundedReceiver<Request>,
    work: impl Fn(Key) -> F,
) where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut queue = pin!(scheduler(requests));
    let mut running = JoinSet::new();
    let mut busy: HashMap<tokio::task::Id, Key> = HashMap::new();
    let mut delays: HashMap<Key, ExponentialBackoff> = HashMap::new();
    loop {
        let held: HashSet<&Key> = busy.values().collect();
        let is_free = |key: &Key| held.len() < CONCURRENCY && !held.contains(key);
        tokio::select! {
            next = { let mut waiting = queue.as_mut().hold_unless(is_free); async move { waiting.next().await } } => {
                let Some(key) = next else { return };
                let task = running.spawn(work(key.clone()));
                busy.insert(task.id(), key);
            }
            Some(ended) = running.join_next_with_id(), if !busy.is_empty() => {
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, Some(outcome)),
                    Err(broken) => (broken.id(), None),
                };
                let Some(key) = busy.remove(&id) else { continue };
                if let Some(delay) = settle(&key, outcome, &mut delays) {
                    trigger.after(key, delay);
                }
            }
        }
    }
}

/// When to look at a service again. `None` as an outcome is a panic.
fn settle(
    key: &Key,
    outcome: Option<Outcome>,
    delays: &mut HashMap<Key, ExponentialBackoff>,
) -> Option<Duration> {
    let (namespace, service) = key;
    let error = match outcome {
        Some(Ok(again)) => {
            delays.remove(key);
            return again;
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let is_first = !delays.contains_key(key);
    let backoff = delays
        .entry(key.clone())
        .or_insert_with(backoff)
        .next()
        .unwrap_or(SELDOM);
    let retry = error.as_ref().map_or(Retry::Backoff, Error::retry);
    let delay = match retry {
        Retry::Next => SOON,
        Retry::Soon if is_first => SOON,
        Retry::Soon | Retry::Backoff => backoff,
        Retry::Seldom => backoff.max(SELDOM),
    };
    let again_in_s = delay.as_secs_f32();
    match error {
        Some(error) if error.is_expected() && (is_first || retry == Retry::Seldom) => {
            tracing::debug!(namespace, service, %error, again_in_s, "a pass ended early");
        }
        Some(error) => tracing::warn!(namespace, service, %error, again_in_s, "a pass ended with an error"),
        None => tracing::error!(
            namespace,
            service,
            again_in_s,
            "a pass broke off; this is a defect of Accord"
        ),
    }
    Some(delay)
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_mins(5))
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests;
