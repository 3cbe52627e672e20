//! An `AuthService` as a user watches it: its phases, its findings, `kubectl scale`, and faults done to its stores.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::http::PodHttp;
use crate::progress;
use crate::wait::{Seen, wait};

/// The phases, as the conditions of status name them, and what a reader calls them.
const PHASES: [(&str, &str); 7] = [
    ("CredentialsReady", "credentials"),
    ("DataStoresReady", "Postgres and cache"),
    ("Migrated", "migration"),
    ("Seeded", "seeds"),
    ("PreflightPassed", "what the image would use is what is declared"),
    ("WorkloadReady", "servers"),
    ("ReplicasAgree", "every replica has proved that it agrees"),
];

/// A declared service.
pub(crate) struct Service<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl<'a> Service<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &str, name: &str) -> Self {
        Self {
            cluster,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The object.
    pub(crate) fn object(&self) -> Result<Value> {
        self.cluster
            .get("authservices.accord.dev", &self.namespace, &self.name)
    }

    /// Waits for `Ready`, with a line for each phase that is through. Ends at once when a person has to act.
    pub(crate) fn wait_until_ready(&self, limit: Duration) -> Result<()> {
        let through = RefCell::new([false; PHASES.len()]);
        let what = format!("AuthService {} to be ready", self.name);
        wait(self.cluster, &self.namespace, &what, limit, || {
            let object = self.object()?;
            let condition = |name: &str| current_condition(&object, name);
            for (index, (name, words)) in PHASES.iter().enumerate() {
                let open = condition(name).is_some_and(|c| c["status"] == "True");
                if open && !through.borrow()[index] {
                    through.borrow_mut()[index] = true;
                    progress::say(&format!("✓ {words}"));
                }
            }
            if condition("Ready").is_some_and(|c| c["status"] == "True") {
                return Ok(Seen::Done(()));
            }
            if let Some(stalled) = condition("Stalled").filter(|c| c["status"] == "True") {
                return Ok(Seen::Never(said(&object, stalled)));
            }
            let waiting = PHASES
                .iter()
                .find_map(|(name, _)| condition(name).filter(|c| c["status"] != "True"));
            Ok(Seen::NotYet(match waiting.or_else(|| condition("Ready")) {
                Some(condition) => said(&object, condition),
                None => "Accord has not looked at it yet".to_owned(),
            }))
        })
    }

    /// `kubectl scale`, and waits until that many replicas run, agree and take traffic.
    pub(crate) fn scale(&self, replicas: usize) -> Result<()> {
        let target = format!("authservices.accord.dev/{}", self.name);
        self.cluster.kubectl(&[
            "scale",
            "-n",
            &self.namespace,
            &target,
            &format!("--replicas={replicas}"),
        ])?;
        self.wait_for_replicas(replicas)
    }

    /// Waits until exactly so many replicas are there, all of them ready and agreeing.
    pub(crate) fn wait_for_replicas(&self, replicas: usize) -> Result<()> {
        let what = format!("{replicas} agreeing replicas");
        wait(
            self.cluster,
            &self.namespace,
            &what,
            Duration::from_mins(4),
            || {
                let object = self.object()?;
                let number = |path: &str| object.pointer(path).and_then(Value::as_u64).unwrap_or_default();
                let [agreeing, total, ready] = [
                    "/status/consistency/agreeing",
                    "/status/consistency/total",
                    "/status/readyReplicas",
                ]
                .map(number);
                let wanted = replicas as u64;
                let at_rest = current_condition(&object, "Ready").is_some_and(|c| c["status"] == "True");
                let pods = self.pods()?.len();
                if at_rest && [agreeing, total, ready].iter().all(|n| *n == wanted) && pods == replicas {
                    return Ok(Seen::Done(()));
                }
                let words = current_condition(&object, "ReplicasAgree")
                    .map(|c| said(&object, c))
                    .unwrap_or_default();
                Ok(Seen::NotYet(format!(
                    "{pods} pods, {ready} ready, {agreeing} of {total} agree; {words}"
                )))
            },
        )
    }

    /// Deletes the pod of a store, and waits for the one that takes its place.
    pub(crate) fn restart(&self, role: &str) -> Result<()> {
        let selector = format!("accord.dev/service={},accord.dev/role={role}", self.name);
        let pod = || -> Result<Option<Value>> {
            Ok(self
                .cluster
                .list("pods", &self.namespace, &selector)?
                .into_iter()
                .next())
        };
        let before = pod()?.with_context(|| format!("there is no pod with the labels {selector}"))?;
        let name = before["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.cluster
            .kubectl(&["delete", "pod", "-n", &self.namespace, &name, "--wait=false"])?;
        let what = format!("{name} to be back");
        wait(
            self.cluster,
            &self.namespace,
            &what,
            Duration::from_mins(2),
            || {
                let Some(now) = pod()? else {
                    return Ok(Seen::NotYet("gone".to_owned()));
                };
                let new = now["metadata"]["uid"] != before["metadata"]["uid"];
                Ok(if new && is_ready(&now) {
                    Seen::Done(())
                } else {
                    Seen::NotYet(now["status"]["phase"].to_string())
                })
            },
        )?;
        let declared = self
            .object()?
            .pointer("/spec/replicas")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        self.wait_for_replicas(usize::try_from(declared)?)
    }

    /// The server pods that aren't on their way out.
    pub(crate) fn pods(&self) -> Result<Vec<Value>> {
        let selector = format!("accord.dev/service={},accord.dev/role=server", self.name);
        let mut pods = self.cluster.list("pods", &self.namespace, &selector)?;
        pods.retain(|p| p["metadata"]["deletionTimestamp"].is_null() && p["status"]["phase"] == "Running");
        Ok(pods)
    }

    /// A way to each ready server pod by its own address.
    pub(crate) fn ways(&self, port: u16) -> Result<Vec<PodHttp>> {
        self.pods()?
            .iter()
            .filter(|pod| is_ready(pod))
            .map(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                self.cluster.pod_http(&self.namespace, name, port)
            })
            .collect()
    }

    /// What Accord itself says: `3/3 Agrees`.
    pub(crate) fn findings(&self) -> Result<String> {
        let object = self.object()?;
        let consistency = &object["status"]["consistency"];
        let text = |field: &str| consistency[field].as_str().unwrap_or("?").to_owned();
        Ok(format!("{} {}", text("summary"), text("verdict")))
    }
}

/// A condition that speaks of the declaration as it is now; an older one says nothing about it.
pub(crate) fn current_condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let generation = &object["metadata"]["generation"];
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == name)
        .filter(|c| {
            &c["observedGeneration"] == generation || &object["status"]["observedGeneration"] == generation
        })
}

/// What a condition says, with its phase's name where it isn't the one on top.
fn said(object: &Value, condition: &Value) -> String {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut words = format!(
        "{}: {}: {}",
        text(condition, "type"),
        text(condition, "reason"),
        text(condition, "message")
    );
    if condition["type"] == "Stalled"
        && let Some(phase) = PHASES
            .iter()
            .find_map(|(name, _)| current_condition(object, name).filter(|c| c["status"] != "True"))
    {
        words = format!("stands at {}. {words}", text(phase, "type"));
    }
    words
}

/// True when kubelet has a pod as ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_of_an_older_declaration_is_not_taken_for_the_current_one() {
        let mut object = json!({
            "metadata": {"generation": 2},
            "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}
        });
        assert!(current_condition(&object, "Ready").is_none());
        object["status"]["observedGeneration"] = json!(2);
        assert!(current_condition(&object, "Ready").is_some());
    }

    #[test]
    fn a_stall_names_the_phase_that_it_stands_at() {
        let object = json!({
            "metadata": {"generation": 1},
            "status": {"observedGeneration": 1, "conditions": [
                {"type": "CredentialsReady", "status": "True"},
                {"type": "Migrated", "status": "False", "reason": "MigrationFailed", "message": "m"},
                {"type": "Stalled", "status": "True", "reason": "MigrationFailed", "message": "exit code 1"}
            ]}
        });
        let words = said(&object, &object["status"]["conditions"][2]);
        assert!(words.starts_with("stands at Migrated"), "{words}");
        assert!(words.contains("exit code 1"), "{words}");
    }
}
