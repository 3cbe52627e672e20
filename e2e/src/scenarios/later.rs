//! A replica that diverges after it was admitted.

use anyhow::Result;

use super::kit::left_out;
use crate::cluster::Cluster;
use crate::incidents::later;
use crate::{demo, progress};

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        left_out("users come through a Service's own address, which is reached on the embedded cluster only");
        return Ok(());
    }
    demo::install(cluster)?;
    progress::say(&format!("   {}", later::show(cluster)?));
    Ok(())
}
