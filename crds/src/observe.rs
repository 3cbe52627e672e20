//! Verifying what somebody else runs: the mode, and which pods are meant.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What Accord does about the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// It makes them and what they need, and lets traffic to those that agree.
    #[default]
    Manage,
    /// It verifies pods that somebody else made, says what it finds, and changes nothing.
    Observe,
    /// A mode of a newer version: nothing is done.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Pods in the namespace of the AuthService.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSelector {
    /// Labels that the pods carry, each of them: those of the Deployment's `spec.selector.matchLabels`.
    #[schemars(schema_with = "labels")]
    pub match_labels: BTreeMap<String, String>,
}

fn labels(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": {
            "type": "string",
            "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
        }
    })
}
