//! `cargo xtask demo`: from nothing to a Django service whose replicas agree, with every claim checked from outside.
//! What a person sees is one line a step and a table at the end; the same steps are a scenario of the tests.

mod install;
pub(crate) mod orders;
pub(crate) mod service;
mod table;

use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use self::install::take_as_installed;
pub(crate) use self::install::{NAMESPACE as SYSTEM, install};
use self::orders::{Orders, Session};
pub(crate) use self::service::Service;
use self::table::Table;
use crate::cluster::Cluster;
use crate::images::Image;
use crate::{paths, progress};

/// The namespace of the demo.
pub const NAMESPACE: &str = "demo";

/// Runs the demo; true when every answer was as it should be.
pub fn run(cluster: &Cluster) -> Result<bool> {
    progress::say("Accord: one declaration, replicas that agree, and the proof");
    let table = journey(cluster, NAMESPACE)?;
    table.print();
    look_around(cluster);
    Ok(table.is_perfect())
}

/// Installs Accord and the example, and checks it from one replica to five and back, and through restarts.
pub(crate) fn journey(cluster: &Cluster, namespace: &str) -> Result<Table> {
    install(cluster)?;
    let service = declare(cluster, namespace)?;
    let orders = Orders::new(cluster, namespace, &service)?;
    let mut table = Table::default();

    let kept = orders.first_session()?;
    check(&mut table, &orders, &service, "as declared", &kept)?;
    for replicas in [1, 3, 5, 2] {
        service.scale(replicas)?;
        check(
            &mut table,
            &orders,
            &service,
            &format!("scaled to {replicas}"),
            &kept,
        )?;
    }
    for (role, words) in [("postgres", "Postgres restarted"), ("cache", "cache restarted")] {
        service.restart(role)?;
        check(&mut table, &orders, &service, words, &kept)?;
    }
    Ok(table)
}

/// Applies the example's declaration, and waits until Accord says that it is ready.
fn declare<'a>(cluster: &'a Cluster, namespace: &str) -> Result<Service<'a>> {
    let image = Image::example("django-orders");
    let loaded = cluster
        .load(&image)?
        .context("an example's image is always built")?;
    let yaml = paths::read(&paths::checkout().join("examples/django-orders/authservice.yaml"))?
        .replace(&image.reference(), &loaded.reference);
    cluster.namespace(namespace)?;
    orders::demo_users(cluster, namespace, orders::USERS)?;
    progress::say("kubectl apply -f examples/django-orders/authservice.yaml");
    cluster.apply_in(namespace, &yaml)?;
    let service = Service::new(cluster, namespace, "orders");
    service.wait_until_ready(Duration::from_mins(8))?;
    Ok(service)
}

/// One row of the table: every replica asked by its own address.
fn check(
    table: &mut Table,
    orders: &Orders<'_>,
    service: &Service<'_>,
    what: &str,
    kept: &Session,
) -> Result<()> {
    let begun = std::time::Instant::now();
    let found = service.findings()?;
    let tally = orders.ask_every_replica(kept)?;
    if tally.asked == 0 {
        bail!("{what}: there was no replica to ask");
    }
    let mark = if tally.is_perfect() { "✓" } else { "✗" };
    let replicas = tally.replicas;
    progress::say(&format!(
        "{mark} {what}: {replicas} asked, {} of {} answers as they should be; Accord says {found}",
        tally.right, tally.asked
    ));
    for wrong in tally.wrong.iter().take(5) {
        progress::detail(wrong);
    }
    table.add(what, &found, &tally, begun.elapsed());
    Ok(())
}

fn look_around(cluster: &Cluster) {
    println!("\nLook around:");
    if cluster.is_embedded() {
        println!("  eval \"$(cargo xtask cluster env)\"");
    }
    println!("  kubectl get auth -n {NAMESPACE}");
    println!("  kubectl describe auth orders -n {NAMESPACE}");
    println!("  kubectl scale auth/orders -n {NAMESPACE} --replicas=4");
    if cluster.is_embedded() {
        println!("  cargo xtask cluster down");
    } else {
        println!("  kubectl delete namespace {NAMESPACE}; helm uninstall accord -n accord-system");
    }
}
