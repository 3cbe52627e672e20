//! What was there once is never made anew: an `AuthService` that is deleted and declared again finds its keys, its
//! volumes and its users, and who was logged in still is. With `deletionPolicy: Delete` nothing is left.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, name_of, seconds};
use crate::cluster::Cluster;
use crate::demo::orders::USERS;
use crate::images::Image;
use crate::wait::{Seen, wait};

/// What holds data, and what the namespace itself brings along.
const KINDS: [(&str, &[&str]); 3] = [
    ("secrets", &[USERS]),
    ("persistentvolumeclaims", &[]),
    ("configmaps", &["kube-root-ca.crt"]),
];

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-retain", "orders", |kit| {
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        kit.declare(&yaml)?;
        let before = kit.ready(COME_UP)?;
        let (recorded, claims) = (before["status"]["identity"].clone(), claims(kit)?);
        for field in [
            "keyRingFingerprint",
            "databaseSystemIdentifier",
            "databaseClaim",
            "cacheClaim",
        ] {
            ensure!(
                recorded[field].is_string(),
                "status.identity.{field} isn't recorded: {recorded}"
            );
        }
        let session = kit.orders()?.first_session()?;

        deleted(kit)?;
        kit.declare(&yaml)?;
        let begun = std::time::Instant::now();
        let after = kit.ready(COME_UP)?;
        let back = begun.elapsed();
        ensure!(
            after["status"]["identity"] == recorded,
            "other data than before: {} instead of {recorded}",
            after["status"]["identity"]
        );
        ensure!(self::claims(kit)? == claims, "other volume claims than before");
        let tally = kit.orders()?.ask_every_replica(&session)?;
        tally.ensure_perfect()?;

        kit.patch(&json!({"spec": {"deletionPolicy": "Delete"}}))?;
        kit.until("the finalizer", kit::NOTICE, |object| {
            object["metadata"]["finalizers"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        })?;
        deleted(kit)?;
        let begun = std::time::Instant::now();
        wait(
            kit.cluster,
            kit.namespace,
            "everything to be gone",
            CHANGE,
            || {
                let left = left(kit)?;
                Ok(if left.is_empty() {
                    Seen::Done(())
                } else {
                    Seen::NotYet(left.join(", "))
                })
            },
        )?;
        Ok(format!(
            "back in {} with the same keys, claims and users, the session from before good at {} replicas; with Delete \
             everything was gone {} later",
            seconds(back),
            tally.replicas,
            seconds(begun.elapsed())
        ))
    })
}

/// Deletes the `AuthService`, and waits until its pods are gone with it.
fn deleted(kit: &Kit<'_>) -> Result<()> {
    kit.kubectl(&["delete", "authservice", &kit.service.name, "--timeout=60s"])?;
    wait(kit.cluster, kit.namespace, "the pods to be gone", CHANGE, || {
        let pods = kit.cluster.list("pods", kit.namespace, "accord.dev/service")?;
        Ok(if pods.is_empty() {
            Seen::Done(())
        } else {
            Seen::NotYet(pods.iter().map(name_of).collect::<Vec<_>>().join(", "))
        })
    })
}

/// The claims with their UIDs.
fn claims(kit: &Kit<'_>) -> Result<Vec<(String, Value)>> {
    let all = kit.cluster.list("persistentvolumeclaims", kit.namespace, "")?;
    Ok(all
        .iter()
        .map(|c| (name_of(c).to_owned(), c["metadata"]["uid"].clone()))
        .collect())
}

fn left(kit: &Kit<'_>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (kind, given) in KINDS {
        let all = kit.cluster.list(kind, kit.namespace, "")?;
        left.extend(
            all.iter()
                .map(name_of)
                .filter(|name| !given.contains(name))
                .map(|name| format!("{kind}/{name}")),
        );
    }
    Ok(left)
}
