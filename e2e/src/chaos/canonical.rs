//! The objects of a service without what differs from one run to the next: names and contents that were drawn, times,
//! versions. Two runs that came to the same end have the same.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::api::Api;
use super::container::items;
use crate::digest::Key;

/// What belongs to a service. Pods and what Deployments make are judged by their state, not by their text.
const KINDS: [&str; 9] = [
    "api/v1 secrets",
    "api/v1 configmaps",
    "api/v1 services",
    "api/v1 persistentvolumeclaims",
    "apis/apps/v1 deployments",
    "apis/apps/v1 controllerrevisions",
    "apis/batch/v1 jobs",
    "apis/policy/v1 poddisruptionbudgets",
    "apis/accord.dev/v1alpha1 authservices",
];

/// A secret as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) digest: String,
    /// Bindings go with the last that names them; everything else stays.
    pub(super) is_owned: bool,
}

/// Every object of the service's by its kind and name; and its secrets.
pub(super) fn state(api: Api, namespace: &str) -> Result<(Value, Vec<Secret>)> {
    let mut found = Vec::new();
    let mut secrets = Vec::new();
    for kind in KINDS {
        let (group, plural) = kind.split_once(' ').unwrap_or(("", kind));
        for mut object in api.list(&format!("/{group}/namespaces/{namespace}/{plural}"))? {
            let is_ours = object["metadata"]["labels"]["accord.dev/service"].is_string();
            if !is_ours && plural != "authservices" {
                continue;
            }
            if plural == "secrets" {
                secrets.push(secret(&object));
            }
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            reduce(plural, &mut object);
            found.push((plural, name, object));
        }
    }
    let drawn = drawn(&found);
    let mut state = Map::new();
    for (plural, name, object) in found {
        let text = replaced(&format!("{plural}/{name}"), namespace, &drawn);
        let object = replaced(&object.to_string(), namespace, &drawn);
        state.insert(text, serde_json::from_str(&object)?);
    }
    Ok((Value::Object(state), secrets))
}

/// The names of a state's objects.
pub(super) fn names(state: &Value) -> String {
    let names = state
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

/// In what two states differ, in words.
pub(super) fn difference(wanted: &Value, found: &Value) -> Option<String> {
    if wanted == found {
        return None;
    }
    let empty = Map::new();
    let (wanted, found) = (
        wanted.as_object().unwrap_or(&empty),
        found.as_object().unwrap_or(&empty),
    );
    let mut words = Vec::new();
    for name in wanted.keys().filter(|n| !found.contains_key(*n)) {
        words.push(format!("{name} isn't there"));
    }
    for (name, object) in found {
        match wanted.get(name) {
            None => words.push(format!("{name} is there besides")),
            Some(other) if other != object => {
                words.push(format!("{name} differs: {}", first(other, object, "")));
            }
            Some(_) => {}
        }
    }
    Some(words.join("\n"))
}

/// The first place where two values differ.
fn first(wanted: &Value, found: &Value, at: &str) -> String {
    if let (Value::Object(a), Value::Object(b)) = (wanted, found) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
        keys.sort();
        for key in keys {
            let (one, other) = (&wanted[key], &found[key]);
            if one != other {
                return first(one, other, &format!("{at}.{key}"));
            }
        }
    }
    if let (Value::Array(a), Value::Array(b)) = (wanted, found)
        && a.len() == b.len()
    {
        for (n, (one, other)) in a.iter().zip(b).enumerate() {
            if one != other {
                return first(one, other, &format!("{at}[{n}]"));
            }
        }
    }
    format!("{at} is {found}, without faults {wanted}")
}

fn secret(object: &Value) -> Secret {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Secret {
        name: text(&object["metadata"]["name"]),
        uid: text(&object["metadata"]["uid"]),
        digest: Key::default().text("data", &object["data"].to_string()).finish(),
        is_owned: object["metadata"]["ownerReferences"].is_array(),
    }
}

/// Leaves what was declared, and of a status what it says.
fn reduce(plural: &str, object: &mut Value) {
    let meta = object["metadata"].take();
    let mut annotations = meta["annotations"].clone();
    if let Some(map) = annotations.as_object_mut() {
        map.remove("deployment.kubernetes.io/revision");
        // A digest of the account, whose password was drawn.
        if let Some(account) = map.get_mut("accord.dev/canary") {
            *account = true.into();
        }
    }
    let owners: Vec<Value> = items(&meta["ownerReferences"])
        .iter()
        .map(|o| o["kind"].clone())
        .collect();
    let mut owners: Vec<String> = owners.iter().map(Value::to_string).collect();
    owners.sort();
    owners.dedup();
    object["metadata"] = json!({"labels": meta["labels"], "annotations": annotations, "owners": owners,
        "finalizers": meta["finalizers"], "deleting": meta["deletionTimestamp"].is_string()});
    match plural {
        "secrets" => {
            let keys: Vec<String> = object["data"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, _)| k.clone())
                .collect();
            object["data"] = json!(keys);
        }
        "authservices" => {
            let status = &object["status"];
            let conditions: BTreeMap<String, Value> = items(&status["conditions"])
                .iter()
                .map(|c| (c["type"].to_string(), json!([c["status"], c["reason"]])))
                .collect();
            object["status"] = json!({"conditions": conditions, "released": status["released"],
                "summary": status["consistency"]["summary"], "candidate": status["candidate"]});
        }
        "configmaps" => {
            for drawn in ["contents", "keyRingFingerprint", "databaseSystemIdentifier"] {
                object["data"][drawn] = object["data"][drawn].is_string().into();
            }
        }
        // Which of two controllers was faster isn't the operator's.
        "jobs" => {
            let spec = &mut object["spec"];
            *spec = json!({"template": spec["template"]["spec"]});
            object["metadata"]["labels"] = meta["labels"].clone();
            object["status"] = json!({"succeeded": object["status"]["succeeded"]});
        }
        "services" => {
            object["status"] = Value::Null;
            for field in ["clusterIP", "clusterIPs"] {
                object["spec"][field] = Value::Null;
            }
        }
        _ => object["status"] = Value::Null,
    }
}

/// Names that were drawn, and what stands for them: the same in every run.
fn drawn(found: &[(&str, String, Value)]) -> Vec<(String, String)> {
    // Bindings are told apart by what they hold; the canary's Jobs, whose names hold a digest of the account, by image.
    let mark = |plural: &str, object: &Value| match plural {
        "secrets" if !items(&object["metadata"]["owners"]).is_empty() => {
            Some(("BINDING", object["data"].to_string()))
        }
        "jobs" if object["metadata"]["labels"]["accord.dev/role"] == "canary" => Some((
            "CANARY",
            object["spec"]["template"]["containers"][0]["image"].to_string(),
        )),
        _ => None,
    };
    let mut names: Vec<(&str, String, &String)> = found
        .iter()
        .filter_map(|(plural, name, object)| {
            let (word, mark) = mark(plural, object)?;
            Some((word, mark, name))
        })
        .collect();
    names.sort();
    let numbered = names.into_iter().enumerate();
    // The drawn part alone: it stands in arguments too.
    let part = |name: &str| name.rsplit('-').next().unwrap_or(name).to_owned();
    numbered
        .map(|(n, (word, _, name))| (part(name), format!("{word}-{n}")))
        .collect()
}

fn replaced(text: &str, namespace: &str, drawn: &[(String, String)]) -> String {
    let mut text = text.replace(namespace, "NAMESPACE");
    for (name, stand_in) in drawn {
        text = text.replace(name, stand_in);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_by_its_place() {
        let wanted = json!({"jobs/a": {"spec": {"x": [1, 2]}}, "jobs/b": {}});
        let found = json!({"jobs/a": {"spec": {"x": [1, 3]}}, "jobs/c": {}});
        let words = difference(&wanted, &found).unwrap();
        assert!(words.contains("jobs/b isn't there"), "{words}");
        assert!(words.contains("jobs/c is there besides"), "{words}");
        assert!(
            words.contains("jobs/a differs: .spec.x[1] is 3, without faults 2"),
            "{words}"
        );
        assert_eq!(difference(&found, &found), None);
    }

    #[test]
    fn what_a_secret_holds_is_never_in_a_state() {
        let mut object = json!({"metadata": {"name": "s", "uid": "u"}, "data": {"password": "c2VjcmV0"}});
        assert!(!format!("{:?}", secret(&object)).contains("c2VjcmV0"));
        reduce("secrets", &mut object);
        assert!(!object.to_string().contains("c2VjcmV0"), "{object}");
    }
}
