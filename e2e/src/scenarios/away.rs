//! No operator at all for a while: who was admitted serves on, new replicas wait, and are admitted when it is back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::kit::{self, CHANGE, Kit, name_of, seconds};
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::wait::{Seen, wait};

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out(
            "users come through a Service's own address, which is reached on the embedded cluster only",
        );
        return Ok(());
    }
    // `ACCORD_LONG=1`: ten minutes, as long as an incident may take.
    let away = kit::tier(Duration::from_secs(30), Duration::from_mins(10));
    kit::with(cluster, "scenario-away", "orders", |kit| {
        kit.bring_up(3)?;
        let mut back = Duration::ZERO;
        let logins = kit::logins_go_on(kit, || {
            operators(cluster, 0)?;
            let result = without(kit, away);
            // Whatever was seen: the next scenario needs it.
            let begun = Instant::now();
            operators(cluster, 2)?;
            result?;
            kit.ready(CHANGE)?;
            back = begun.elapsed();
            Ok(())
        })?;
        Ok(format!(
            "{} without an operator: {logins} logins, none failed, a lost pod's successor and a scale-up waited; 5 of 5 \
             agree {} after it was asked to come back",
            seconds(away),
            seconds(back)
        ))
    })
}

/// A replica is lost and more are declared: nobody new takes traffic.
fn without(kit: &Kit<'_>, away: Duration) -> Result<()> {
    let begun = Instant::now();
    let admitted: Vec<String> = kit
        .service
        .pods()?
        .iter()
        .map(|p| name_of(p).to_owned())
        .collect();
    let traffic = kit.watch_traffic()?;
    kit.kubectl(&["delete", "pod", &admitted[0], "--wait=false"])?;
    kit.scale(5)?;
    std::thread::sleep(away.saturating_sub(begun.elapsed()));
    for change in traffic.seen() {
        let ready = kit::ready_in(&change.object);
        let unproved = ready.iter().find(|name| !admitted.iter().any(|a| a == *name));
        ensure!(
            unproved.is_none(),
            "{unproved:?} took traffic, and nobody had proved it"
        );
        ensure!(
            admitted[1..].iter().all(|name| ready.contains(&name.as_str())),
            "a replica that was admitted left traffic: {ready:?}"
        );
    }
    Ok(())
}

pub(super) fn operators(cluster: &Cluster, count: i64) -> Result<()> {
    let replicas = format!("--replicas={count}");
    cluster.kubectl(&["scale", "deployment/accord", "-n", SYSTEM, &replicas])?;
    wait(cluster, SYSTEM, &format!("{count} operator pods"), CHANGE, || {
        let pods = cluster.list("pods", SYSTEM, "app.kubernetes.io/component=operator")?;
        let ready = pods.iter().filter(|p| crate::demo::service::is_ready(p)).count();
        Ok(if pods.len() == usize::try_from(count)? && ready == pods.len() {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{} pods, {ready} ready", pods.len()))
        })
    })
}
