//! The container of a proved pod is replaced by another one: the readiness gate survives that, the proof must not.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::kit::{self, CHANGE, condition, name_of, ready_in, seconds};
use crate::cluster::Cluster;
use crate::wait::{Seen, wait};
use crate::watch::Change;

const GATE: &str = "accord.dev/agrees";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-restart", "orders", |kit| {
        kit.bring_up(2)?;
        let pod = kit
            .service
            .pods()?
            .into_iter()
            .next()
            .context("two pods are ready")?;
        let name = name_of(&pod).to_owned();
        let old = Containers::of(&pod).context("the pod is proved")?;
        let (pods, traffic) = (kit.watch_pods()?, kit.watch_traffic()?);

        kit.kubectl(&["exec", &name, "-c", "server", "--", "sh", "-c", "kill 1"])?;
        let killed = Instant::now();
        wait(
            cluster,
            kit.namespace,
            "the new container to be proved",
            CHANGE,
            || {
                let pod = cluster.get("pod", kit.namespace, &name)?;
                let new = Containers::of(&pod).is_some_and(|now| now.id != old.id && now.gate != old.gate);
                let ready = condition(&pod, "Ready").is_some_and(|c| c["status"] == "True");
                Ok(if new && ready {
                    Seen::Done(())
                } else {
                    Seen::NotYet(serde_json::to_string(&pod["status"]["containerStatuses"])?)
                })
            },
        )?;
        kit.ready(CHANGE)?;

        let states: Vec<Change> = pods
            .seen()
            .into_iter()
            .filter(|c| name_of(&c.object) == name && c.at >= killed)
            .collect();
        let started = first(&states, |pod| running(pod).is_some_and(|id| id != old.id))
            .context("no state with the new container was told")?;
        let closed = first(&states, |pod| gate(pod) == Some("False")).context("the gate never closed")?;
        let opened = first(&states[closed.0..], |pod| gate(pod) == Some("True"))
            .context("the gate never opened again")?;

        for change in &states {
            let pod = &change.object;
            let is_new = running(pod).is_some_and(|id| id != old.id);
            let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
            let names_old = condition(pod, GATE).is_some_and(|c| c["message"] == *old.gate);
            ensure!(
                !(is_new && ready && names_old),
                "the pod was ready {} after its new container was seen, on the proof of the old one",
                seconds(change.at - started.1)
            );
        }
        // The Service's own view comes later than the pod's: from when it left until the gate opened it must not be back.
        let slices: Vec<Change> = traffic.seen().into_iter().filter(|c| c.at >= killed).collect();
        let in_traffic = |slice: &Value| ready_in(slice).contains(&name.as_str());
        let out = slices
            .iter()
            .position(|c| !in_traffic(&c.object))
            .context("the pod never left the Service's endpoints")?;
        // By their versions, which one counter gives out: two watches tell of one moment at different times.
        let admitted = version(&states[closed.0 + opened.0].object);
        if let Some(back) = slices[out..]
            .iter()
            .find(|c| version(&c.object) < admitted && in_traffic(&c.object))
        {
            anyhow::bail!(
                "the Service sent traffic to the pod {} before its gate opened",
                seconds(opened.1.saturating_duration_since(back.at))
            );
        }
        Ok(format!(
            "from the new container's start to the gate's closing {}, to its opening {}",
            seconds(closed.1.saturating_duration_since(started.1)),
            seconds(opened.1 - started.1)
        ))
    })
}

/// A proved container.
struct Containers {
    id: String,
    /// How the open gate names it.
    gate: String,
}

impl Containers {
    fn of(pod: &Value) -> Option<Self> {
        let gate = condition(pod, GATE).filter(|c| c["status"] == "True")?;
        Some(Self {
            id: running(pod)?.to_owned(),
            gate: gate["message"].as_str()?.to_owned(),
        })
    }
}

/// The version of an object's state.
fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|v| v.parse().ok()).unwrap_or_default()
}

/// The ID of the container that runs.
fn running(pod: &Value) -> Option<&str> {
    let container = &pod["status"]["containerStatuses"][0];
    container["state"]["running"].as_object()?;
    container["containerID"].as_str()
}

fn gate(pod: &Value) -> Option<&str> {
    condition(pod, GATE)?["status"].as_str()
}

/// The first state that is so: its place and when it was told.
fn first(states: &[Change], is: impl Fn(&Value) -> bool) -> Option<(usize, Instant)> {
    let place = states.iter().position(|c| is(&c.object))?;
    Some((place, states[place].at))
}
