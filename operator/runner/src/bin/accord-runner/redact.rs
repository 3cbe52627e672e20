//! Masks secrets in what the command prints.
//!
//! Two rules: values that this process knows to be secret (environment variables with a telling name, passwords inside
//! URLs, the ledger's own URL) are masked wherever they appear, and whatever looks like `scheme://user:password@` is
//! masked even where the value is unknown. A secret in another encoding (base64 of it, say) isn't recognised.

use url::Url;

const MASK: &str = "***";

/// Parts of a variable's name that tell that its value is a secret.
const TELLING: [&str; 9] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "PRIVATE",
    "SALT",
];

/// Shorter values would mask ordinary words and digits everywhere.
const MIN: usize = 4;

/// Words that are a setting, never a secret, even where the variable's name tells otherwise (`TOKEN_ROTATION=true`).
const ORDINARY: [&str; 4] = ["true", "false", "none", "null"];

/// Knows the secret values of one run.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a secret that contains another is masked whole.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} values)", self.secrets.len())
    }
}

impl Redactor {
    /// Collects the secrets of an environment.
    pub(crate) fn new(env: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut redactor = Self::default();
        for (name, value) in env {
            let name = name.to_uppercase();
            if TELLING.iter().any(|part| name.contains(part)) {
                redactor.add_value(&value);
            }
            redactor.add_url(&value);
        }
        redactor
    }

    /// Adds the password of a URL, as written and decoded.
    pub(crate) fn add_url(&mut self, text: &str) {
        let Ok(url) = Url::parse(text.trim()) else { return };
        let mut found = Vec::new();
        found.extend(url.password().map(str::to_owned));
        found.extend(
            url.query_pairs()
                .filter(|(name, _)| name == "password")
                .map(|(_, value)| value.into_owned()),
        );
        // `Url` escapes some characters that were written plainly, so take the text between ':' and '@' as well.
        found.extend(userinfo(text.trim()).map(|(from, to)| text.trim()[from..to].to_owned()));
        for value in found {
            self.add(&decode(&value));
            self.add(&value);
        }
    }

    /// A value as it is, and its parts: lists are comma separated, and a PEM file is printed line by line.
    fn add_value(&mut self, value: &str) {
        self.add(value.trim());
        for part in value.split([',', '\n', '\r']) {
            self.add(part.trim());
        }
    }

    fn add(&mut self, secret: &str) {
        let ordinary = secret.len() < MIN
            || ORDINARY.contains(&secret.to_lowercase().as_str())
            || secret.starts_with("-----BEGIN ")
            || secret.starts_with("-----END ");
        if ordinary || self.secrets.iter().any(|known| known == secret) {
            return;
        }
        let at = self.secrets.partition_point(|known| known.len() >= secret.len());
        self.secrets.insert(at, secret.to_owned());
    }

    /// The text with every secret masked.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        mask_urls(&text)
    }
}

/// Masks every `://user:password@`.
fn mask_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((from, to)) = userinfo(rest) {
        out.push_str(&rest[..from]);
        out.push_str(MASK);
        rest = &rest[to..];
    }
    out.push_str(rest);
    out
}

/// Where the first password of a URL is in `text`, as byte offsets.
fn userinfo(text: &str) -> Option<(usize, usize)> {
    let mut search = 0;
    while let Some(found) = text[search..].find("://") {
        let start = search + found + 3;
        let end = text[start..]
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>'))
            .map_or(text.len(), |at| start + at);
        let authority = &text[start..end];
        // The last '@': people forget to escape one in a password.
        if let Some(at) = authority.rfind('@')
            && let Some(colon) = authority[..at].find(':')
            && colon + 1 < at
        {
            return Some((start + colon + 1, start + at));
        }
        search = start;
    }
    None
}

/// Percent-decoding; text that isn't UTF-8 afterwards stays as it was.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(env: &[(&str, &str)]) -> Redactor {
        Redactor::new(
            env.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn values_of_telling_names_are_masked() {
        let redactor = redactor(&[
            ("STAFF1_PASSWORD", "hunter22"),
            ("SECRET_KEY_FALLBACKS", "older-key,oldest-key"),
            (
                "jwt_private_key",
                "-----BEGIN KEY-----\nMIIEabcdef\n-----END KEY-----",
            ),
            ("TOKEN_ROTATION", "true"),
            ("HOME", "/srv/app"),
        ]);
        assert_eq!(redactor.redact("created staff1/hunter22"), "created staff1/***");
        assert_eq!(redactor.redact("keys older-key oldest-key"), "keys *** ***");
        assert_eq!(redactor.redact("MIIEabcdef"), "***");
        assert_eq!(
            redactor.redact("it is true in /srv/app"),
            "it is true in /srv/app"
        );
    }

    #[test]
    fn passwords_of_urls_are_masked_as_written_and_decoded() {
        let redactor = redactor(&[("DATABASE_URL", "postgres://migrate:s%40crEt!1@db:5432/app")]);
        assert_eq!(
            redactor.redact("password is s@crEt!1 or s%40crEt!1"),
            "password is *** or ***"
        );
    }

    #[test]
    fn unknown_urls_lose_their_password_only() {
        let redactor = Redactor::default();
        assert_eq!(
            redactor.redact(
                "to redis://:pw@cache:6379/0 and postgres://u:p@ss@db/x, see https://example.com:8/a@b"
            ),
            "to redis://:***@cache:6379/0 and postgres://u:***@db/x, see https://example.com:8/a@b"
        );
    }

    #[test]
    fn a_secret_inside_another_is_masked_whole() {
        let redactor = redactor(&[("A_KEY", "abcd"), ("B_KEY", "abcdefgh")]);
        assert_eq!(redactor.redact("abcdefgh"), "***");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", redactor(&[("A_KEY", "abcdefgh")])).contains("abcd"));
    }
}
