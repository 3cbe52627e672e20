//! The request that ends a session, and what becomes of what the login gave.

// The derives put each type into a module of its own, where `pub` can't be reached.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encoding;

const BODY_OF_GET: &str = "logout.method is GET, which has no body: logout.refreshField and logout.fields would not be sent. Take them away, or say POST.";

/// The request that ends the session: with the session cookie and the access token, where there are any.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.method) || self.method != 'GET' || !(has(self.refreshField) || has(self.fields))").message(BODY_OF_GET)
)]
pub struct Logout {
    /// The path.
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path: String,
    /// The request's method. Default: `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<LogoutMethod>,
    /// The body's field for the refresh token. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_field: Option<String>,
    /// How the body is encoded, where there is one. Default: `JSON`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// What the body gives besides, for example `client_id: login`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub fields: std::collections::BTreeMap<String, String>,
    /// What becomes of an access token at logout. Default: `Accepted`, as with self-contained tokens that live until they expire.
    #[serde(default)]
    pub access_token: AfterLogout,
}

impl Logout {
    /// The admission rule, where no API server asks it.
    ///
    /// # Errors
    /// The sentence with the way out.
    pub fn check(&self) -> Result<(), &'static str> {
        let body = self.refresh_field.is_some() || !self.fields.is_empty();
        if self.method == Some(LogoutMethod::Get) && body {
            return Err(BODY_OF_GET);
        }
        Ok(())
    }
}

/// The method of a logout. Default: `POST`; a link is followed with `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LogoutMethod {
    /// POST
    #[serde(rename = "POST")]
    Post,
    /// GET
    #[serde(rename = "GET")]
    Get,
    /// DELETE
    #[serde(rename = "DELETE")]
    Delete,
    /// A method of a newer version: as `POST`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What becomes of a token when its session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AfterLogout {
    /// It is accepted until it expires.
    #[default]
    Accepted,
    /// Every replica rejects it at once.
    Rejected,
}
