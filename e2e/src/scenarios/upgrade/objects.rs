//! Every object of the services in a namespace as it is at one moment, and what became of it until another. Only reads.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::scenarios::kit::{Kit, name_of};

/// What Accord makes, and what Kubernetes makes of that. Not the `AuthService`: its status is Accord's word on it.
const KINDS: &str = "pods,endpointslices,deployments,replicasets,statefulsets,services,poddisruptionbudgets,secrets,\
                     configmaps,persistentvolumeclaims,controllerrevisions,jobs,networkpolicies";

/// The objects by kind and name.
pub(super) struct Objects(BTreeMap<String, State>);

#[derive(PartialEq)]
struct State {
    /// Another one after any write, whoever it was.
    version: String,
    /// What users meet: the containers of a pod that serves, and the pods that a Service sends them to.
    met: Option<String>,
    /// Who wrote last.
    writer: String,
}

impl Objects {
    pub(super) fn now(kit: &Kit<'_>) -> Result<Self> {
        let text = kit.kubectl(&["get", KINDS, "-l", "accord.dev/service", "-o", "json"])?;
        let list: Value = serde_json::from_str(&text).context("the list of objects isn't JSON")?;
        Ok(Self::of(list["items"].as_array().context("a list has items")?))
    }

    fn of(items: &[Value]) -> Self {
        let named = |item: &Value| {
            let kind = item["kind"].as_str().unwrap_or_default();
            (format!("{kind} {}", name_of(item)), State::of(item))
        };
        Self(items.iter().map(named).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Which were written to, are gone, or are new.
    pub(super) fn changed(&self, later: &Self) -> Vec<String> {
        self.differences(later, |state| Some(&state.version))
    }

    /// Which users meet otherwise than before.
    pub(super) fn moved(&self, later: &Self) -> Vec<String> {
        self.differences(later, |state| state.met.as_ref())
    }

    fn differences(&self, later: &Self, of: fn(&State) -> Option<&String>) -> Vec<String> {
        let there = |all: &Self, name: &str| all.0.get(name).and_then(of).cloned();
        let new = later.0.keys().filter(|name| !self.0.contains_key(*name));
        self.0
            .keys()
            .chain(new)
            .filter_map(|name| match (there(self, name), there(later, name)) {
                (before, after) if before == after => None,
                (None, _) => Some(format!("{name} is new")),
                (_, None) => Some(format!("{name} is gone")),
                _ => Some(format!("{name} was written to by {}", later.0[name].writer)),
            })
            .collect()
    }
}

impl State {
    fn of(item: &Value) -> Self {
        let metadata = &item["metadata"];
        let version = format!("{} {}", metadata["uid"], metadata["resourceVersion"]);
        let owner = &metadata["ownerReferences"][0]["kind"];
        let met = match item["kind"].as_str() {
            // Where a Service sends users, and what it says of each pod: it has no other content.
            Some("EndpointSlice") => Some(version.clone()),
            Some("Pod") if owner != "Job" => {
                let containers = item["status"]["containerStatuses"].as_array();
                let ids = containers.into_iter().flatten().map(|c| &c["containerID"]);
                Some(format!("{} {:?}", metadata["uid"], ids.collect::<Vec<_>>()))
            }
            _ => None,
        };
        let writes = metadata["managedFields"].as_array().into_iter().flatten();
        let last = writes.max_by_key(|w| w["time"].as_str().unwrap_or_default().to_owned());
        let writer = last.and_then(|w| w["manager"].as_str()).unwrap_or("nobody known");
        Self {
            version,
            met,
            writer: writer.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(version: &str, container: &str, owner: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": "p", "uid": "1", "resourceVersion": version,
                    "ownerReferences": [{"kind": owner}],
                    "managedFields": [{"manager": "kubelet", "time": "2026-01-02T00:00:00Z"},
                                      {"manager": "scheduler", "time": "2026-01-01T00:00:00Z"}]},
               "status": {"containerStatuses": [{"containerID": container}]}})
    }

    fn config(name: &str, version: &str) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": name, "uid": "2", "resourceVersion": version}})
    }

    #[test]
    fn any_write_is_a_change_and_only_another_container_is_met() {
        let before = Objects::of(&[pod("5", "a", "ReplicaSet"), config("c", "7")]);
        assert_eq!(before.count(), 2);
        let same = Objects::of(&[config("c", "7"), pod("5", "a", "ReplicaSet")]);
        assert!(before.changed(&same).is_empty());

        let written = Objects::of(&[pod("6", "a", "ReplicaSet"), config("c", "7")]);
        assert_eq!(before.changed(&written), ["Pod p was written to by kubelet"]);
        assert!(before.moved(&written).is_empty());

        let restarted = Objects::of(&[pod("7", "b", "ReplicaSet"), config("c", "7")]);
        assert_eq!(before.moved(&restarted).len(), 1);
    }

    #[test]
    fn what_is_gone_and_what_is_new_is_told_and_a_job_s_pod_serves_nobody() {
        let before = Objects::of(&[pod("5", "a", "Job"), config("c", "7")]);
        let after = Objects::of(&[config("d", "9")]);
        assert_eq!(
            before.changed(&after),
            ["ConfigMap c is gone", "Pod p is gone", "ConfigMap d is new"]
        );
        assert!(before.moved(&after).is_empty());
        let before = Objects::of(&[pod("5", "a", "StatefulSet")]);
        assert_eq!(before.moved(&after), ["Pod p is gone"]);
    }
}
