//! A namespace is lost with all that is in it, and restored from a backup of its objects and its volumes: other UIDs, owners
//! stripped, as backup tools do it. Users' passwords and tokens go on to work, and nothing is made or run again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{CLAIMS, DATABASE, Kept, bring_up, carry, create, volumes};
use crate::cluster::Cluster;
use crate::scenarios::external::sql;
use crate::scenarios::kit::{self, CHANGE, COME_UP, Kit, NOTICE, name_of, seconds};
use crate::wait::{Seen, wait};

const NAMESPACE: &str = "scenario-restore";
/// In the order of a restore. Pods and finished Jobs aren't restored.
const KINDS: [&str; 10] = [
    "persistentvolumeclaims",
    "secrets",
    "configmaps",
    "replicasets",
    "authservices",
    "controllerrevisions",
    "deployments",
    "poddisruptionbudgets",
    "services",
    "statefulsets",
];

/// How the backup comes back.
struct How {
    /// Owners by UIDs that are no more, which Kubernetes collects for; none otherwise.
    stale_owners: bool,
    /// With the status of the service as it was.
    status: bool,
}

const COMMON: How = How {
    stale_owners: false,
    status: false,
};
/// `kubectl get -o yaml`, applied.
const RAW: How = How {
    stale_owners: true,
    status: true,
};

pub(in crate::scenarios) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out(
            "it needs volumes that outlive their claims, which it can make on the embedded cluster only",
        );
        return Ok(());
    }
    let result = kit::with(cluster, NAMESPACE, "orders", |kit| {
        bring_up(kit)?;
        volumes::keep(kit)?;
        let mut said = vec![comes_back(kit, &COMMON)?];
        if kit::tier(Duration::ZERO, Duration::MAX) > Duration::ZERO {
            said.push(comes_back(kit, &RAW)?);
        }
        kit.patch(&json!({"spec": {"deletionPolicy": "Delete"}}))?;
        kit.until("the finalizer", NOTICE, |object| {
            object["metadata"]["finalizers"].is_array()
        })?;
        said_what_goes(kit)?;
        volumes::let_go(cluster, NAMESPACE)?;
        let ended = deleted(kit)?;
        no_volume_is_left(kit)?;
        Ok(format!(
            "{}; under Delete the namespace ended in {}, and no volume was left",
            said.join("; "),
            seconds(ended)
        ))
    });
    result.and(volumes::let_go(cluster, NAMESPACE))
}

/// Backs up, deletes the namespace, restores, and compares.
fn comes_back(kit: &Kit<'_>, how: &How) -> Result<String> {
    let (kept, runs) = (Kept::of(kit)?, runs(kit)?);
    let session = kit.orders()?.first_session()?;
    let backup = back_up(kit, how)?;
    let status = kit.service.object()?["status"].clone();
    let mut places = Vec::new();
    for claim in CLAIMS {
        places.push(volumes::volume(kit, claim)?.0);
    }
    let ended = deleted(kit)?;

    kit.cluster.namespace(kit.namespace)?;
    let begun = Instant::now();
    for volume in &places {
        volumes::offer(kit.cluster, volume)?;
    }
    for object in &backup {
        come_back(kit, object)?;
        if how.status && object["kind"] == "AuthService" {
            let patch = json!({"status": status}).to_string();
            let name = name_of(object);
            let args = [
                "patch",
                "authservice",
                name,
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ];
            kit.kubectl(&args)?;
        }
    }
    kit.ready(COME_UP)?;
    let back = begun.elapsed();
    kept.ensure_same(kit)?;
    let now = self::runs(kit)?;
    ensure!(
        now == runs,
        "a migration or seed ran again: {now:?} instead of {runs:?}"
    );
    let orders = kit.orders()?;
    let tally = orders.ask_every_replica(&session)?;
    tally.ensure_perfect()?;
    orders.honour_tokens(&session)?.ensure_perfect()?;
    Ok(format!(
        "the namespace ended in {}, {} objects came back in {}{}: same keys, passwords, users and runs, session and tokens from before \
         good at {} replicas",
        seconds(ended),
        backup.len(),
        seconds(back),
        if how.stale_owners {
            " with stale owners and status"
        } else {
            ""
        },
        tally.replicas
    ))
}

/// Creates an object. Once the AuthService is there its children may be too: they are left alone, as backup tools do.
fn come_back(kit: &Kit<'_>, object: &Value) -> Result<()> {
    let kind = object["kind"].as_str().unwrap_or_default();
    match create(kit, object) {
        Err(error) if kit.cluster.find(kind, kit.namespace, name_of(object))?.is_none() => Err(error),
        _ => Ok(()),
    }
}

/// Every object that a backup has, as it is restored.
fn back_up(kit: &Kit<'_>, how: &How) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for kind in KINDS {
        for mut object in kit.cluster.list(kind, kit.namespace, "")? {
            if name_of(&object) == "kube-root-ca.crt" {
                continue;
            }
            carry(&mut object, how.stale_owners);
            let spec = object.get_mut("spec").and_then(Value::as_object_mut);
            if let (true, Some(spec)) = (kind == "services", spec) {
                // The addresses may be another's by now.
                spec.retain(|field, _| !field.starts_with("clusterIP"));
            }
            all.push(object);
        }
    }
    Ok(all)
}

/// When each run began: one that ran again began later.
fn runs(kit: &Kit<'_>) -> Result<String> {
    sql(
        kit,
        DATABASE,
        "SELECT kind || ' ' || name || ' ' || attempt || ' ' || started_at FROM accord.ledger ORDER BY 1;",
    )
}

fn deleted(kit: &Kit<'_>) -> Result<Duration> {
    let begun = Instant::now();
    kit.cluster.delete_namespace(kit.namespace)?;
    Ok(begun.elapsed())
}

/// Before anything goes, an event says what would.
fn said_what_goes(kit: &Kit<'_>) -> Result<()> {
    wait(
        kit.cluster,
        kit.namespace,
        "the event DeletesData",
        NOTICE,
        || {
            let events = kit.cluster.list("events", kit.namespace, "")?;
            let told = events.iter().filter(|e| e["reason"] == "DeletesData");
            let messages: Vec<&str> = told.filter_map(|e| e["message"].as_str()).collect();
            Ok(if messages.iter().any(|m| CLAIMS.iter().all(|c| m.contains(c))) {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{messages:?}"))
            })
        },
    )
}

fn no_volume_is_left(kit: &Kit<'_>) -> Result<()> {
    wait(kit.cluster, "default", "the volumes to be gone", CHANGE, || {
        let all = kit.cluster.list("pv", "default", "")?;
        let ours = all
            .iter()
            .filter(|v| v["spec"]["claimRef"]["namespace"] == kit.namespace);
        let left: Vec<&str> = ours.map(name_of).collect();
        Ok(if left.is_empty() {
            Seen::Done(())
        } else {
            Seen::NotYet(left.join(", "))
        })
    })
}
