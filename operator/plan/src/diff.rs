//! Whether a live object is as desired, in canonical form, and how to make it so.
//!
//! A field that isn't desired is left alone: defaults of the API server and fields of others are none of our business. But
//! in the lists that decide what runs (containers, env, volumes, ports, …) and in selectors, foreign entries are drift:
//! forced server-side apply would leave them, or answer 422 for ever, so those are repaired by one PUT.

use accord_crds::Quantity;
use serde_json::{Map, Value};

use crate::key::{Kind, Object};
use crate::outcome::Action;

/// The write that makes `live` as desired; `None` when it is.
pub fn change(desired: &Object, live: Option<&Object>) -> Option<Action> {
    let Some(live) = live else {
        return Some(Action::Create(desired.clone()));
    };
    if desired.template_revision() != live.template_revision() {
        return Some(replacement(desired, live, true));
    }
    match compare(&mut Vec::new(), &desired.value, &live.value) {
        Difference::None => None,
        // What a record holds may not change, and is compared byte by byte: server-side apply would write `&`, `<` and `>`
        // in another way than they were sent, and be refused for ever. A PUT sends them as they were.
        _ if desired.key.kind == Kind::ControllerRevision => Some(replacement(desired, live, false)),
        Difference::Owned => Some(Action::Apply(desired.clone())),
        Difference::Foreign => Some(replacement(desired, live, false)),
    }
}

/// One PUT. With another revision the pod template is ours as a whole: what was taken out of the declaration goes, which
/// server-side apply wouldn't do for fields that were sent when the object was created.
fn replacement(desired: &Object, live: &Object, whole_template: bool) -> Action {
    let mut value = live.value.clone();
    overwrite(&mut value, &desired.value);
    if whole_template {
        value["spec"]["template"] = desired.value["spec"]["template"].clone();
    }
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("managedFields");
    }
    Action::Replace(Object {
        key: desired.key.clone(),
        value,
    })
}

/// How an object differs. The worst wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Not at all.
    None,
    /// In a field of ours: apply.
    Owned,
    /// In a list or a selector that has to be ours alone: replace.
    Foreign,
}

/// Maps in which a foreign key changes what is selected or scheduled.
const CLOSED_MAPS: &[&str] = &["matchLabels", "selector"];
/// Lists that others extend by right.
const OPEN_LISTS: &[&str] = &["finalizers", "ownerReferences", "conditions"];
/// What server-side apply tells entries of a list apart by, besides what we do: with another value it would add an entry to
/// the changed one, or be refused for ever.
const MERGE_KEYS: &[&str] = &["port", "containerPort", "protocol", "whenUnsatisfiable"];

fn compare<'a>(path: &mut Vec<&'a str>, desired: &'a Value, live: &Value) -> Difference {
    match (desired, live) {
        (Value::Object(d), Value::Object(l)) => {
            let mut worst = Difference::None;
            for (key, value) in d {
                path.push(key);
                worst = worst.max(match l.get(key) {
                    Some(other) => compare(path, value, other),
                    None if is_empty(value) => Difference::None,
                    None => Difference::Owned,
                });
                path.pop();
            }
            let closed = path.last().is_some_and(|p| CLOSED_MAPS.contains(p));
            if closed && d.values().all(Value::is_string) && l.keys().any(|k| !d.contains_key(k)) {
                worst = Difference::Foreign;
            }
            worst
        }
        (Value::Array(d), Value::Array(l)) => compare_lists(path, d, l),
        (d, l) if d == l || same_scalar(path, d, l) => Difference::None,
        (d, Value::Null) if is_empty(d) => Difference::None,
        _ if path.last().is_some_and(|p| MERGE_KEYS.contains(p)) => Difference::Foreign,
        _ => Difference::Owned,
    }
}

fn compare_lists<'a>(path: &mut Vec<&'a str>, desired: &'a [Value], live: &[Value]) -> Difference {
    let open = path.last().is_some_and(|p| OPEN_LISTS.contains(p));
    let mut worst = Difference::None;
    match identity_key(desired).or_else(|| identity_key(live)) {
        Some(id) => {
            for value in desired {
                worst = worst.max(match live.iter().find(|l| l[id] == value[id]) {
                    Some(other) => compare(path, value, other),
                    None => Difference::Owned,
                });
            }
            if !open && live.iter().any(|l| !desired.iter().any(|d| d[id] == l[id])) {
                worst = Difference::Foreign;
            }
        }
        None if open => {
            if desired.iter().any(|d| !live.contains(d)) {
                worst = Difference::Owned;
            }
        }
        None if desired.len() == live.len() => {
            for (d, l) in desired.iter().zip(live) {
                worst = worst.max(compare(path, d, l));
            }
        }
        None => worst = Difference::Owned,
    }
    worst
}

/// The field by which entries of a list are told apart.
fn identity_key(list: &[Value]) -> Option<&'static str> {
    ["mountPath", "name", "uid", "conditionType", "topologyKey"]
        .into_iter()
        .find(|key| !list.is_empty() && list.iter().all(|v| !v[*key].is_null()))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(m) => m.values().all(is_empty),
        Value::Array(l) => l.is_empty(),
        Value::Bool(b) => !b,
        Value::String(s) => s.is_empty(),
        Value::Number(_) => false,
    }
}

/// Quantities by value (`0.0100` reads back as `10m`).
fn same_scalar(path: &[&str], desired: &Value, live: &Value) -> bool {
    let quantity = path
        .iter()
        .any(|p| matches!(*p, "limits" | "requests" | "sizeLimit"));
    let (Some(d), Some(l)) = (desired.as_str(), live.as_str()) else {
        return false;
    };
    quantity && d.parse::<Quantity>().is_ok_and(|d| l.parse() == Ok(d))
}

/// Lays the desired over the live: our lists become exactly ours, what the API server filled in stays.
fn overwrite(live: &mut Value, desired: &Value) {
    overlay(live, desired, &mut Vec::new(), true);
}

/// A strategic merge patch: lists of named entries are merged, `$patch: delete` takes an entry out, null takes a field out.
pub fn strategic_merge(target: &mut Value, patch: &Value) {
    overlay(target, patch, &mut Vec::new(), false);
}

fn overlay<'a>(target: &mut Value, patch: &'a Value, path: &mut Vec<&'a str>, exact: bool) {
    match (&mut *target, patch) {
        (Value::Object(t), Value::Object(p)) => {
            if exact
                && path.last().is_some_and(|k| CLOSED_MAPS.contains(k))
                && p.values().all(Value::is_string)
            {
                t.retain(|k, _| p.contains_key(k));
            }
            for (key, value) in p {
                if value.is_null() {
                    t.remove(key);
                    continue;
                }
                path.push(key);
                overlay(t.entry(key.clone()).or_insert(Value::Null), value, path, exact);
                path.pop();
            }
        }
        (Value::Array(t), Value::Array(p)) => {
            let open = !exact || path.last().is_some_and(|k| OPEN_LISTS.contains(k));
            let Some(id) = identity_key(p) else {
                *target = patch.clone();
                return;
            };
            let mut kept = Vec::new();
            for value in p {
                let found = t.iter().position(|l| l[id] == value[id]);
                if value["$patch"] == "delete" {
                    found.map(|i| t.remove(i));
                } else if let (Some(i), true) = (found, open) {
                    overlay(&mut t[i], value, path, exact);
                } else {
                    let mut merged = found.map_or(Value::Object(Map::new()), |i| t.remove(i));
                    overlay(&mut merged, value, path, exact);
                    kept.push(merged);
                }
            }
            if open {
                t.append(&mut kept);
            } else {
                *t = kept;
            }
        }
        _ => *target = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Kind, ObjectKey};
    use serde_json::json;

    fn deployment(value: Value) -> Object {
        Object {
            key: ObjectKey::new(Kind::Deployment, "blue"),
            value,
        }
    }

    #[test]
    fn defaults_of_the_api_server_are_no_difference() {
        let desired = deployment(
            json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "0.0100"}}}]}}),
        );
        let live = deployment(json!({"spec": {"replicas": 1, "containers": [
            {"name": "a", "terminationMessagePath": "/dev/x", "resources": {"requests": {"cpu": "10m"}}}]}}));
        assert_eq!(change(&desired, Some(&live)), None);
    }

    #[test]
    fn an_edited_field_is_applied() {
        let desired = deployment(json!({"spec": {"replicas": 3}}));
        let live = deployment(json!({"spec": {"replicas": 4}}));
        assert!(matches!(change(&desired, Some(&live)), Some(Action::Apply(_))));
    }

    #[test]
    fn a_foreign_variable_is_replaced_and_defaults_stay() {
        let desired =
            deployment(json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]}));
        let live = deployment(json!({"metadata": {"resourceVersion": "7"}, "containers": [
            {"name": "a", "tty": true, "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]}));
        let Some(Action::Replace(put)) = change(&desired, Some(&live)) else {
            panic!("not replaced")
        };
        assert_eq!(
            put.value["containers"][0]["env"],
            json!([{"name": "X", "value": "1"}])
        );
        assert_eq!(put.value["containers"][0]["tty"], true);
        assert_eq!(put.resource_version(), "7");
    }

    #[test]
    fn a_record_is_never_applied() {
        let record = |number: i64, version: &str| Object {
            key: ObjectKey::new(Kind::ControllerRevision, "blue-1"),
            value: json!({"metadata": {"resourceVersion": version}, "revision": number,
                "data": {"migration": {"command": ["sh", "-c", "a && b"]}}}),
        };
        let Some(Action::Replace(put)) = change(&record(3, ""), Some(&record(1, "7"))) else {
            panic!("not replaced")
        };
        assert_eq!(put.value["revision"], 3);
        assert_eq!(put.value["data"]["migration"]["command"][2], "a && b");
    }

    #[test]
    fn an_entry_that_apply_would_take_for_another_one_is_replaced() {
        let ports = |protocol: &str, port: u16| {
            deployment(json!({"spec": {"ports": [{"name": "a", "port": port, "protocol": protocol}]}}))
        };
        for edited in [ports("UDP", 80), ports("TCP", 81)] {
            let change = change(&ports("TCP", 80), Some(&edited));
            let Some(Action::Replace(put)) = change else {
                panic!("not replaced: {change:?}")
            };
            assert_eq!(put.value, ports("TCP", 80).value);
        }
    }

    #[test]
    fn a_foreign_selector_is_replaced() {
        let desired = deployment(json!({"spec": {"selector": {"app": "a"}}}));
        let live = deployment(json!({"spec": {"selector": {"app": "a", "pod": "b"}}}));
        assert!(matches!(change(&desired, Some(&live)), Some(Action::Replace(_))));
    }

    #[test]
    fn a_strategic_patch_merges_by_name() {
        let mut target =
            json!({"containers": [{"name": "server", "image": "a"}], "volumes": [{"name": "v"}]});
        strategic_merge(
            &mut target,
            &json!({"containers": [{"name": "server", "tty": true}, {"name": "side", "image": "b"}],
                "volumes": [{"name": "v", "$patch": "delete"}], "priorityClassName": "high"}),
        );
        assert_eq!(
            target,
            json!({"containers": [{"name": "server", "image": "a", "tty": true}, {"name": "side", "image": "b"}],
                "volumes": [], "priorityClassName": "high"})
        );
    }
}
