//! A migration that fails: nothing of it serves, what was released serves on, and status says why without saying what is
//! secret.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, seconds};
use crate::cluster::Cluster;
use crate::images::Image;

/// What must not be told.
const SECRET: &str = "hunter2-of-the-database";
/// Prints a URL with a password, which is put together where it runs: the declaration itself doesn't hold it.
const FAILING: &str = "p=hunter2; echo before the end; echo \"can't reach postgres://app:${p}-of-the-database@db.example.com/app\"; exit 3";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-migration", "orders", |kit| {
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        let command = Value::from(FAILING);
        let yaml = format!("{yaml}  migration: {{command: [sh, -c, {command}]}}\n");
        kit.declare(&yaml)?;
        let object = kit.until_reason("MigrationFailed", COME_UP)?;
        says_why(kit, &object)?;
        ensure!(
            kit.service.pods()?.is_empty(),
            "servers run on a schema that isn't there"
        );

        let begun = std::time::Instant::now();
        kit.patch(&json!({"spec": {"migration": null}}))?;
        kit.ready(COME_UP)?;
        let mended = begun.elapsed();

        let logins = kit::logins_go_on(kit, || {
            kit.patch(
                &json!({"spec": {"migration": {"command": ["sh", "-c", format!("true; {FAILING}")]}}}),
            )?;
            let object = kit.until_reason("MigrationFailed", CHANGE)?;
            says_why(kit, &object)?;
            kit.scale(3)?;
            kit.released(3)
        })?;
        Ok(format!(
            "exit code and last line in status, masked; mended in {}; as an update {logins} of {logins} logins worked, \
             and the released replicas were scaled",
            seconds(mended)
        ))
    })
}

fn says_why(kit: &Kit<'_>, object: &Value) -> Result<()> {
    let runs = object["status"]["runs"].as_array().cloned().unwrap_or_default();
    let run = runs.iter().find(|r| r["kind"] == "migration");
    ensure!(
        run.is_some_and(|r| r["state"] == "failed" && r["exitCode"] == 3),
        "status.runs doesn't hold the exit code: {runs:?}"
    );
    let ready = kit::condition(object, "Ready").and_then(|c| c["message"].as_str());
    let says = ready.unwrap_or_default();
    ensure!(
        says.contains("exit code 3") && says.contains("can't reach postgres://"),
        "the message has neither exit code nor last line: {says}"
    );
    let stalled = kit::condition(object, "Stalled").is_some_and(|c| c["status"] == "True");
    ensure!(stalled, "it waits for a person, and doesn't say so");
    let events = kit.kubectl(&["get", "events", "-o", "json"])?;
    for (place, text) in [("status", object.to_string()), ("an event", events)] {
        ensure!(!text.contains(SECRET), "the password stands in {place}");
    }
    Ok(())
}
