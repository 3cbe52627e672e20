//! The step that changes the canary's password: whether a change takes effect on all replicas at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encoding;

/// The request that changes the canary's password, sent with the session cookie and the access token, where there are
/// any, and with the CSRF token.
///
/// Made once for a revision, with two replicas that agree: the password is changed at the one that was proved before; from
/// then on both have to refuse the old one and accept the new one. Then it is changed back. An application that refuses
/// passwords that were used before can't have this step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangePassword {
    /// The path. A trailing slash counts.
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path: String,
    /// The request's method. Default: `POST`.
    #[serde(default)]
    pub method: ChangeMethod,
    /// How the body is encoded. Default: `JSON`.
    #[serde(default)]
    pub encoding: Encoding,
    /// The body's field for the password as it is. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_field: Option<String>,
    /// The body's field for the password as it is to be. Default: `new_password`.
    #[serde(default = "default_new_field")]
    pub new_field: String,
    /// The body's field that repeats the new password, as forms want it. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_field: Option<String>,
}

/// The method of a request that changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChangeMethod {
    /// POST
    #[default]
    #[serde(rename = "POST")]
    Post,
    /// PUT
    #[serde(rename = "PUT")]
    Put,
    /// PATCH
    #[serde(rename = "PATCH")]
    Patch,
}

fn default_new_field() -> String {
    "new_password".into()
}
