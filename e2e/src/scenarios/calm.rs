//! False alarms: a healthy service is scaled, rolled, loses pods and containers, and nothing is ever said against it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, name_of, seconds};
use crate::cluster::Cluster;
use crate::images::Image;
use crate::watch::{Change, Watch};

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out(
            "users come through a Service's own address, which is reached on the embedded cluster only",
        );
        return Ok(());
    }
    // `ACCORD_LONG=1`: an hour.
    let window = kit::tier(Duration::from_mins(10), Duration::from_hours(1));
    kit::with(cluster, "scenario-calm", "orders", |kit| {
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 3)?;
        kit.declare(&format!("{yaml}  verification: {{intervalSeconds: 10}}\n"))?;
        kit.ready(COME_UP)?;
        let told = Watch::start(cluster, "authservices.accord.dev", kit.namespace, "")?;
        let (begun, mut rounds) = (Instant::now(), 0);
        let logins = kit::logins_go_on(kit, || {
            while begun.elapsed() < window {
                rounds += 1;
                round(kit, rounds)?;
            }
            Ok(())
        })?;
        let states = told.seen();
        ensure!(
            states.len() > rounds,
            "the watch told of {} states only",
            states.len()
        );
        for change in &states {
            if let Some(alarm) = alarm(&change.object) {
                anyhow::bail!(
                    "{} after the beginning of a healthy service's {}: {alarm}",
                    seconds(change.at - begun),
                    seconds(window)
                );
            }
        }
        let words: usize = states.iter().map(verdicts).sum();
        Ok(format!(
            "{} of scaling and rolling ({rounds} rounds): {logins} logins, none failed; {words} verdicts in {} states of \
             status, 0 false alarms",
            seconds(begun.elapsed()),
            states.len()
        ))
    })
}

/// What a healthy service lives through in an ordinary week.
fn round(kit: &Kit<'_>, number: usize) -> Result<()> {
    kit.scale(5)?;
    kit.ready(CHANGE)?;
    // A new revision: every pod is replaced.
    let level = if number.is_multiple_of(2) {
        "INFO"
    } else {
        "WARNING"
    };
    kit.patch(&json!({"spec": {"server": {"env": [{"name": "LOG_LEVEL", "value": level}]}}}))?;
    kit.ready(CHANGE)?;
    let pods = kit.service.pods()?;
    let name = name_of(pods.first().context("five pods are ready")?).to_owned();
    kit.kubectl(&["delete", "pod", &name, "--wait=false"])?;
    kit.scale(3)?;
    kit.service.wait_for_replicas(3)
}

/// What status says against any replica or revision.
fn alarm(object: &Value) -> Option<String> {
    const INNOCENT: [&str; 2] = ["Verified", "Pending"];
    let status = &object["status"];
    if status["candidate"]["state"] == "Withdrawn" {
        return Some(format!("withdrawn: {}", status["candidate"]["message"]));
    }
    let replicas = status["consistency"]["replicas"].as_array()?;
    let accused = replicas.iter().find(|r| {
        !r["reason"]
            .as_str()
            .is_some_and(|reason| INNOCENT.contains(&reason))
    })?;
    Some(accused.to_string())
}

fn verdicts(change: &Change) -> usize {
    let replicas = change.object["status"]["consistency"]["replicas"].as_array();
    replicas.map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_against_anybody_is_an_alarm() {
        let of = |reason: &str| json!({"status": {"consistency": {"replicas": [{"reason": "Verified"}, {"reason": reason}]}}});
        assert_eq!(alarm(&of("Pending")), None);
        assert!(alarm(&of("LocalSession")).is_some_and(|a| a.contains("LocalSession")));
        assert!(alarm(&of("Slow")).is_some());
        assert!(alarm(&json!({"status": {"candidate": {"state": "Withdrawn", "message": "m"}}})).is_some());
    }
}
