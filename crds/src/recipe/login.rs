//! The login request, and what its answer gives.

// The derives put each type into a module of its own, where `pub` can't be reached.
#![allow(unreachable_pub)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CookieAttributes, Encoding};

const ATTRIBUTES_OF_NOTHING: &str = "login.sessionCookieAttributes is set without login.sessionCookie: nothing would be compared. Name the cookie, or take the attributes away.";
const KEY_OF_NOTHING: &str = "login.sessionKey is set without login.sessionCookie: no session would be looked for. Name the cookie, or take the key away.";
const ROW_OF_NOTHING: &str = "login.sessionRow is set without login.sessionCookie: no session would be looked for. Name the cookie, or take the row away.";
const TWO_PLACES: &str = "login.sessionKey and login.sessionRow are both set, but a session is kept in one place: name the one that every session is in.";
const SCHEME_OF_NOTHING: &str = "login.accessTokenScheme is set without login.accessToken: no token would be sent. Say where the answer holds the token, or take the scheme away.";
const NO_SCHEME: &str = "login.accessTokenScheme has to be one word of letters, digits and dashes, for example Token: the token follows it after a space.";
const SIGNER_OF_NOTHING: &str = "login.accessTokenKey is set without login.accessToken: no signature would be looked at. Say where the answer holds the token, or take the key away.";

/// The login request: POST with the canary's username and password.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.sessionCookieAttributes) || has(self.sessionCookie)").message(ATTRIBUTES_OF_NOTHING),
    validation = Rule::new("!has(self.sessionKey) || has(self.sessionCookie)").message(KEY_OF_NOTHING),
    validation = Rule::new("!has(self.sessionRow) || has(self.sessionCookie)").message(ROW_OF_NOTHING),
    validation = Rule::new("!has(self.sessionRow) || !has(self.sessionKey)").message(TWO_PLACES),
    validation = Rule::new("!has(self.accessTokenScheme) || has(self.accessToken)").message(SCHEME_OF_NOTHING),
    validation = Rule::new("!has(self.accessTokenKey) || has(self.accessToken)").message(SIGNER_OF_NOTHING)
)]
pub struct Login {
    /// The path. A trailing slash counts: Django answers a POST without one with a redirect.
    #[schemars(length(max = 1024), regex(pattern = r"^/"))]
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
    /// without a signature (what follows the first dot), `{cookie}` for all of it, for example `session:{id}`. A session that
    /// works and isn't there is a `LocalSession`. Default: not known, and nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = r"\{(id|cookie)\}"))]
    pub session_key: Option<String>,
    /// The row of the declared Postgres that keeps a session, where sessions are in a table: looked into instead of the cache.
    /// The role `accord` has to be allowed to (with an external database: that of the ledger). Default: not known, and
    /// nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_row: Option<SessionRow>,
    /// Where the answer holds the access token: a field of the JSON body, or a JSON pointer to it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// The scheme that it is sent by, as in `Authorization: Bearer …`. Default: `Bearer`. Django REST framework's own tokens
    /// and those of knox have `Token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[A-Za-z][A-Za-z0-9-]*$"))]
    pub access_token_scheme: Option<String>,
    /// What signs the access token, where that is declared. With `KeyRing` a token that no key of the service's key ring
    /// verifies (HS256, HS384, HS512) is a `KeyMismatch`. Default: not declared, and signatures aren't looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_key: Option<TokenKey>,
    /// Where the answer holds the refresh token: a field, or a JSON pointer. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl Login {
    /// What is declared of something that isn't, and so would do nothing: the admission rules, where no API server asks them.
    ///
    /// # Errors
    /// The sentence with the way out.
    pub fn check(&self) -> Result<(), &'static str> {
        let rules = [
            (
                self.session_cookie_attributes.is_none() || self.session_cookie.is_some(),
                ATTRIBUTES_OF_NOTHING,
            ),
            (
                self.session_key.is_none() || self.session_cookie.is_some(),
                KEY_OF_NOTHING,
            ),
            (
                self.session_row.is_none() || self.session_cookie.is_some(),
                ROW_OF_NOTHING,
            ),
            (
                self.session_row.is_none() || self.session_key.is_none(),
                TWO_PLACES,
            ),
            (
                self.access_token_scheme.is_none() || self.access_token.is_some(),
                SCHEME_OF_NOTHING,
            ),
            (
                self.access_token_scheme.as_deref().is_none_or(is_scheme),
                NO_SCHEME,
            ),
            (
                self.access_token_key.is_none() || self.access_token.is_some(),
                SIGNER_OF_NOTHING,
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(why),
            None => Ok(()),
        }
    }
}

/// As the schema has it.
fn is_scheme(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(rest) && text.len() <= 64
}

/// Where Postgres keeps sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    /// The table, with its schema where that isn't on the search path: `django_session`, `auth.sessions`.
    #[schemars(
        length(max = 128),
        regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    )]
    pub table: String,
    /// The column with the id that is in the cookie.
    #[schemars(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub column: String,
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

fn default_username_field() -> String {
    "username".into()
}
fn default_password_field() -> String {
    "password".into()
}
fn default_ok() -> u16 {
    200
}
