//! Idle means that nothing is written: counted in the API server's own log, while sweeps go on. What a creation and a change
//! cost is told beside the least that it could be: each object once, and each change of status.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::kit::{self, COME_UP, Kit, seconds};
use crate::audit::{Mark, Request};
use crate::cluster::Cluster;
use crate::images::Image;
use crate::wait::{Seen, wait};

/// What a change that changes nothing may be followed by, until it counts as without consequence.
const AFTER: Duration = Duration::from_secs(10);

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out("it reads the audit log, which only the embedded cluster shows");
        return Ok(());
    }
    let window = kit::tier(Duration::from_mins(1), Duration::from_mins(5));
    kit::with(cluster, "scenario-idle", "orders", |kit| {
        let mut yaml = kit.orders_yaml(&Image::example("django-orders"), 3)?;
        // The shortest interval: what a sweep might write is seen several times.
        yaml.push_str("  verification: {intervalSeconds: 10}\n");
        let begun = Mark::now()?;
        kit.declare(&yaml)?;
        kit.ready(COME_UP)?;
        settled(kit, begun)?;
        let create = Tally::of(&kit.requests(&begun)?);

        let change = Mark::now()?;
        kit.scale(4)?;
        kit.ready(COME_UP)?;
        settled(kit, change)?;
        let change = Tally::of(&kit.requests(&change)?);

        let idle = Mark::now()?;
        std::thread::sleep(window);
        let quiet = kit.requests(&idle)?;
        let writes: Vec<&Request> = quiet.iter().filter(|r| r.is_write()).collect();
        ensure!(
            writes.is_empty(),
            "{} writes in {} of doing nothing, the first: {}",
            writes.len(),
            seconds(window),
            writes
                .iter()
                .take(5)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        );

        let noop = Mark::now()?;
        kit.patch(&json!({"metadata": {"annotations": {"example.com/note": "changes nothing"}}}))?;
        std::thread::sleep(AFTER);
        let noop = kit.requests(&noop)?;
        ensure!(
            !noop.iter().any(Request::is_write),
            "an annotation of somebody else led to writes: {}",
            noop.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        );
        Ok(format!(
            "0 writes and {} reads in {}; to create it {create}; to scale it from 3 to 4 {change}; a change of nothing: 0 writes, {} \
             reads",
            quiet.len(),
            seconds(window),
            noop.len()
        ))
    })
}

/// What requests were for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Objects that were written, each counted once.
    objects: BTreeSet<(String, String)>,
    /// Writes to objects that had been written before.
    again: usize,
    gates: usize,
    status: usize,
    events: usize,
    refused: usize,
    reads: usize,
}

impl Tally {
    fn of(requests: &[Request]) -> Self {
        let mut tally = Self::default();
        for request in requests {
            match request.resource.as_str() {
                _ if !request.is_write() => tally.reads += 1,
                _ if request.code >= 400 => tally.refused += 1,
                "authservices/status" => tally.status += 1,
                "pods/status" => tally.gates += 1,
                "events" => tally.events += 1,
                resource => {
                    let object = (resource.to_owned(), request.name.clone());
                    tally.again += usize::from(!tally.objects.insert(object));
                }
            }
        }
        tally
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let least = self.objects.len() + self.gates + self.status;
        write!(
            f,
            "{} writes ({} objects, {} gates and {} changes of status, which is the least; {} events; {} written again, {} refused) \
             and {} reads",
            least + self.again + self.events + self.refused,
            self.objects.len(),
            self.gates,
            self.status,
            self.events,
            self.again,
            self.refused,
            self.reads
        )
    }
}

/// Waits until nothing was written for a while. It has to come: a service that writes on and on never settles.
pub(super) fn settled(kit: &Kit<'_>, begun: Mark) -> Result<()> {
    const QUIET: Duration = Duration::from_secs(8);
    let mut last = (0, Instant::now());
    wait(
        kit.cluster,
        kit.namespace,
        "the writes to end",
        Duration::from_mins(1),
        || {
            let count = kit.writes(&begun)?.len();
            if count != last.0 {
                last = (count, Instant::now());
            }
            Ok(if last.1.elapsed() >= QUIET {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{count} writes"))
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str, name: &str, code: u64) -> Request {
        Request {
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
            code,
            denied: false,
        }
    }

    #[test]
    fn an_object_counts_once_and_what_comes_after_is_told_apart() {
        let tally = Tally::of(&[
            request("create", "secrets", "a", 201),
            request("create", "services", "a", 201),
            request("patch", "services", "a", 200),
            request("create", "jobs", "a", 409),
            request("get", "jobs", "a", 200),
            request("patch", "authservices/status", "a", 200),
            request("patch", "pods/status", "a-1", 200),
            request("create", "events", "", 201),
        ]);
        assert_eq!(
            tally.to_string(),
            "7 writes (2 objects, 1 gates and 1 changes of status, which is the least; 1 events; 1 written again, 1 refused) and 1 reads"
        );
    }
}
