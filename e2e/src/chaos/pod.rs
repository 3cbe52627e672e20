//! What a kubelet reads of a pod, and says of it.

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
}
