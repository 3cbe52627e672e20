//! What a recipe declares, and what is read off a session by it. No request is made.

use accord_crds::recipe::{SessionRow, TokenKey};
use accord_plan::agreement::{AfterLogoutExpected, Artifact, Conventions, Cookie, TokenShape};

use crate::requests::Run;
use crate::session::Session;
use crate::{ring, token};

impl Run<'_> {
    /// The artifacts that a login gives and a check takes.
    pub(crate) fn artifacts(&self) -> Vec<Artifact> {
        let login = &self.exchange.recipe.login;
        let mut artifacts = Vec::new();
        // A recipe that names neither logs in by whatever cookies the server sets.
        if login.session_cookie.is_some() || login.access_token.is_none() {
            artifacts.push(Artifact::Session);
        }
        if login.access_token.is_some() {
            artifacts.push(Artifact::Access);
        }
        artifacts
    }

    pub(crate) fn after_logout(&self) -> AfterLogoutExpected {
        let logout = self.exchange.recipe.logout.as_ref();
        AfterLogoutExpected {
            access_rejected: logout
                .is_some_and(|l| l.access_token == accord_crds::recipe::AfterLogout::Rejected),
            refresh_rejected: logout.is_some_and(|l| l.refresh_field.is_some()),
        }
    }

    pub(crate) fn conventions(&self) -> Conventions {
        let recipe = self.exchange.recipe;
        let session = recipe.login.session_cookie.as_deref() == Some("sessionid");
        let csrf = recipe.csrf.as_ref().is_some_and(|c| c.cookie == "csrftoken");
        if session || csrf {
            Conventions::Django
        } else {
            Conventions::Generic
        }
    }

    /// Anchor K: whether a key of the declared ring verifies the token. `None` where the recipe doesn't say that the
    /// ring signs tokens, where no ring is known, and where the signature is of another kind.
    pub(crate) fn signed_with_the_ring(&self, token: &str) -> Option<bool> {
        self.exchange
            .recipe
            .login
            .access_token_key
            .filter(|k| *k == TokenKey::KeyRing)?;
        let keys = self.exchange.keys;
        (!keys.is_empty()).then(|| ring::verifies(keys, token))?
    }

    /// The key under which the cache keeps the session, where the recipe says so. Anchor R.
    pub(crate) fn session_key(&self, session: &Session) -> Option<String> {
        let login = &self.exchange.recipe.login;
        let value = session.cookies.get(login.session_cookie.as_ref()?)?;
        let key = login.session_key.as_ref()?;
        Some(
            key.replace("{id}", &token::session_id(value))
                .replace("{cookie}", value.trim_matches('"')),
        )
    }

    /// The row of the database that keeps the session, and the id in it, where the recipe says so. Anchor R.
    pub(crate) fn session_row(&self, session: &Session) -> Option<(&SessionRow, String)> {
        let login = &self.exchange.recipe.login;
        let value = session.cookies.get(login.session_cookie.as_ref()?)?;
        Some((login.session_row.as_ref()?, token::session_id(value)))
    }

    /// How the session cookie was set, where the recipe says what it has to be.
    pub(crate) fn declared_cookie(&self, session: &Session) -> Option<Cookie> {
        let login = &self.exchange.recipe.login;
        login.session_cookie_attributes.as_ref()?;
        session.attributes.get(login.session_cookie.as_ref()?).cloned()
    }

    /// The shape of the access token, or of the one that stands in the session cookie.
    pub(crate) fn token(&self, session: &Session) -> Option<TokenShape> {
        let cookie = || {
            let name = self.exchange.recipe.login.session_cookie.as_ref()?;
            session.cookies.get(name).map(String::as_str)
        };
        token::shape(session.access.as_deref().or_else(cookie)?)
    }

    /// True when the session is kept in the cookie itself.
    pub(crate) fn signed_cookie(&self, session: &Session) -> bool {
        let name = self.exchange.recipe.login.session_cookie.as_deref();
        name.and_then(|n| session.cookies.get(n))
            .is_some_and(|v| token::is_signed(v))
    }

    /// True when the session cookie has a signature: in its value, or in a cookie of its own.
    pub(crate) fn signature(&self, session: &Session) -> bool {
        let name = self.exchange.recipe.login.session_cookie.as_deref();
        name.is_some_and(|name| {
            let value = session.cookies.get(name);
            value.is_some_and(|v| token::has_signature(v))
                || session.cookies.contains_key(&format!("{name}.sig"))
        })
    }

    /// The access token as it is sent.
    pub(crate) fn credential(&self, session: &Session) -> Option<String> {
        let scheme = self.exchange.recipe.login.access_token_scheme.as_deref();
        let token = session.access.as_deref()?;
        Some(format!("{} {token}", scheme.unwrap_or("Bearer")))
    }
}
