//! Idle means that nothing is written: counted in the API server's own log, while sweeps go on.

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
        let create = kit.requests(&begun)?;

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
        let refused = create.iter().filter(|r| r.code >= 400).count();
        Ok(format!(
            "0 writes and {} reads in {}; to create it {} writes ({refused} refused) and {} reads; a change of nothing: 0 \
             writes, {} reads",
            quiet.len(),
            seconds(window),
            create.iter().filter(|r| r.is_write()).count(),
            create.iter().filter(|r| !r.is_write()).count(),
            noop.len()
        ))
    })
}

/// Waits until nothing was written for a while. It has to come: a service that writes on and on never settles.
fn settled(kit: &Kit<'_>, begun: Mark) -> Result<()> {
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
