//! One incident of `cargo xtask demo --incident` in the tests' tier; `cargo xtask demo --incident all` runs the rest.

use anyhow::Result;

use super::kit::left_out;
use crate::cluster::Cluster;
use crate::{demo, incidents, progress};

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        left_out("users come through a Service's own address, which is reached on the embedded cluster only");
        return Ok(());
    }
    demo::install(cluster)?;
    let words = incidents::show(cluster, "orders-local-session")?;
    progress::say(&format!("   {words}"));
    Ok(())
}
