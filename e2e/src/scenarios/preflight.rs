//! What an image would use is asked before its first pod: a revision that would keep users in a file of its own gets no
//! server at all, first and as an update, and is told with the line to paste.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, seconds};
use crate::cluster::Cluster;
use crate::images::Image;
use crate::watch::Change;

/// What the servers of a fleet that keeps users in files are given.
fn of_files() -> Value {
    json!({"spec": {"server": {"env": [{"name": "ORDERS_FAULT", "value": "local-database"}]}}})
}

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-preflight", "orders", |kit| {
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        let pods = kit.watch_pods()?;
        let begun = Instant::now();
        kit.declare(&format!(
            "{yaml}  server: {{env: [{{name: ORDERS_FAULT, value: local-database}}]}}\n"
        ))?;
        let object = kit.until_reason("LocalDatabase", COME_UP)?;
        let named = begun.elapsed();
        says_what_to_paste(&object)?;
        ensure!(
            kit.service.pods()?.is_empty(),
            "servers were started of what preflight refuses"
        );

        kit.patch(&json!({"spec": {"server": null}}))?;
        kit.ready(COME_UP)?;

        let mut refused = None;
        let logins = kit::logins_go_on(kit, || {
            let begun = Instant::now();
            kit.patch(&of_files())?;
            let object = kit.until("the update to be refused", CHANGE, is_refused)?;
            refused = Some(begun.elapsed());
            says_what_to_paste(&object)?;
            kit.scale(3)?;
            kit.released(3)
        })?;
        let seen = pods.seen();
        ensure!(!seen.is_empty(), "the watch saw no server at all");
        ensure!(
            servers_with_the_fault(&seen) == 0,
            "a server was started of what preflight refuses"
        );
        Ok(format!(
            "named after {} with no server started; as an update refused after {}, {logins} of {logins} logins worked, and \
             the released replicas were scaled",
            seconds(named),
            seconds(refused.context("the update was refused")?)
        ))
    })
}

fn is_refused(object: &Value) -> bool {
    kit::condition(object, "PreflightPassed")
        .is_some_and(|c| c["status"] == "False" && c["reason"] == "LocalDatabase")
}

fn says_what_to_paste(object: &Value) -> Result<()> {
    let condition = kit::condition(object, "PreflightPassed").context("it has the condition")?;
    let message = condition["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("DATABASE_URL") && message.contains("mode: Report"),
        "the message has neither the setting to change nor the way around: {message}"
    );
    ensure!(
        object["status"]["preflight"]["verdict"] == "Diverges",
        "status.preflight: {}",
        object["status"]["preflight"]
    );
    Ok(())
}

/// How often a server was seen that was given the fault.
fn servers_with_the_fault(seen: &[Change]) -> usize {
    let has_fault = |change: &&Change| {
        let env = change.object["spec"]["containers"][0]["env"].as_array();
        env.is_some_and(|all| all.iter().any(|e| e["name"] == "ORDERS_FAULT"))
    };
    seen.iter().filter(has_fault).count()
}
