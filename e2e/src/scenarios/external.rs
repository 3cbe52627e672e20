//! A database and a cache that Accord doesn't run. They are another service's, reached by their own names with a
//! certificate that is verified: to the service under test they are somebody else's servers.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::kit::{self, COME_UP, Kit, seconds};
use crate::cluster::Cluster;
use crate::demo::orders::Orders;
use crate::demo::service::Service;
use crate::images::Image;

const NAME: &str = "guest";
/// Only in the SQL below and in a Secret of a namespace that is deleted.
const PASSWORD: &str = "only-for-this-scenario-0123456789";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-external", "orders", |kit| {
        kit.bring_up(1)?;
        lend(kit)?;
        let image = Image::example("django-orders");
        let mut yaml = kit.orders_yaml(&image, 2)?;
        for (from, to) in [
            ("metadata: {name: orders}", "metadata: {name: guest}"),
            (
                "database: {managed: {}}",
                "database: {external: {secretRef: {name: my-database}}}",
            ),
            (
                "cache: {managed: {}}",
                "cache: {external: {secretRef: {name: my-cache}}}",
            ),
        ] {
            yaml = kit::replaced(&yaml, from, to)?;
        }
        let begun = Instant::now();
        kit.declare(&yaml)?;
        let guest = Service::new(kit.cluster, kit.namespace, NAME);
        guest.wait_until_ready(COME_UP)?;
        guest.wait_for_replicas(2)?;
        let took = begun.elapsed();

        let orders = Orders::new(kit.cluster, kit.namespace, &guest)?;
        let tally = orders.ask_every_replica(&orders.first_session()?)?;
        tally.ensure_perfect()?;
        let sets = kit
            .cluster
            .list("statefulsets", kit.namespace, "accord.dev/service=guest")?;
        ensure!(
            sets.is_empty(),
            "Accord made stores for a service that has its own"
        );
        let users = sql(
            kit,
            "guest",
            "SELECT 'users=' || count(*) FROM accounts_user WHERE username = 'staff1';",
        )?;
        ensure!(
            users.contains("users=1"),
            "staff1 isn't in the external database: {users:?}"
        );
        Ok(format!(
            "ready in {}, {} of {} answers of {} replicas as they should be",
            seconds(took),
            tally.right,
            tally.asked,
            tally.replicas
        ))
    })
}

/// Gives the guest a database with a role of its own, and a numbered database of the cache.
fn lend(kit: &Kit<'_>) -> Result<()> {
    sql(
        kit,
        "postgres",
        &format!("CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE guest OWNER guest;"),
    )?;
    let ca = kit.cluster.secret(kit.namespace, "orders-ca", "ca.crt")?;
    let cache = kit
        .cluster
        .secret(kit.namespace, "orders-cache-auth", "password")?;
    // With the namespace: Accord, which asks them too, is in another one.
    let host = |name: &str| format!("{name}.{}.svc", kit.namespace);
    let secrets = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "my-database"}, "stringData": {
            "uri": format!("postgres://guest:{PASSWORD}@{}:5432/guest", host("orders-postgres")), "ca.crt": ca}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "my-cache"}, "stringData": {
            "uri": format!("rediss://:{cache}@{}:6379/1", host("orders-cache")), "ca.crt": ca}},
    ]});
    kit.declare(&secrets.to_string())
}

/// Runs SQL as the superuser of the service's own Postgres; the password goes over standard input.
pub(super) fn sql(kit: &Kit<'_>, database: &str, sql: &str) -> Result<String> {
    let service = &kit.service.name;
    let secret = format!("{service}-database");
    let password = kit.cluster.secret(kit.namespace, &secret, "superuser")?;
    let script = format!(
        "read -r PGPASSWORD; export PGPASSWORD; exec psql -h /tmp -U postgres -d {database} -At -v ON_ERROR_STOP=1"
    );
    kit.cluster
        .kubectl_cmd()
        .args([
            "exec",
            "-i",
            "-n",
            kit.namespace,
            &format!("{service}-postgres-0"),
            "--",
            "sh",
            "-c",
            &script,
        ])
        .stdin(format!("{password}\n{sql}\n"))
        .output()
}
