//! The end state of a world, without what differs between two equal ones: random parts of names, versions, times.

use accord_plan::{Kind, Object};
use serde_json::{Value, json};

use super::controllers::is_true;
use super::world::World;

/// Everything that a person would call a difference, as sorted lines.
pub(crate) fn state(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = world.api.iter().filter_map(|o| object(o)).collect();
    for (claim, database) in &world.stores.databases {
        for row in &database.ledger {
            lines.push(format!(
                "ledger of {claim}: {} {} {} {}",
                row.kind, row.name, row.revision, row.state
            ));
        }
    }
    lines.push(match &world.service {
        None => "no service".into(),
        Some(service) => {
            let mut value = json!({"status": service.status, "finalizers": service.metadata.finalizers});
            for condition in value["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["lastTransitionTime"] = Value::Null;
            }
            let mut text = value.to_string();
            anonymous(&mut text);
            text
        }
    });
    lines.sort();
    lines
}

fn object(o: &Object) -> Option<String> {
    let v = &o.value;
    let mut text = match o.key.kind {
        Kind::Pod => {
            // A failed Job's pod is its Job's story.
            let serves = matches!(o.label("accord.dev/role"), Some("server" | "postgres" | "cache"));
            return serves.then(|| {
                let mut text = format!("{} ready={} {}", o.key, is_true(v, "Ready"), v["spec"]);
                anonymous(&mut text);
                text
            });
        }
        Kind::ReplicaSet if v["spec"]["replicas"] == 0 => return None,
        Kind::Job => format!("{} {}", o.key, v["status"]["conditions"][0]["type"]),
        // Data that is kept is the same, not only alike.
        Kind::PersistentVolumeClaim => format!("{} {} {}", o.key, o.uid(), v["spec"]),
        Kind::Secret => format!("{} {} {}", o.key, v["data"], v["metadata"]["labels"]),
        Kind::ConfigMap | Kind::ControllerRevision => format!("{} {}", o.key, v["data"]),
        _ => format!("{} {} {}", o.key, v["metadata"]["labels"], v["spec"]),
    };
    anonymous(&mut text);
    Some(text)
}

/// Pods end in a dash and five digits.
fn anonymous(text: &mut String) {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('-') {
        out.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let ends = rest
            .as_bytes()
            .get(digits)
            .is_none_or(|b| !b.is_ascii_alphanumeric() && *b != b'-');
        if digits == 5 && ends {
            out.push('*');
            rest = &rest[digits..];
        }
    }
    out.push_str(rest);
    *text = out;
}
