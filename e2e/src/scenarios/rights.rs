//! Used and granted: the roles of Accord's account against the API server's own log. It comes last and reads the log of
//! the whole run; a service of its own, with what hands can do to its objects, sees to it that alone it says the same.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, ACCOUNT, CHANGE, Kit, NOTICE};
use crate::audit::Mark;
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::rights;
use crate::wait::{Seen, wait};

/// A change by hand, and the write that puts it right.
struct Hand {
    /// The object, as kubectl and the log name its kind, and its name.
    object: (&'static str, &'static str),
    verb: &'static str,
    does: Does,
}

enum Does {
    /// A label of Accord's is taken off: one that only informs, so a patch brings it back.
    Unlabels,
    /// Something foreign is put where everything has to be Accord's: a PUT takes it out.
    Patches(fn() -> Value),
    /// It stops being Accord's, by its label, and is given back: its name is taken meanwhile.
    Disowns,
}

const INFORMS: &str = "app.kubernetes.io/managed-by";
const OWNS: &str = "accord.dev/service";

const HANDS: &[Hand] = &[
    hand(("configmaps", "orders-identity"), "patch", Does::Unlabels),
    hand(("services", "orders"), "patch", Does::Unlabels),
    hand(("deployments", "orders"), "patch", Does::Unlabels),
    hand(("statefulsets", "orders-postgres"), "patch", Does::Unlabels),
    hand(("poddisruptionbudgets", "orders"), "patch", Does::Unlabels),
    hand(("services", "orders"), "update", Does::Patches(selector)),
    hand(("deployments", "orders"), "update", Does::Patches(container)),
    hand(
        ("statefulsets", "orders-cache"),
        "update",
        Does::Patches(container),
    ),
    hand(
        ("poddisruptionbudgets", "orders"),
        "update",
        Does::Patches(labels),
    ),
    hand(("services", "orders"), "get", Does::Disowns),
    hand(("poddisruptionbudgets", "orders"), "get", Does::Disowns),
    hand(("configmaps", "orders-identity"), "get", Does::Disowns),
    hand(("statefulsets", "orders-cache"), "get", Does::Disowns),
    hand(("deployments", "orders"), "get", Does::Disowns),
];

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out("it reads the audit log, which only the embedded cluster shows");
        return Ok(());
    }
    kit::with(cluster, "scenario-rights", "orders", |kit| {
        a_life(kit)?;
        let granted = rights::granted(cluster, SYSTEM, "accord")?;
        let (asked, rare) = (rights::asked(ACCOUNT)?, rights::rare()?);
        let misfits = rights::misfits(&granted, &asked, &rare);
        ensure!(
            misfits.is_empty(),
            "{} rights are granted; operator/docs/rights.md or the chart is wrong:\n{}",
            granted.len(),
            misfits.join("\n")
        );
        let seldom = granted.iter().filter(|r| !asked.used.contains_key(r)).count();
        Ok(format!(
            "{} rights are granted, {} were used in {} requests, {seldom} are known to be used rarely; none was missing",
            granted.len(),
            granted.len() - seldom,
            asked.used.values().sum::<u64>()
        ))
    })
}

/// Made, changed by hands, given two more releases and one of them again, scaled, and deleted with its data.
fn a_life(kit: &Kit<'_>) -> Result<()> {
    kit.bring_up(2)?;
    for hand in HANDS {
        hand.is_answered(kit)?;
    }
    there_and_back(kit)?;
    kit.scale(3)?;
    kit.ready(CHANGE)?;
    kit.patch(&json!({"spec": {"deletionPolicy": "Delete"}}))?;
    kit.until("the finalizer", NOTICE, |object| {
        object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    })?;
    kit.kubectl(&["delete", "authservice", &kit.service.name, "--timeout=60s"])
        .map(drop)
}

/// Two more releases, and the first of them again, whose record is then the newest.
fn there_and_back(kit: &Kit<'_>) -> Result<()> {
    for level in ["WARNING", "INFO", "WARNING"] {
        kit.patch(&json!({"spec": {"server": {"env": [{"name": "LOG_LEVEL", "value": level}]}}}))?;
        kit.ready(CHANGE)?;
    }
    Ok(())
}

const fn hand(object: (&'static str, &'static str), verb: &'static str, does: Does) -> Hand {
    Hand { object, verb, does }
}

fn selector() -> Value {
    json!({"spec": {"selector": {"app": "elsewhere"}}})
}

fn labels() -> Value {
    json!({"spec": {"selector": {"matchLabels": {"app": "elsewhere"}}}})
}

fn container() -> Value {
    json!({"spec": {"template": {"spec": {"containers": [
        {"name": "intruder", "image": "localhost/pause:1"}
    ]}}}})
}

impl Hand {
    fn is_answered(&self, kit: &Kit<'_>) -> Result<()> {
        let (kind, name) = self.object;
        let mark = Mark::now()?;
        match self.does {
            Does::Unlabels => drop(kit.kubectl(&["label", kind, name, &format!("{INFORMS}-")])?),
            Does::Patches(patch) => {
                let patch = patch().to_string();
                kit.kubectl(&["patch", kind, name, "--type=strategic", "-p", &patch])?;
            }
            Does::Disowns => drop(kit.kubectl(&["label", kind, name, &format!("{OWNS}-")])?),
        }
        let seen = used(kit, &mark, self.verb, kind);
        if matches!(self.does, Does::Disowns) {
            let own = format!("{OWNS}={}", kit.service.name);
            kit.kubectl(&["label", "--overwrite", kind, name, &own])?;
        }
        seen?;
        kit.ready(CHANGE).map(drop)
    }
}

/// Waits until the log shows a request of that kind that was let through.
fn used(kit: &Kit<'_>, since: &Mark, verb: &str, resource: &str) -> Result<()> {
    let what = format!("Accord to {verb} {resource}");
    wait(kit.cluster, kit.namespace, &what, NOTICE, || {
        let all = kit.requests(since)?;
        let found = all
            .iter()
            .any(|r| r.verb == verb && r.resource == resource && !r.denied);
        Ok(if found {
            Seen::Done(())
        } else {
            Seen::NotYet(format!("{} other requests", all.len()))
        })
    })
}
