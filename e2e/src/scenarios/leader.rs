//! The leading operator pod goes: the other one takes over, and what serves isn't touched.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::kit::{self, CHANGE, Kit, name_of, ready_in, seconds};
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::wait::{Seen, wait};

/// Longer than the lease: a leader that ends in order gives it back before.
const TAKE_OVER: Duration = Duration::from_secs(20);
const LEASE: &str = "accord";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-leader", "orders", |kit| {
        kit.bring_up(2)?;
        let (pods, traffic, watched) = (containers(kit)?, kit.watch_traffic()?, Instant::now());
        let mut times = Vec::new();
        for (how, arguments) in [
            ("ended in order", &[][..]),
            ("deleted at once", &["--grace-period=0", "--force"][..]),
        ] {
            operators_ready(cluster)?;
            let leader = holder(cluster)?.context("somebody leads")?;
            let mut delete = vec!["delete", "pod", "-n", SYSTEM, &leader, "--wait=false"];
            delete.extend_from_slice(arguments);
            let begun = Instant::now();
            cluster.kubectl(&delete)?;
            wait(cluster, SYSTEM, "another leader", TAKE_OVER, || {
                Ok(match holder(cluster)? {
                    Some(now) if now != leader => Seen::Done(()),
                    other => Seen::NotYet(format!("{other:?}")),
                })
            })?;
            times.push(format!("{how}: {}", seconds(begun.elapsed())));
        }
        // The new leader is at work: it admits a pod.
        let begun = Instant::now();
        kit.scale(3)?;
        kit.ready(CHANGE)?;
        let scaled = begun.elapsed();

        let now = containers(kit)?;
        for pod in &pods {
            ensure!(
                now.contains(pod),
                "a server pod was restarted or replaced: {pod:?}, now {now:?}"
            );
        }
        for change in traffic.seen() {
            let ready = ready_in(&change.object);
            if let Some((name, _)) = pods.iter().find(|(name, _)| !ready.contains(&name.as_str())) {
                anyhow::bail!(
                    "{name} left traffic {} after the beginning",
                    seconds(change.at - watched)
                );
            }
        }
        operators_ready(cluster)?;
        Ok(format!(
            "another leads after: {}; no server touched; a scale-up admitted in {}",
            times.join(", "),
            seconds(scaled)
        ))
    })
}

/// The pod that leads. A holder's identity begins with its pod's name.
fn holder(cluster: &Cluster) -> Result<Option<String>> {
    let lease = cluster.get("lease", SYSTEM, LEASE)?;
    let holder = lease["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let pods = cluster.list("pods", SYSTEM, "app.kubernetes.io/component=operator")?;
    Ok(pods
        .iter()
        .map(name_of)
        .find(|name| holder.starts_with(name))
        .map(str::to_owned))
}

fn operators_ready(cluster: &Cluster) -> Result<()> {
    wait(cluster, SYSTEM, "two operator pods", CHANGE, || {
        let deployment = cluster.get("deployment", SYSTEM, "accord")?;
        let status = &deployment["status"];
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        let good = number("readyReplicas") == 2 && number("replicas") == 2;
        Ok(if good && holder(cluster)?.is_some() {
            Seen::Done(())
        } else {
            Seen::NotYet(status.to_string())
        })
    })
}

/// The server pods with their containers' IDs.
fn containers(kit: &Kit<'_>) -> Result<Vec<(String, Value)>> {
    let pods = kit.service.pods()?;
    Ok(pods
        .iter()
        .map(|p| {
            (
                name_of(p).to_owned(),
                p["status"]["containerStatuses"][0]["containerID"].clone(),
            )
        })
        .collect())
}
