//! What a session cookie has to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attributes of the session cookie (RFC 6265), as a browser enforces them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CookieAttributes {
    /// It has to be sent over HTTPS only. Default: true.
    #[serde(default = "yes")]
    pub secure: bool,
    /// It has to be out of reach for scripts. Default: true.
    #[serde(default = "yes")]
    pub http_only: bool,
    /// What its `SameSite` has to be. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_site: Option<SameSite>,
    /// How long a browser has to keep it, in seconds, by `Max-Age` or `Expires`; a tenth more or less is right. 0: until
    /// the browser is closed. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 34_560_000))]
    pub lifetime_seconds: Option<i64>,
}

/// Which requests of other sites carry the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SameSite {
    /// None.
    Strict,
    /// Navigation.
    Lax,
    /// All of them.
    None,
    /// A value of a newer version: not looked at.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl SameSite {
    /// As the attribute spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
            Self::Unknown => "Unknown",
        }
    }
}

fn yes() -> bool {
    true
}
