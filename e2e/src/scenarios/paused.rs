//! The annotation `accord.dev/paused` stops every write, status included; without it everything is caught up.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::kit::{self, CHANGE, seconds};
use crate::audit::Mark;
use crate::cluster::Cluster;

/// Long enough for a repair, which comes within a second or two, to be missed.
const LOOKED_AWAY: Duration = Duration::from_secs(20);

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-paused", "orders", |kit| {
        kit.bring_up(2)?;
        kit.patch(&json!({"metadata": {"annotations": {"accord.dev/paused": "true"}}}))?;
        // The pass that was under way when the annotation came may finish its writes.
        std::thread::sleep(Duration::from_secs(3));
        let mark = cluster.is_embedded().then(Mark::now).transpose()?;
        let before = kit.service.object()?;

        kit.scale(3)?;
        kit.kubectl(&["set", "env", "deployment/orders", "INTRUDER=1"])?;
        kit.kubectl(&["delete", "poddisruptionbudget", "orders"])?;
        std::thread::sleep(LOOKED_AWAY);
        let deployment = cluster.get("deployment", kit.namespace, "orders")?;
        ensure!(
            deployment["spec"]["replicas"] == 2 && deployment.to_string().contains("INTRUDER"),
            "the Deployment was changed while it was paused"
        );
        ensure!(
            cluster
                .find("poddisruptionbudget", kit.namespace, "orders")?
                .is_none(),
            "what was deleted was made again while it was paused"
        );
        ensure!(
            kit.service.object()?["status"] == before["status"],
            "the status was written while it was paused"
        );
        if let Some(mark) = mark {
            let writes = kit.writes(&mark)?;
            ensure!(
                writes.is_empty(),
                "writes while it was paused: {}",
                writes
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; ")
            );
        }

        let begun = std::time::Instant::now();
        kit.patch(&json!({"metadata": {"annotations": {"accord.dev/paused": null}}}))?;
        kit.ready(CHANGE)?;
        let deployment = cluster.get("deployment", kit.namespace, "orders")?;
        ensure!(
            deployment["spec"]["replicas"] == 3 && !deployment.to_string().contains("INTRUDER"),
            "what was missed wasn't caught up"
        );
        cluster.get("poddisruptionbudget", kit.namespace, "orders")?;
        Ok(format!(
            "0 writes in {}; caught up in {}",
            seconds(LOOKED_AWAY),
            seconds(begun.elapsed())
        ))
    })
}
