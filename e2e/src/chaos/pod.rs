//! What a kubelet reads of a pod, and says of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::container::items;

pub(super) fn uid_of(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// True when a condition of a pod is.
pub(super) fn is_true(pod: &Value, kind: &str) -> bool {
    items(&pod["status"]["conditions"])
        .iter()
        .any(|c| c["type"] == kind && c["status"] == "True")
}

pub(super) fn gates_are_open(pod: &Value) -> bool {
    items(&pod["spec"]["readinessGates"])
        .iter()
        .all(|gate| is_true(pod, gate["conditionType"].as_str().unwrap_or_default()))
}

/// How long a pod that is to go is left alone before it is told to end: its hook sleeps, and no hook outlasts the grace.
pub(super) fn drain(pod: &Value) -> Duration {
    let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"];
    let sleep = hook["sleep"]["seconds"].as_u64().unwrap_or(0);
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
    Duration::from_secs(grace.map_or(sleep, |grace| sleep.min(grace)))
}

/// The kubelet's own; those of others stay as they are.
pub(super) fn conditions(containers: bool, pod: bool) -> Value {
    let word = |holds: bool| if holds { "True" } else { "False" };
    json!([
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", "status": word(containers)},
        {"type": "Ready", "status": word(pod)},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_open_when_its_condition_says_so_and_without_gates_nothing_is_closed() {
        let with = |agrees: &str| {
            json!({"spec": {"readinessGates": [{"conditionType": "agrees"}]},
                "status": {"conditions": [{"type": "agrees", "status": agrees}]}})
        };
        assert!(gates_are_open(&with("True")) && gates_are_open(&json!({})));
        assert!(!gates_are_open(&with("False")));
        let without = json!({"spec": {"readinessGates": [{"conditionType": "agrees"}]}});
        assert!(!gates_are_open(&without), "nobody said anything yet");
    }

    #[test]
    fn a_pod_drains_for_as_long_as_its_hook_sleeps_and_its_grace_lasts() {
        let pod = |seconds: u64, grace: u64| {
            json!({"metadata": {"deletionGracePeriodSeconds": grace}, "spec": {"containers": [
                {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}]}})
        };
        assert_eq!(drain(&pod(5, 35)), Duration::from_secs(5));
        assert_eq!(drain(&pod(60, 35)), Duration::from_secs(35));
        assert_eq!(
            drain(&pod(60, 0)),
            Duration::ZERO,
            "who is in a hurry waits for nothing"
        );
        assert_eq!(drain(&json!({})), Duration::ZERO);
    }
}
