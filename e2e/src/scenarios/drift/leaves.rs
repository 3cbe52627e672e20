//! Which fields of an object are Accord's, as the API server records them, where each stands, and what to put there
//! instead.

use serde_json::{Map, Value, json};

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    /// An entry of a list, by some of its fields.
    Entry(Map<String, Value>),
    /// An entry of a list of scalars.
    Scalar(Value),
}

/// A field that one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf(Vec<Step>);

/// The fields that a manager applied.
pub(super) fn applied(object: &Value, manager: &str) -> Vec<Leaf> {
    let mut found = Vec::new();
    for entry in object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].is_null() {
            collect(&entry["fieldsV1"], &mut Vec::new(), &mut found);
        }
    }
    found
}

fn collect(fields: &Value, path: &mut Vec<Step>, found: &mut Vec<Leaf>) {
    let own = fields
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != ".");
    let mut is_leaf = true;
    for (key, below) in own {
        is_leaf = false;
        let step = match key.split_once(':') {
            Some(("f", name)) => Step::Field(name.to_owned()),
            Some(("k", keys)) => Step::Entry(serde_json::from_str(keys).unwrap_or_default()),
            Some(("v", value)) => Step::Scalar(serde_json::from_str(value).unwrap_or_default()),
            _ => continue,
        };
        path.push(step);
        collect(below, path, found);
        path.pop();
    }
    if is_leaf && !path.is_empty() {
        found.push(Leaf(path.clone()));
    }
}

impl Leaf {
    /// The field's name, in words: `spec.template.spec.containers[server].image`.
    pub(super) fn shown(&self) -> String {
        self.0.iter().fold(String::new(), |shown, step| match step {
            Step::Field(name) if shown.is_empty() => name.clone(),
            Step::Field(name) => format!("{shown}.{name}"),
            Step::Entry(keys) => {
                let keys: Vec<String> = keys
                    .values()
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                    .collect();
                format!("{shown}[{}]", keys.join(","))
            }
            Step::Scalar(value) => format!("{shown}[{value}]"),
        })
    }

    /// True for fields at or below one.
    pub(super) fn is_below(&self, fields: &[&str]) -> bool {
        self.0.len() >= fields.len()
            && self
                .0
                .iter()
                .zip(fields)
                .all(|(step, field)| matches!(step, Step::Field(name) if name == field))
    }

    /// Where it stands in an object now, as a JSON pointer.
    pub(super) fn pointer(&self, object: &Value) -> Option<String> {
        let (mut at, mut pointer) = (object, String::new());
        for step in &self.0 {
            let part = match step {
                Step::Field(name) => name.clone(),
                Step::Entry(keys) => {
                    let is_it = |entry: &Value| keys.iter().all(|(key, value)| entry[key] == *value);
                    at.as_array()?.iter().position(is_it)?.to_string()
                }
                Step::Scalar(value) => at.as_array()?.iter().position(|v| v == value)?.to_string(),
            };
            at = match at {
                Value::Array(all) => all.get(part.parse::<usize>().ok()?)?,
                other => other.get(&part)?,
            };
            pointer = format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"));
        }
        Some(pointer)
    }
}

/// What somebody might put in place of a value: the first that the API server takes is used. `None` takes the field out.
pub(super) fn instead_of(value: &Value) -> Vec<Option<Value>> {
    let mut all = Vec::new();
    match value {
        Value::Bool(b) => all.push(json!(!b)),
        Value::Number(n) => {
            let n = n.as_i64().unwrap_or_default();
            all.extend([json!(n + 1), json!(n - 1)]);
        }
        Value::String(text) => {
            all.extend(
                CHOICES
                    .iter()
                    .filter(|(from, _)| from == text)
                    .map(|(_, to)| json!(to)),
            );
            // 100m, 1Gi, 25%: another number.
            if text.starts_with(|c: char| c.is_ascii_digit()) {
                all.push(json!(format!("1{text}")));
            }
            all.push(json!(format!("{text}x")));
            all.push(json!("other"));
        }
        Value::Array(list) => {
            let more = list.iter().cloned().chain([json!("other")]);
            all.push(more.collect());
        }
        Value::Object(fields) => {
            // One that is owned as a whole, such as a reference: its first text.
            let text = fields.iter().find(|(_, v)| v.is_string());
            if let Some((name, Value::String(text))) = text {
                let mut other = fields.clone();
                other.insert(name.clone(), json!(format!("{text}x")));
                all.push(Value::Object(other));
            }
            let mut more = fields.clone();
            more.insert("other".to_owned(), json!("other"));
            all.push(Value::Object(more));
        }
        Value::Null => {}
    }
    all.into_iter().map(Some).chain([None]).collect()
}

/// Where only some words are taken.
const CHOICES: &[(&str, &str)] = &[
    ("TCP", "UDP"),
    ("RollingUpdate", "OnDelete"),
    ("ScheduleAnyway", "DoNotSchedule"),
    ("RuntimeDefault", "Unconfined"),
    ("AlwaysAllow", "IfHealthyBudget"),
    ("IfNotPresent", "Always"),
    ("Never", "Always"),
    ("metadata.name", "metadata.namespace"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Value {
        json!({"metadata": {"managedFields": [
            {"manager": "accord", "operation": "Apply", "fieldsV1": {
                "f:spec": {"f:berths": {}, "f:crew": {
                    ".": {}, "k:{\"name\":\"mate\"}": {".": {}, "f:name": {}, "f:rank": {}}},
                    "f:flags": {"v:\"red\"": {}}}}},
            {"manager": "accord", "operation": "Update", "fieldsV1": {"f:spec": {"f:default": {}}}},
            {"manager": "other", "operation": "Apply", "fieldsV1": {"f:spec": {"f:theirs": {}}}}]},
         "spec": {"berths": 3, "default": 1, "theirs": 1, "flags": ["blue", "red"],
            "crew": [{"name": "cook", "rank": 1}, {"name": "mate", "rank": 2}]}})
    }

    #[test]
    fn only_what_the_manager_applied_is_its_own_and_is_found_where_it_stands() {
        let object = object();
        let places: Vec<(String, Option<String>)> = applied(&object, "accord")
            .iter()
            .map(|leaf| (leaf.shown(), leaf.pointer(&object)))
            .collect();
        let expected = [
            ("spec.berths", "/spec/berths"),
            ("spec.crew[mate].name", "/spec/crew/1/name"),
            ("spec.crew[mate].rank", "/spec/crew/1/rank"),
            ("spec.flags[\"red\"]", "/spec/flags/1"),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(shown, at)| (shown.to_owned(), Some(at.to_owned())))
            .collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn an_edit_is_never_what_was_there() {
        for value in [
            json!(true),
            json!(3),
            json!("100m"),
            json!("a"),
            json!(["a"]),
            json!({"a": "b"}),
        ] {
            let all = instead_of(&value);
            assert!(
                all.len() > 1 && !all.contains(&Some(value.clone())),
                "{value}: {all:?}"
            );
        }
    }
}
