//! The service's addresses for those who come from outside: `status.urls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses, made from the canonical hostname and the recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Urls {
    /// Where the application is: `https://` and the canonical hostname. A frontend whose API address is set when it is
    /// built takes this one.
    pub api: String,
    /// Where a CSRF token is fetched, if the recipe has that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// Where one logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Where a refresh token is exchanged, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// Where one logs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logout: Option<String>,
}
