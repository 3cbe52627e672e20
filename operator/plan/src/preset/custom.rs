//! Nothing is assumed.

use super::Preset;

pub(super) fn preset() -> Preset {
    Preset {
        port: 8080,
        health_path: None,
        bindings: Vec::new(),
        env: &[],
        migration: &[],
        canary: &[],
        facts: &[],
        recipe: None,
    }
}
