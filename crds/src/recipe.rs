//! How a person logs in to the application, as data: the recipe of the exchange.
//!
//! A recipe names requests and what they answer. It holds no credential: the canary's are put in when it is run.

mod cookie;
mod password;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cookie::{CookieAttributes, SameSite};
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

/// A CSRF token, taken from a cookie and sent back as a header or a form field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Csrf {
    /// The path that sets the cookie.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
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

/// The login request: POST with the canary's username and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The path. A trailing slash counts: Django answers a POST without one with a redirect.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
    /// How the body is encoded. Default: `JSON`.
    #[serde(default)]
    pub encoding: Encoding,
    /// The body's field for the username. Default: `username`.
    #[serde(default = "default_username_field")]
    pub username_field: String,
    /// Which of the canary's names people log in with; the check has to answer with it. Default: `Username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier>,
    /// The body's field for the password. Default: `password`.
    #[serde(default = "default_password_field")]
    pub password_field: String,
    /// What the body gives besides, for example `grant_type: password`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub fields: std::collections::BTreeMap<String, String>,
    /// The status of a login that succeeded. Default: 200. A form login that redirects answers 302.
    #[serde(default = "default_ok")]
    #[schemars(with = "i32", range(min = 200, max = 399))]
    pub status: u16,
    /// The session cookie that a login sets, where sessions are used. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_cookie: Option<String>,
    /// What the session cookie has to be, where that is declared: a replica that sets another one is `CookieAttributes`, and
    /// isn't admitted. Default: not declared, and attributes aren't looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_cookie_attributes: Option<CookieAttributes>,
    /// The key under which the managed cache keeps a session, where that is known: `{id}` stands for the cookie's value
    /// without a signature, for example `session:{id}`. A session that works and isn't there is a `LocalSession`. Default:
    /// not known, and nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"\{id\}"))]
    pub session_key: Option<String>,
    /// Where the answer holds the access token: a field of the JSON body, or a JSON pointer to it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// What signs the access token, where that is declared. With `KeyRing` a token that no key of the service's key ring
    /// verifies (HS256, HS384, HS512) is a `KeyMismatch`. Default: not declared, and signatures aren't looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_key: Option<TokenKey>,
    /// Where the answer holds the refresh token: a field, or a JSON pointer. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

/// The name that people log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identifier {
    /// The canary's username.
    Username,
    /// The canary's e-mail address.
    Email,
    /// A name of a newer version: as `Username`.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What signs a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenKey {
    /// A key of the service's key ring, as the bytes of its text: the active one, or an older one that still verifies.
    KeyRing,
    /// A way of a newer version: signatures aren't looked at.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
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
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
    /// JSON pointer (RFC 6901) to the username in the answer. Without it the answer's text has to contain the username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/"))]
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
    #[schemars(regex(pattern = r"^/"))]
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

/// The request that ends the session: POST with the session cookie and the access token, where there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logout {
    /// The path.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
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

/// What becomes of a token when its session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AfterLogout {
    /// It is accepted until it expires.
    #[default]
    Accepted,
    /// Every replica rejects it at once.
    Rejected,
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
fn default_username_field() -> String {
    "username".into()
}
fn default_password_field() -> String {
    "password".into()
}
fn default_refresh_field() -> String {
    "refresh".into()
}
fn default_ok() -> u16 {
    200
}
fn default_unauthorized() -> u16 {
    401
}
