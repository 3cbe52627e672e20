//! How a person logs in to the application, as data: the recipe of the exchange.
//!
//! A recipe names requests and what they answer. It holds no credential: the canary's are put in when it is run.

mod cookie;
mod login;
mod logout;
mod password;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cookie::{CookieAttributes, SameSite};
pub use login::{Identifier, Login, SessionRow, TokenKey};
pub use logout::{AfterLogout, Logout, LogoutMethod};
pub use password::{ChangeMethod, ChangePassword};

/// How to log in, check, refresh and log out. What one replica issues is checked on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// Fetch a CSRF token before login, at the same replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<Csrf>,
    /// The login request.
    pub login: Login,
    /// The request that tells who is logged in.
    pub check: Check,
    /// The request that exchanges a refresh token for new tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Refresh>,
    /// The request that ends the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logout: Option<Logout>,
    /// The request that changes the canary's password. Default: none is made, and nothing is said of how a change takes
    /// effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_password: Option<ChangePassword>,
}

impl Recipe {
    /// The admission rules, where no API server asks them.
    ///
    /// # Errors
    /// A sentence that names the field and the way out.
    pub fn check(&self) -> Result<(), String> {
        let paths = [
            ("csrf.path", self.csrf.as_ref().and_then(|s| s.path.as_ref())),
            ("login.path", Some(&self.login.path)),
            ("check.path", Some(&self.check.path)),
            ("check.username", self.check.username.as_ref()),
            ("refresh.path", self.refresh.as_ref().map(|s| &s.path)),
            ("logout.path", self.logout.as_ref().map(|s| &s.path)),
            (
                "changePassword.path",
                self.change_password.as_ref().map(|s| &s.path),
            ),
        ];
        for (field, value) in paths {
            if let Some(value) = value.filter(|v| !v.starts_with('/')) {
                return Err(format!(
                    "{field} is {value:?}: it has to begin with a slash, without scheme and host"
                ));
            }
        }
        self.login.check().map_err(str::to_owned)?;
        let logout = self.logout.as_ref().map_or(Ok(()), Logout::check);
        logout.map_err(str::to_owned)
    }
}

/// A CSRF token, taken from a cookie and sent back as a header or a form field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Csrf {
    /// The path that sets the cookie. Default: none is asked, and the login is what sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path: Option<String>,
    /// The cookie that holds the token. Default: `csrftoken`.
    #[serde(default = "default_csrf_cookie")]
    pub cookie: String,
    /// The header that sends it back. Default: `X-CSRFToken`.
    #[serde(default = "default_csrf_header")]
    pub header: String,
    /// The field of a form login that sends it back as well. Default: `csrfmiddlewaretoken`.
    #[serde(default = "default_csrf_form_field")]
    pub form_field: String,
}

/// The encoding of a request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// `application/json`
    #[default]
    #[serde(rename = "JSON")]
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
}

/// The request that tells who is logged in: GET with the session cookie, and again with the access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The path.
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path: String,
    /// JSON pointer (RFC 6901) to the username in the answer. Without it the answer's text has to contain the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub username: Option<String>,
    /// The status for somebody who is not logged in. Default: 401. A page that sends people to its login form answers 302.
    #[serde(default = "default_unauthorized")]
    #[schemars(with = "i32", range(min = 300, max = 499))]
    pub rejected_status: u16,
}

/// The request that exchanges a refresh token: POST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The path.
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
    pub path: String,
    /// The body's field for the refresh token. Default: `refresh`.
    #[serde(default = "default_refresh_field")]
    pub field: String,
    /// How the body is encoded. Default: `JSON`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// What the body gives besides, for example `grant_type: refresh_token`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub fields: std::collections::BTreeMap<String, String>,
}

fn default_csrf_cookie() -> String {
    "csrftoken".into()
}
fn default_csrf_header() -> String {
    "X-CSRFToken".into()
}
fn default_csrf_form_field() -> String {
    "csrfmiddlewaretoken".into()
}
fn default_refresh_field() -> String {
    "refresh".into()
}
fn default_unauthorized() -> u16 {
    401
}
