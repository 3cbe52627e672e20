//! What a change that is taken back must have left as it was: every object of the service, what its Secrets hold (as
//! digests), and what status says.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use crate::api::Api;
use crate::digest::Key;
use crate::scenarios::kit::{Kit, name_of};

/// The kinds, where the API server has them, and the part of each that follows from the declaration.
const KINDS: &[(&str, &str, &str)] = &[
    ("deployments", "/apis/apps/v1", "/spec"),
    ("statefulsets", "/apis/apps/v1", "/spec"),
    ("services", "/api/v1", "/spec"),
    ("poddisruptionbudgets", "/apis/policy/v1", "/spec"),
    ("configmaps", "/api/v1", "/data"),
    ("persistentvolumeclaims", "/api/v1", "/spec"),
    ("secrets", "/api/v1", "/data"),
];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    pub(super) fn take(kit: &Kit<'_>, api: &Api) -> Result<Self> {
        let (namespace, name) = (kit.namespace, &kit.service.name);
        let mut seen = BTreeMap::new();
        for (kind, group, part) in KINDS {
            let path =
                format!("{group}/namespaces/{namespace}/{kind}?labelSelector=accord.dev/service={name}");
            let list = api.get(&path)?;
            for object in list["items"].as_array().into_iter().flatten() {
                let part = object.pointer(part).unwrap_or(&Value::Null).to_string();
                let uid = object["metadata"]["uid"].to_string();
                let value = if *kind == "secrets" {
                    Key::default().text("data", &part).finish()
                } else {
                    part
                };
                seen.insert(format!("{kind}/{}", name_of(object)), format!("{uid} {value}"));
            }
        }
        let path = format!("/apis/accord.dev/v1alpha1/namespaces/{namespace}/authservices/{name}");
        let object = api.get(&path)?;
        seen.insert("spec".to_owned(), object["spec"].to_string());
        for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
            seen.insert(
                format!("condition {}", condition["type"].as_str().unwrap_or_default()),
                format!("{} {}", condition["status"], condition["reason"]),
            );
        }
        for field in ["released", "candidate", "identity"] {
            seen.insert(format!("status.{field}"), object["status"][field].to_string());
        }
        Ok(Self(seen))
    }

    /// What isn't as it was. Binding Secrets of what was tried may be left: a rollback may need them.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut different: Vec<String> = self
            .0
            .iter()
            .filter(|(what, value)| now.0.get(*what) != Some(value))
            .map(|(what, value)| match now.0.get(what) {
                None => format!("{what} is gone"),
                Some(_) if what.starts_with("secrets/") => format!("{what} has another content"),
                Some(now) => format!("{what} was {value} and is {now}"),
            })
            .collect();
        different.extend(
            now.0
                .keys()
                .filter(|what| !self.0.contains_key(*what) && !what.starts_with("secrets/"))
                .map(|what| format!("{what} is new")),
        );
        different
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_changed_or_new_is_told_and_no_secret_s_content() {
        let of = |pairs: &[(&str, &str)]| {
            Snapshot(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
        };
        let before = of(&[("services/pier", "a"), ("secrets/rope", "b"), ("spec", "c")]);
        let after = of(&[
            ("secrets/rope", "x"),
            ("secrets/new", "y"),
            ("configmaps/new", "z"),
            ("spec", "c"),
        ]);
        assert_eq!(before.differences(&before), Vec::<String>::new());
        assert_eq!(
            before.differences(&after),
            [
                "secrets/rope has another content",
                "services/pier is gone",
                "configmaps/new is new"
            ]
        );
    }
}
