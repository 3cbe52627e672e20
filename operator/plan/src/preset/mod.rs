//! What is known of each framework: one file each, data only. Everything in it can be overridden in the declaration.

mod custom;
mod django;
mod fastapi;
mod flask;

use accord_crds::Recipe;
use accord_crds::spec::{Binding, BindingSource, Framework};

/// What is known of a framework.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The port that its server listens on.
    pub port: i32,
    /// The path that kubelet asks. Without one, the port is tried.
    pub health_path: Option<&'static str>,
    /// Bindings by convention. Those of a backend that isn't declared are left out.
    pub bindings: Vec<Binding>,
    /// Plain environment of the server and the Jobs.
    pub env: &'static [(&'static str, &'static str)],
    /// The migration's command.
    pub migration: &'static [&'static str],
    /// The command that makes sure that the canary exists.
    pub canary: &'static [&'static str],
    /// The command that prints what the servers would use (`preflight`).
    pub facts: &'static [&'static str],
    /// How to log in.
    pub recipe: Option<Recipe>,
}

impl Preset {
    /// The preset of a framework; `None` for one of a newer version of Accord.
    pub fn of(framework: Framework) -> Option<Self> {
        match framework {
            Framework::Django => Some(django::preset()),
            Framework::Flask => Some(flask::preset()),
            Framework::FastApi => Some(fastapi::preset()),
            Framework::Custom => Some(custom::preset()),
            Framework::Unknown => None,
        }
    }
}

/// A binding to an environment variable.
fn env(name: &str, source: BindingSource) -> Binding {
    Binding {
        env: Some(name.into()),
        file: None,
        source,
        format: None,
    }
}
