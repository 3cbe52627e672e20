//! The chart's own tests that need an API server.

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::exec::{Cmd, last_lines};
use crate::{embedded, paths};

/// What the policy on `pods/status` allows and refuses.
pub(super) fn policy(cluster: &Cluster) -> Result<()> {
    script(cluster, "vap.sh")
}

/// Install, upgrade, uninstall, take over.
pub(super) fn lifecycle(cluster: &Cluster) -> Result<()> {
    script(cluster, "lifecycle.sh")
}

fn script(cluster: &Cluster, name: &str) -> Result<()> {
    let script = paths::checkout().join("charts/accord/tests").join(name);
    let outcome = Cmd::new("bash")
        .arg(script)
        .env("KUBECONFIG", cluster.kubeconfig_alone()?)
        .env("KUBECTL", cluster.kubectl_path())
        .env("HELM", embedded::helm()?)
        .outcome()?;
    if outcome.status.success() {
        return Ok(());
    }
    bail!(
        "{name} failed:\n{}\n{}",
        last_lines(&outcome.stdout, 30),
        last_lines(&outcome.stderr, 30)
    )
}
