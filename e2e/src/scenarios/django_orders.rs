//! The demo's steps as a test: from one replica to five and back, and through restarts of the stores.

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::demo;

const NAMESPACE: &str = "scenario-django-orders";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    cluster.delete_namespace(NAMESPACE)?;
    let table = demo::journey(cluster, NAMESPACE)?;
    table.print();
    let wrong = table.wrong();
    ensure!(
        table.is_perfect(),
        "{} answers were otherwise:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    cluster.delete_namespace(NAMESPACE)
}
