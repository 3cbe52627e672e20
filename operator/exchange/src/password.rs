//! The canary's passwords, and the request that changes one for another.
//!
//! The other password is derived from the declared one, and so is known to whoever knows that: an exchange that is cut off
//! between the change and the change back needs no memory for the next one to put it right.

use std::time::Instant;

use accord_crds::recipe::ChangeMethod;
use accord_plan::agreement::Meaning;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::Replica;
use crate::answer::{find, of_status};
use crate::client::Request;
use crate::requests::Run;
use crate::session::Session;
use crate::trace::Outcome;

/// What makes the derived password another one than any other use of the declared one as a key.
const PURPOSE: &[u8] = b"accord: the canary's other password";

/// Which of the canary's passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Password {
    /// The declared one.
    Declared,
    /// The one that it is changed to for a moment.
    Other,
    /// One that is wrong.
    Wrong,
}

impl Password {
    /// Its text, from the declared one.
    pub(crate) fn text(self, declared: &SecretString) -> SecretString {
        let text = declared.expose_secret();
        match self {
            Self::Declared => declared.clone(),
            Self::Other => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
                let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key, PURPOSE));
                // 47 characters, of each kind that rules for passwords ask for.
                format!("{tag}Aa1!").into()
            }
            // As long as the right one, and wrong from the first character on: hashes that look at a prefix only refuse
            // it too.
            Self::Wrong => {
                let first = if text.starts_with('x') { 'y' } else { 'x' };
                let wrong: String = std::iter::once(first).chain(text.chars().skip(1)).collect();
                wrong.into()
            }
        }
    }
}

impl Run<'_> {
    /// Changes the password. `None` when the recipe has no such step. On success the session holds what the answer gives:
    /// many applications end every session and token, and make new ones for this client.
    pub(crate) async fn change_password(
        &self,
        at: &Replica,
        session: &mut Session,
        from: Password,
        to: Password,
    ) -> Option<Outcome> {
        let change = self.exchange.recipe.change_password.as_ref()?;
        let since = Instant::now();
        let declared = &self.exchange.canary.password;
        let (from, to) = (from.text(declared), to.text(declared));
        let mut fields = Map::new();
        let mut put = |name: &Option<String>, value: &SecretString| {
            if let Some(name) = name {
                fields.insert(name.clone(), value.expose_secret().into());
            }
        };
        put(&change.old_field, &from);
        put(&Some(change.new_field.clone()), &to);
        put(&change.repeat_field, &to);
        let body = self.encoded(change.encoding, fields, session);
        let request = Request {
            method: match change.method {
                ChangeMethod::Post => Method::POST,
                ChangeMethod::Put => Method::PUT,
                ChangeMethod::Patch => Method::PATCH,
            },
            path: &change.path,
            cookies: Some(session.cookie_header()),
            credential: self.credential(session),
            header: None,
            body,
        };
        let reply = match self.send(at, since, session, request).await {
            Ok(reply) => reply,
            Err(outcome) => return Some(outcome),
        };
        let meaning = of_status(reply.status);
        let detail = if meaning == Meaning::Accepted {
            session.set(&reply.set_cookies);
            let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
            let token = self.exchange.recipe.login.access_token.as_deref();
            if let Some(access) = token.and_then(|field| find(&body, field)) {
                session.access = Some(access);
            }
            String::new()
        } else {
            self.detail(&reply, session)
        };
        Some(Outcome::new(meaning, Some(reply.status), detail, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_password_differs_and_the_other_one_is_always_the_same() {
        let declared: SecretString = "xylophone-7 Aa1!".into();
        let text = |which: Password| which.text(&declared).expose_secret().to_owned();
        assert_eq!(text(Password::Declared), "xylophone-7 Aa1!");
        assert_eq!(text(Password::Wrong), "yylophone-7 Aa1!");
        let other = text(Password::Other);
        assert_eq!(other, text(Password::Other));
        assert_eq!(other.len(), 47);
        assert_ne!(other, Password::Other.text(&"another".into()).expose_secret());
    }
}
