//! Twenty services that fit on a small machine: the first has stores of its own, and lends each of the others a database
//! with a role of its own, and the cache. To those they are servers of somebody else.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::demo::orders;
use crate::demo::service::{Service, current_condition};
use crate::images::Image;
use crate::paths;
use crate::scenarios::external;
use crate::scenarios::kit::{self, COME_UP, Kit};
use crate::wait::{Seen, wait};

/// The Secret of the example's users.
pub(super) const USERS: &str = "accounts-demo-users";
/// Only in the SQL below and in Secrets of a namespace that is deleted.
const PASSWORD: &str = "only-for-this-scenario-0123456789";

/// How many come up at a time: the starts of more on a small machine outlast the example's patience with its database.
const AT_ONCE: usize = 5;

/// Declares so many services of one replica, waits until they are ready, and returns their names.
pub(super) fn declare(kit: &Kit<'_>, count: usize) -> Result<Vec<String>> {
    let image = Image::example("express-accounts");
    let yaml = paths::read(&paths::checkout().join("examples/express-accounts/authservice.yaml"))?;
    let yaml = kit::replaced(&yaml, &image.reference(), &kit.load(&image)?)?;
    let yaml = kit::replaced(&yaml, "replicas: 3", "replicas: 1")?;
    // The shortest there is: the sooner a leader has looked at each of them.
    let verification = "  verification:\n";
    let yaml = kit::replaced(
        &yaml,
        verification,
        &format!("{verification}    intervalSeconds: 10\n"),
    )?;
    // Twenty have to fit beside each other on two cores, with room for the operator's next pods.
    let port = "    port: 8080\n";
    let yaml = kit::replaced(
        &yaml,
        port,
        &format!("{port}    resources: {{requests: {{cpu: 10m, memory: 64Mi}}}}\n"),
    )?;
    orders::demo_users(kit.cluster, kit.namespace, USERS)?;
    kit.declare(&yaml)?;
    kit.ready(COME_UP)?;

    let mut names = vec![kit.service.name.clone()];
    names.extend((1..count).map(|number| format!("tenant-{number}")));
    let (mut sql, mut secrets, mut services) = (String::new(), Vec::new(), Vec::new());
    let lender = Lender::of(kit)?;
    for name in &names[1..] {
        let _ = writeln!(
            sql,
            "CREATE ROLE \"{name}\" LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE \"{name}\" OWNER \"{name}\";"
        );
        secrets.extend(lender.secrets(name));
        services.push(tenant(&yaml, &kit.service.name, name)?);
    }
    external::sql(kit, "postgres", &sql)?;
    kit.declare(&json!({"apiVersion": "v1", "kind": "List", "items": secrets}).to_string())?;
    for (some, declared) in services.chunks(AT_ONCE).zip((1..).step_by(AT_ONCE)) {
        kit.declare(&some.join("\n---\n"))?;
        ready(kit.cluster, kit.namespace, declared + some.len())?;
    }
    Ok(names)
}

/// The first service's declaration under another name, with stores that aren't Accord's.
fn tenant(yaml: &str, first: &str, name: &str) -> Result<String> {
    let named = |name: &str| format!("metadata: {{name: {name}}}");
    let mut yaml = kit::replaced(yaml, &named(first), &named(name))?;
    for store in ["database", "cache"] {
        let external = format!("{store}: {{external: {{secretRef: {{name: lent-{name}-{store}}}}}}}");
        yaml = kit::replaced(&yaml, &format!("{store}: {{managed: {{}}}}"), &external)?;
    }
    Ok(yaml)
}

/// Waits until so many services are declared and all of them ready.
fn ready(cluster: &Cluster, namespace: &str, count: usize) -> Result<()> {
    wait(cluster, namespace, "all services to be ready", COME_UP, || {
        let objects = cluster.list("authservices", namespace, "")?;
        let is_ready = |o: &&Value| current_condition(o, "Ready").is_some_and(|c| c["status"] == "True");
        let waiting: Vec<&str> = objects
            .iter()
            .filter(|o| !is_ready(o))
            .map(kit::name_of)
            .collect();
        Ok(match waiting.first() {
            None if objects.len() == count => Seen::Done(()),
            None => Seen::NotYet(format!("{} are declared", objects.len())),
            Some(first) => {
                let findings = Service::new(cluster, namespace, first).findings()?;
                Seen::NotYet(format!("{} wait, the first {first}: {findings}", waiting.len()))
            }
        })
    })
}

/// What it takes to reach the first service's stores.
struct Lender {
    /// Both stores' names in the cluster but for their first word, which says which it is. With the namespace: Accord, which
    /// asks them too, is in another one.
    hosts: [String; 2],
    ca: String,
    cache_password: String,
}

impl Lender {
    fn of(kit: &Kit<'_>) -> Result<Self> {
        let first = &kit.service.name;
        let secret = |secret: &str, key: &str| {
            kit.cluster
                .secret(kit.namespace, &format!("{first}-{secret}"), key)
        };
        Ok(Self {
            hosts: ["postgres", "cache"].map(|store| format!("{first}-{store}.{}.svc", kit.namespace)),
            ca: secret("ca", "ca.crt")?,
            cache_password: secret("cache-auth", "password")?,
        })
    }

    /// The Secrets of one tenant.
    fn secrets(&self, name: &str) -> [Value; 2] {
        let [postgres, cache] = &self.hosts;
        let database = format!("postgres://{name}:{PASSWORD}@{postgres}:5432/{name}");
        let cache = format!("rediss://:{}@{cache}:6379/1", self.cache_password);
        [("database", database), ("cache", cache)].map(|(store, uri)| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("lent-{name}-{store}")},
                   "stringData": {"uri": uri, "ca.crt": self.ca}})
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_the_example_under_another_name_with_stores_of_somebody_else() {
        let file = paths::checkout().join("examples/express-accounts/authservice.yaml");
        let yaml = tenant(&paths::read(&file).unwrap(), "accounts", "tenant-1").unwrap();
        assert!(yaml.contains("metadata: {name: tenant-1}") && !yaml.contains("managed"));
        assert!(yaml.contains("database: {external: {secretRef: {name: lent-tenant-1-database}}}"));
    }
}
