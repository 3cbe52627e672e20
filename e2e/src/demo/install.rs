//! The images, and Accord itself by its chart, as a user would install it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::{Cluster, Loaded};
use crate::images::Image;
use crate::wait::{Seen, wait};
use crate::{paths, progress};

/// The namespace of the operator.
pub(crate) const NAMESPACE: &str = "accord-system";

/// True once Accord was installed by this process, or is said to be on the cluster. Held while it is installed: whoever
/// comes meanwhile waits for it.
static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Takes Accord as it is on the cluster, in place of building and installing this checkout's.
pub fn take_as_installed() {
    *INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) = true;
}

/// Builds and loads what is needed, and installs or upgrades Accord: once, however often it is called.
pub(crate) fn install(cluster: &Cluster) -> Result<()> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        drop(installed);
        return wait_until_available(cluster);
    }
    install_chart(cluster)?;
    wait_until_available(cluster)?;
    *installed = true;
    progress::say("✓ Accord is installed");
    Ok(())
}

fn install_chart(cluster: &Cluster) -> Result<()> {
    let postgres = cluster.load(&Image::Postgres)?;
    let valkey = cluster.load(&Image::Valkey)?;
    let operator = cluster
        .load(&Image::Operator)?
        .context("the operator's image is always built")?;
    let (repository, tag) = operator
        .reference
        .rsplit_once(':')
        .context("an image's name has a tag")?;

    let chart = paths::checkout().join("charts/accord");
    let chart = chart.to_string_lossy();
    let mut values = vec![
        format!("image.repository={repository}"),
        format!("image.tag={tag}"),
        // The tag stays while the content changes: this is what makes an upgrade replace the pods.
        format!("podAnnotations.content=key-{}", operator.key),
    ];
    let stores = [("postgres", postgres), ("valkey", valkey)];
    values.extend(stores.iter().filter_map(|(name, loaded)| {
        loaded
            .as_ref()
            .map(|Loaded { reference, .. }| format!("images.{name}={reference}"))
    }));
    progress::say("helm upgrade --install accord charts/accord --namespace accord-system --create-namespace");
    let mut args = vec![
        "upgrade",
        "--install",
        "accord",
        &chart,
        "--namespace",
        NAMESPACE,
        "--create-namespace",
    ];
    for value in &values {
        args.extend(["--set", value]);
    }
    if cluster.is_embedded() {
        // Whoever looked around may have changed a field by hand: it goes back to what the chart says.
        args.push("--force-conflicts");
    }
    cluster.helm(&args).context("Helm could not install the chart")?;
    Ok(())
}

fn wait_until_available(cluster: &Cluster) -> Result<()> {
    wait(
        cluster,
        NAMESPACE,
        "the operator to be ready",
        Duration::from_mins(3),
        || {
            let deployments = cluster.list("deployments", NAMESPACE, "app.kubernetes.io/instance=accord")?;
            let Some(deployment) = deployments.first() else {
                return Ok(Seen::NotYet("there is no Deployment".to_owned()));
            };
            let number = |path: &str| {
                deployment
                    .pointer(path)
                    .and_then(serde_json::Value::as_i64)
                    .unwrap_or_default()
            };
            let wanted = number("/spec/replicas");
            let [updated, available, existing] =
                ["updatedReplicas", "availableReplicas", "replicas"].map(|f| number(&format!("/status/{f}")));
            let current = number("/status/observedGeneration") >= number("/metadata/generation");
            if current && updated == wanted && available == wanted && existing == wanted {
                return Ok(Seen::Done(()));
            }
            Ok(Seen::NotYet(format!("{available} of {wanted} pods available")))
        },
    )
}
