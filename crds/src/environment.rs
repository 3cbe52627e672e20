//! What a service is for, as declared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a service is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Environment {
    /// Users are real.
    #[default]
    Production,
    /// As in production, for trying out what is to go there.
    Staging,
    /// For developers.
    Development,
    /// One of a newer version: as `Production`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl Environment {
    /// The value that applications get. One that isn't known is production: nothing is switched on by mistake.
    pub const fn value(self) -> &'static str {
        match self {
            Self::Production | Self::Unknown => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }
}
