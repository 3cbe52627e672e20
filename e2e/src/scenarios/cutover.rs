//! A release that ends all sessions, accepted.

use anyhow::Result;

use super::kit::left_out;
use crate::cluster::Cluster;
use crate::incidents::cutover;
use crate::{demo, progress};

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        left_out("users come through a Service's own address, which is reached on the embedded cluster only");
        return Ok(());
    }
    demo::install(cluster)?;
    progress::say(&format!("   {}", cutover::show(cluster)?));
    Ok(())
}
