//! A watch in the background: every state that the API server told of, so that a scenario can say "never", which no
//! number of looks can.

use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;

/// One state of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// When it was told.
    pub(crate) at: Instant,
    /// The object.
    pub(crate) object: Value,
}

/// A watch of one kind in one namespace, which ends with the value.
#[derive(Debug)]
pub(crate) struct Watch {
    child: Child,
    seen: Arc<Mutex<Vec<Change>>>,
}

impl Watch {
    /// Begins to watch what a label selector picks; all with an empty one. What is there already comes as `ADDED`.
    pub(crate) fn start(cluster: &Cluster, kind: &str, namespace: &str, selector: &str) -> Result<Self> {
        let mut child = cluster
            .kubectl_cmd()
            .args([
                "get",
                kind,
                "-n",
                namespace,
                "-l",
                selector,
                "--watch",
                "--output-watch-events",
                "-o",
                "json",
            ])
            .spawn_piped()?;
        let output = child.stdout.take().context("kubectl has no output")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        std::thread::spawn(move || {
            // Ends with kubectl, whose output then ends.
            for event in serde_json::Deserializer::from_reader(output).into_iter::<Value>() {
                let Ok(mut event) = event else { return };
                let change = Change {
                    at: Instant::now(),
                    object: event["object"].take(),
                };
                list.lock().unwrap_or_else(PoisonError::into_inner).push(change);
            }
        });
        Ok(Self { child, seen })
    }

    /// What was told until now, in its order.
    pub(crate) fn seen(&self) -> Vec<Change> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
