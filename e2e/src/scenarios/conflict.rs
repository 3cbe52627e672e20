//! An object of a name that Accord needs is somebody else's: it is left alone, status says so, and once it is gone
//! everything goes on by itself.

use anyhow::{Result, ensure};

use super::kit::{self, COME_UP, seconds};
use crate::cluster::Cluster;
use crate::images::Image;

const FOREIGN: &str = "{apiVersion: v1, kind: Service, metadata: {name: orders, labels: {team: shop}}, \
                       spec: {selector: {app: shop}, ports: [{port: 80}]}}";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-conflict", "orders", |kit| {
        kit.declare(FOREIGN)?;
        let before = cluster.get("service", kit.namespace, "orders")?;
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        kit.declare(&yaml)?;
        let object = kit.until_reason("Conflict", COME_UP)?;
        let message = kit::condition(&object, "Ready").and_then(|c| c["message"].as_str());
        ensure!(
            message.is_some_and(|m| m.contains("Service orders")),
            "the message doesn't name the object: {message:?}"
        );
        let after = cluster.get("service", kit.namespace, "orders")?;
        ensure!(
            before == after,
            "the foreign Service was changed:\n{before}\n{after}"
        );

        kit.kubectl(&["delete", "service", "orders"])?;
        let begun = std::time::Instant::now();
        kit.ready(COME_UP)?;
        let ready = begun.elapsed();
        let orders = kit.orders()?;
        orders
            .ask_every_replica(&orders.first_session()?)?
            .ensure_perfect()?;
        Ok(format!(
            "left alone and named; ready {} after it was gone",
            seconds(ready)
        ))
    })
}
