//! Volumes that are taken away, emptied, and put back, as the embedded cluster has them: directories of the node.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{CLAIMS, annotate, copy, create, held};
use crate::cluster::Cluster;
use crate::scenarios::kit::{CHANGE, Kit, name_of};
use crate::wait::{Seen, wait};

const POD: &str = "orders-postgres-0";
/// What `initdb` makes on the volume.
const DATA: &str = "pgdata";

/// The volume of a claim, and its directory.
pub(super) fn volume(kit: &Kit<'_>, claim: &str) -> Result<(String, PathBuf)> {
    let claim = kit.cluster.get("pvc", kit.namespace, claim)?;
    let name = claim["spec"]["volumeName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let volume = kit.cluster.get("pv", "default", &name)?;
    let path = volume["spec"]["hostPath"]["path"].as_str();
    Ok((
        name,
        path.context("the volume is no directory of the node")?.into(),
    ))
}

/// What becomes of a volume when its claim goes.
fn reclaim(cluster: &Cluster, volume: &str, policy: &str) -> Result<()> {
    let patch = format!(r#"{{"spec":{{"persistentVolumeReclaimPolicy":"{policy}"}}}}"#);
    cluster
        .kubectl(&["patch", "pv", volume, "--type=merge", "-p", &patch])
        .map(drop)
}

/// Keeps the volumes of both stores whatever becomes of their claims, as one does in production.
pub(super) fn keep(kit: &Kit<'_>) -> Result<()> {
    for claim in CLAIMS {
        reclaim(kit.cluster, &volume(kit, claim)?.0, "Retain")?;
    }
    Ok(())
}

/// Volumes that were of a namespace go with their claims again.
pub(super) fn let_go(cluster: &Cluster, namespace: &str) -> Result<()> {
    for volume in cluster.list("pv", "default", "")? {
        let kept = volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain";
        if kept && volume["spec"]["claimRef"]["namespace"] == namespace {
            reclaim(cluster, name_of(&volume), "Delete")?;
        }
    }
    Ok(())
}

/// A volume waits for a claim of the same name, whatever its UID.
pub(super) fn offer(cluster: &Cluster, volume: &str) -> Result<()> {
    let patch = r#"{"spec":{"claimRef":{"uid":null,"resourceVersion":null}}}"#;
    cluster
        .kubectl(&["patch", "pv", volume, "--type=merge", "-p", patch])
        .map(drop)
}

/// The claim is deleted while it is in use: Kubernetes keeps it until the pod goes, and users notice nothing.
pub(super) fn claim_marked(kit: &Kit<'_>) -> Result<()> {
    keep(kit)?;
    kit.kubectl(&["delete", "pvc", CLAIMS[0], "--wait=false"])?;
    held(
        kit,
        "DataMissing",
        &[CLAIMS[0], "is being deleted while it is in use"],
    )
}

/// The claim as a backup has it, and its volume.
pub(super) fn saved(kit: &Kit<'_>) -> Result<(Value, String)> {
    Ok((copy(kit, "pvc", CLAIMS[0])?, volume(kit, CLAIMS[0])?.0))
}

/// The claim goes with its pod, as people take it away.
pub(super) fn taken_away(kit: &Kit<'_>) -> Result<()> {
    let before = kit.cluster.get("pvc", kit.namespace, CLAIMS[0])?;
    kit.kubectl(&["delete", "pvc", CLAIMS[0], "--wait=false"])?;
    kit.kubectl(&["delete", "pod", POD, "--grace-period=10"])?;
    wait(kit.cluster, kit.namespace, "another claim", CHANGE, || {
        Ok(match kit.cluster.find("pvc", kit.namespace, CLAIMS[0])? {
            Some(claim) if claim["metadata"]["uid"] != before["metadata"]["uid"] => Seen::Done(()),
            claim => Seen::NotYet(claim.map_or("none", |_| "the old one").to_owned()),
        })
    })
}

/// Then its pod goes, and the claim with it. The new one is left empty, and the way out brings the data back.
pub(super) fn claim_gone(kit: &Kit<'_>) -> Result<()> {
    let (saved, lost) = saved(kit)?;
    kit.kubectl(&["delete", "pod", POD, "--grace-period=10", "--wait=false"])?;
    held(kit, "DataMissing", &["the volume is empty"])?;
    comes_back(kit, &saved, &lost)
}

/// What operations.md says: the volume is put under the claim's name again, and its database says whose it is.
pub(super) fn comes_back(kit: &Kit<'_>, saved: &Value, volume_name: &str) -> Result<()> {
    let (empty, path) = volume(kit, CLAIMS[0])?;
    ensure!(empty != volume_name, "the claim has its old volume");
    ensure!(
        !path.join(DATA).exists(),
        "a new database was made in place of the lost one"
    );
    annotate(kit, "accord.dev/paused", Some("true"))?;
    kit.kubectl(&["scale", "statefulset/orders-postgres", "--replicas=0"])?;
    wait(kit.cluster, kit.namespace, "the pod to be gone", CHANGE, || {
        Ok(match kit.cluster.find("pod", kit.namespace, POD)? {
            None => Seen::Done(()),
            Some(pod) => Seen::NotYet(pod["status"]["phase"].to_string()),
        })
    })?;
    kit.kubectl(&["delete", "pvc", CLAIMS[0], "--timeout=60s"])?;
    offer(kit.cluster, volume_name)?;
    create(kit, saved)?;
    annotate(kit, "accord.dev/paused", None)?;
    let object = kit.ready(CHANGE)?;
    let claim = kit.cluster.get("pvc", kit.namespace, CLAIMS[0])?;
    ensure!(
        object["status"]["identity"]["databaseClaim"] == claim["metadata"]["uid"],
        "the restored claim isn't recorded"
    );
    Ok(())
}

/// The content of the volume goes, and the pod starts anew on what is left: nothing. Put back, it counts again.
pub(super) fn emptied(kit: &Kit<'_>) -> Result<()> {
    let (_, path) = volume(kit, CLAIMS[0])?;
    let (data, away) = (path.join(DATA), path.with_extension("saved"));
    fs::rename(&data, &away)?;
    let result = is_held(kit);
    let is_new = data.exists();
    if !is_new {
        fs::rename(&away, &data)?;
    }
    result?;
    ensure!(!is_new, "a new database was made in place of the lost one");
    restart(kit)?;
    kit.ready(CHANGE).map(drop)
}

fn is_held(kit: &Kit<'_>) -> Result<()> {
    restart(kit)?;
    held(kit, "DataMissing", &["the volume is empty"])
}

/// One second: without its files Postgres doesn't end by itself.
fn restart(kit: &Kit<'_>) -> Result<()> {
    kit.kubectl(&["delete", "pod", POD, "--grace-period=1", "--wait=false"])
        .map(drop)
}
