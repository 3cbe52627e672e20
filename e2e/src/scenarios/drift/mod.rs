//! What somebody changes by hand is put right, once, and without a tug of war: five changes as people make them, then every
//! field that Accord applies.

mod fields;
mod leaves;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::audit::Mark;
use crate::cluster::Cluster;
use crate::scenarios::kit::{self, CHANGE, Kit, NOTICE, seconds};
use crate::wait::{Seen, wait};

/// The status code of a write that was made from an older version of the object.
const CONFLICT: u64 = 409;

/// A change by hand.
struct Drift {
    what: &'static str,
    /// The object that is changed, by kind and name.
    object: (&'static str, &'static str),
    /// kubectl's arguments.
    hand: &'static [&'static str],
    /// True while it is as it should be.
    is_right: fn(&Value) -> bool,
}

const ALL: &[Drift] = &[
    Drift {
        what: "kubectl set env",
        object: ("deployment", "orders"),
        hand: &["set", "env", "deployment/orders", "INTRUDER=1"],
        is_right: |d| env(d).iter().all(|e| e["name"] != "INTRUDER"),
    },
    Drift {
        what: "kubectl scale",
        object: ("deployment", "orders"),
        hand: &["scale", "deployment/orders", "--replicas=1"],
        is_right: |d| d["spec"]["replicas"] == 2,
    },
    Drift {
        what: "a label removed",
        object: ("deployment", "orders"),
        hand: &["label", "deployment/orders", "app.kubernetes.io/managed-by-"],
        is_right: |d| d["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "accord",
    },
    Drift {
        what: "a foreign container",
        object: ("deployment", "orders"),
        hand: &[
            "patch",
            "deployment/orders",
            "--type=strategic",
            "-p",
            r#"{"spec":{"template":{"spec":{"containers":[{"name":"intruder","image":"localhost/pause:1"}]}}}}"#,
        ],
        is_right: |d| {
            let containers = d["spec"]["template"]["spec"]["containers"].as_array();
            containers.is_some_and(|all| all.len() == 1 && all[0]["name"] == "server")
        },
    },
    Drift {
        what: "the Service's selector",
        object: ("service", "orders"),
        hand: &[
            "patch",
            "service/orders",
            "--type=merge",
            "-p",
            r#"{"spec":{"selector":{"app":"elsewhere"}}}"#,
        ],
        is_right: |s| {
            s["spec"]["selector"]
                .as_object()
                .is_some_and(|all| !all.contains_key("app"))
        },
    },
];

/// One write repairs; a second may follow a read that was late. The status tells of pods that come and go meanwhile.
const REPAIRS: usize = 2;

/// While the workload's own controller writes the same object, a repair that was made from what stood before is refused
/// and made again. A loop would go on.
const REFUSED: usize = 5;

pub(in crate::scenarios) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-drift", "orders", |kit| {
        kit.bring_up(2)?;
        let mut times = Vec::new();
        for drift in ALL {
            times.push(drift.is_repaired(kit).context(drift.what)?);
        }
        let orders = kit.orders()?;
        let session = orders.first_session()?;
        let fields = fields::are_repaired(kit)?;
        orders.ask_every_replica(&session)?.ensure_perfect()?;
        Ok(format!("repaired: {}; {fields}", times.join(", ")))
    })
}

impl Drift {
    fn is_repaired(&self, kit: &Kit<'_>) -> Result<String> {
        let (kind, name) = self.object;
        ensure!(
            (self.is_right)(&kit.cluster.get(kind, kit.namespace, name)?),
            "it isn't right to begin with"
        );
        let before = kit.cluster.get(kind, kit.namespace, name)?["metadata"]["resourceVersion"].clone();
        let mark = kit.cluster.is_embedded().then(Mark::now).transpose()?;
        let begun = Instant::now();
        kit.kubectl(self.hand)?;
        let took = wait(kit.cluster, kit.namespace, self.what, NOTICE, || {
            let now = kit.cluster.get(kind, kit.namespace, name)?;
            // The version has changed twice: by the hand, and by the repair.
            let changed = now["metadata"]["resourceVersion"] != before;
            Ok(if changed && (self.is_right)(&now) {
                Seen::Done(begun.elapsed())
            } else {
                Seen::NotYet("as the hand left it".to_owned())
            })
        })?;
        kit.ready(CHANGE)?;
        let Some(mark) = mark else {
            return Ok(format!("{} in {}", self.what, seconds(took)));
        };
        // A tug of war would go on.
        std::thread::sleep(Duration::from_secs(3));
        let writes = kit.writes(&mark)?;
        let resource = format!("{kind}s");
        let (refused, repairs): (Vec<_>, Vec<_>) = writes
            .iter()
            .filter(|w| w.resource == resource && w.name == name)
            .partition(|w| w.code == CONFLICT);
        let (refused, repairs) = (refused.len(), repairs.len());
        ensure!(
            (1..=REPAIRS).contains(&repairs) && refused <= REFUSED,
            "{repairs} writes to repair it and {refused} refused as too late, expected 1 to {REPAIRS} and at most \
             {REFUSED}: {}",
            writes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        );
        Ok(format!(
            "{} in {} ({repairs} of {} writes)",
            self.what,
            seconds(took),
            writes.len()
        ))
    }
}

fn env(deployment: &Value) -> Vec<Value> {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    container["env"].as_array().cloned().unwrap_or_default()
}
