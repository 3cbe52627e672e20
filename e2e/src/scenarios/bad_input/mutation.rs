//! One thing wrong with a declaration, and all that can be wrong with a field of its type: made from the CRD's own schema,
//! so that a field that is added is spoilt too.

use serde_json::{Map, Value, json};

/// The length of a huge text, in bytes.
const HUGE_TEXT: usize = 100_000;
/// The length of a huge list.
const HUGE_LIST: usize = 10_000;

/// One change to a valid spec.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    /// The field as a user names it: `spec.seeds[0].name`.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) how: &'static str,
    /// Unknown fields are refused where the client asks for it, as kubectl does, and dropped otherwise.
    pub(super) unknown: bool,
    /// The spec with the change.
    pub(super) spec: Value,
}

/// All mutations of a spec by its schema. `examples` fills in what has to be around a field that isn't declared.
pub(super) fn all(schema: &Value, spec: &Value, examples: &Value) -> Vec<Mutation> {
    let mut walk = Walk {
        spec,
        examples,
        found: Vec::new(),
    };
    walk.object(schema, &mut Vec::new());
    walk.found
}

struct Walk<'a> {
    spec: &'a Value,
    examples: &'a Value,
    found: Vec<Mutation>,
}

impl Walk<'_> {
    fn object(&mut self, schema: &Value, path: &mut Vec<String>) {
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        let required = |name: &str| {
            schema["required"]
                .as_array()
                .is_some_and(|all| all.iter().any(|r| r == name))
        };
        for (name, child) in properties {
            path.push(name.clone());
            if required(name) {
                self.push(path, "missing", None);
            }
            self.field(child, path);
            path.pop();
        }
        path.push("unknownNeighbour".to_owned());
        self.push(path, "unknown", Some(json!(1)));
        path.pop();
    }

    fn field(&mut self, schema: &Value, path: &mut Vec<String>) {
        for (how, value) in self.values(schema, path) {
            self.push(path, how, Some(value));
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, path),
            Some("array") => {
                path.push("0".to_owned());
                self.field(&schema["items"], path);
                path.pop();
            }
            _ => {}
        }
    }

    /// What can be wrong with a field of this type.
    fn values(&self, schema: &Value, path: &[String]) -> Vec<(&'static str, Value)> {
        if schema["x-kubernetes-int-or-string"] == true {
            return vec![
                ("wrong type", json!({})),
                ("no quantity", json!("plenty")),
                ("negative", json!("-1")),
            ];
        }
        match schema["type"].as_str() {
            Some("string") if schema["enum"].is_array() => vec![
                ("wrong type", json!(7)),
                ("empty", json!("")),
                ("no choice", json!("Nonsense")),
                ("Unicode", json!(unicode())),
            ],
            Some("string") => vec![
                ("wrong type", json!(7)),
                ("wrong type", json!(["list"])),
                ("empty", json!("")),
                ("blank", json!(" ")),
                ("huge", json!("x".repeat(HUGE_TEXT))),
                ("Unicode", json!(unicode())),
                ("NUL", json!("a\u{0}b")),
                ("newline", json!("two\nlines")),
            ],
            Some("integer") => vec![
                ("wrong type", json!("7")),
                ("wrong type", json!(1.5)),
                ("negative", json!(-1)),
                ("huge", json!(1_u64 << 31)),
                ("huge", json!(u64::MAX)),
            ],
            Some("boolean") => vec![("wrong type", json!("true")), ("wrong type", json!(1))],
            Some("array") => {
                let item = self.at(path)[0].clone();
                let many = vec![if item.is_null() { json!("x") } else { item }; HUGE_LIST];
                vec![
                    ("wrong type", json!("text")),
                    ("wrong type", json!({})),
                    ("empty", json!([])),
                    ("a null in it", json!([null])),
                    ("huge", Value::Array(many)),
                ]
            }
            Some("object") if schema["additionalProperties"].is_object() => vec![
                ("wrong type", json!("text")),
                ("wrong type", json!({"a": {"b": "c"}})),
                (
                    "Unicode",
                    Value::Object(Map::from_iter([(unicode(), json!("1"))])),
                ),
                (
                    "huge",
                    (0..HUGE_LIST)
                        .map(|i| (format!("key-{i}"), json!("1")))
                        .collect::<Map<_, _>>()
                        .into(),
                ),
            ],
            Some("object") => vec![
                ("wrong type", json!("text")),
                ("wrong type", json!([])),
                ("empty", json!({})),
            ],
            _ => Vec::new(),
        }
    }

    /// What stands there in the spec, or in the examples.
    fn at(&self, path: &[String]) -> &Value {
        let pointer = pointer(path);
        self.spec
            .pointer(&pointer)
            .or_else(|| self.examples.pointer(&pointer))
            .unwrap_or(&Value::Null)
    }

    fn push(&mut self, path: &[String], how: &'static str, value: Option<Value>) {
        let mut spec = self.spec.clone();
        for end in 1..path.len() {
            self.fill(&mut spec, &path[..end], end + 1 == path.len());
        }
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        match (spec.pointer_mut(&pointer(parents)), value) {
            (Some(Value::Object(parent)), Some(value)) => drop(parent.insert(last.clone(), value)),
            (Some(Value::Object(parent)), None) => {
                if parent.remove(last).is_none() {
                    return;
                }
            }
            (Some(Value::Array(parent)), Some(value)) => {
                parent.truncate(0);
                parent.push(value);
            }
            _ => return,
        }
        self.found.push(Mutation {
            field: shown(path),
            how,
            unknown: how == "unknown",
            spec,
        });
    }

    /// Makes sure that a parent is there; the nearest one with what it needs besides.
    fn fill(&self, spec: &mut Value, path: &[String], nearest: bool) {
        let pointer = self::pointer(path);
        if spec.pointer(&pointer).is_some() {
            return;
        }
        let filling = match self.examples.pointer(&pointer) {
            Some(example) if nearest => example.clone(),
            Some(Value::Array(_)) => json!([]),
            _ => json!({}),
        };
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        match spec.pointer_mut(&self::pointer(parents)) {
            Some(Value::Object(parent)) => drop(parent.insert(last.clone(), filling)),
            Some(Value::Array(parent)) => parent.push(filling),
            _ => {}
        }
    }
}

/// Right to left, an emoji of two parts, and a mark that turns the direction of what follows.
fn unicode() -> String {
    "\u{645}\u{631}\u{62d}\u{628}\u{627}\u{202e}\u{1f9d1}\u{200d}\u{1f680}".to_owned()
}

fn pointer(path: &[String]) -> String {
    path.iter().fold(String::new(), |pointer, part| {
        format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"))
    })
}

/// A path as the API server writes it.
fn shown(path: &[String]) -> String {
    path.iter().fold("spec".to_owned(), |shown, part| {
        if part.parse::<usize>().is_ok() {
            format!("{shown}[{part}]")
        } else {
            format!("{shown}.{part}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    fn schema() -> Value {
        json!({"type": "object", "required": ["berth"], "properties": {
            "berth": {"type": "string"},
            "crew": {"type": "array", "items": {"type": "object", "required": ["rank"], "properties": {
                "rank": {"type": "integer"}}}},
            "anchor": {"type": "object", "properties": {"chain": {"type": "boolean"}}},
        }})
    }

    #[test]
    fn every_field_is_spoilt_where_it_stands_and_nothing_else() {
        let spec = json!({"berth": "north", "crew": [{"rank": 1}]});
        let all = all(&schema(), &spec, &json!({"anchor": {"rope": 1}}));
        let find = |field: &str, how: &str| {
            all.iter()
                .find(|m| m.field == field && m.how == how)
                .map(|m| m.spec.clone())
        };
        assert_eq!(
            find("spec.berth", "missing"),
            Some(json!({"crew": [{"rank": 1}]}))
        );
        assert_eq!(
            find("spec.crew[0].rank", "negative"),
            Some(json!({"berth": "north", "crew": [{"rank": -1}]}))
        );
        // What isn't declared is put in, with what has to be around it.
        assert_eq!(
            find("spec.anchor.chain", "wrong type"),
            Some(json!({"berth": "north", "crew": [{"rank": 1}], "anchor": {"rope": 1, "chain": "true"}}))
        );
        assert!(find("spec.crew[0].unknownNeighbour", "unknown").is_some());
        assert!(all.iter().all(|m| m.spec != spec));
    }

    /// True when an object or any entry of its lists has the field.
    fn has(value: &Value, path: &[&str]) -> bool {
        match (value, path.split_first()) {
            (Value::Array(all), _) => all.iter().any(|v| has(v, path)),
            (_, None) => true,
            (_, Some((first, rest))) => value.get(first).is_some_and(|v| has(v, rest)),
        }
    }

    #[test]
    fn every_field_is_declared_or_has_an_example() {
        let reference = paths::read(&paths::checkout().join("crds/generated/reference.md")).unwrap();
        let (spec, examples) = (super::super::rich::spec("i"), super::super::rich::examples());
        let fields = reference
            .lines()
            .filter_map(|line| line.strip_prefix("| `spec.")?.split('`').next());
        let missing: Vec<&str> = fields
            .filter(|field| {
                let path: Vec<&str> = field.split('.').collect();
                !has(&spec, &path) && !has(&examples, &path)
            })
            .collect();
        assert!(missing.is_empty(), "give them a value in rich.rs: {missing:?}");
    }
}
