//! A network that lets the prober through to nobody (played with packet rules): it's said, and nobody is isolated for it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::kit::{self, CHANGE, COME_UP, seconds};
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::exec::Cmd;
use crate::images::Image;

/// The rules' own table, so that they go as one.
const TABLE: &str = "accord-blocked";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out("it puts rules into the node's packet filter");
        return Ok(());
    }
    kit::with(cluster, "scenario-blocked", "orders", |kit| {
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        kit.declare(&format!("{yaml}  verification: {{intervalSeconds: 10}}\n"))?;
        kit.ready(COME_UP)?;
        let traffic = kit.watch_traffic()?;
        let (mut told, mut healed) = Default::default();
        let logins = kit::logins_go_on(kit, || {
            let wall = Wall::between(cluster, &kit.service.pods()?)?;
            let begun = Instant::now();
            kit.until("the silence to be told", CHANGE, |object| {
                let replicas = object["status"]["consistency"]["replicas"].as_array();
                let blocked = |r: &serde_json::Value| r["reason"] == "ProbeBlocked";
                replicas.is_some_and(|all| all.len() == 2 && all.iter().all(blocked))
            })?;
            told = begun.elapsed();
            drop(wall);
            let begun = Instant::now();
            kit.ready(CHANGE)?;
            healed = begun.elapsed();
            Ok(())
        })?;
        let admitted = kit.service.pods()?;
        for change in traffic.seen() {
            let ready = kit::ready_in(&change.object);
            let gone = admitted
                .iter()
                .map(kit::name_of)
                .find(|name| !ready.contains(name));
            ensure!(
                gone.is_none(),
                "{gone:?} left traffic because nobody could ask it"
            );
        }
        Ok(format!(
            "ProbeBlocked told after {}, nobody isolated, {logins} logins, none failed; agreed again {} after the wall was gone",
            seconds(told),
            seconds(healed)
        ))
    })
}

/// Drops what the operator sends to some pods, until it is dropped itself.
struct Wall;

impl Wall {
    fn between(cluster: &Cluster, servers: &[serde_json::Value]) -> Result<Self> {
        let operators = cluster.list("pods", SYSTEM, "app.kubernetes.io/component=operator")?;
        let (from, to) = (addresses(&operators)?, addresses(servers)?);
        // From here on what is there is taken away.
        let wall = Self;
        let rules = format!(
            "add table ip {TABLE}\n\
             add chain ip {TABLE} forward {{ type filter hook forward priority filter; }}\n\
             add rule ip {TABLE} forward ip saddr {{ {from} }} ip daddr {{ {to} }} drop\n"
        );
        Cmd::new("nft").args(["-f", "-"]).stdin(rules).run()?;
        Ok(wall)
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        let _ = Cmd::new("nft").args(["delete", "table", "ip", TABLE]).outcome();
    }
}

fn addresses(pods: &[serde_json::Value]) -> Result<String> {
    let all: Option<Vec<&str>> = pods.iter().map(|p| p["status"]["podIP"].as_str()).collect();
    Ok(all.context("every pod has an address")?.join(", "))
}
