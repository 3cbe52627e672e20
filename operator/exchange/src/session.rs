//! What a login gave: cookies and tokens. In memory for the length of an exchange, and never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Cookies that a browser would keep at most, for a server that sets them without end.
const MOST: usize = 32;

/// Cookies and tokens. No jar: a strict one withholds Secure cookies over HTTP, so the last Set-Cookie simply wins.
#[derive(Clone, Default)]
pub(crate) struct Session {
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
}

impl Session {
    /// Takes over what an answer sets.
    pub(crate) fn set(&mut self, set_cookies: &[String]) {
        for line in set_cookies {
            let mut parts = line.split(';');
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            let gone = value.trim_matches('"').is_empty()
                || parts.any(|p| p.split_once('=').is_some_and(|(k, v)| ends(k.trim(), v.trim())));
            if gone {
                self.cookies.remove(name);
            } else if self.cookies.len() < MOST || self.cookies.contains_key(name) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The `Cookie` header.
    pub(crate) fn cookie_header(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.cookies {
            let separator = if out.is_empty() { "" } else { "; " };
            let _ = write!(out, "{separator}{name}={value}");
        }
        out
    }

    /// Everything in it that mustn't be shown.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.cookies
            .values()
            .chain(&self.access)
            .chain(&self.refresh)
            .map(String::as_str)
    }
}

fn ends(attribute: &str, value: &str) -> bool {
    attribute.eq_ignore_ascii_case("max-age") && value.parse::<i64>().is_ok_and(|age| age <= 0)
}

#[cfg(test)]
mod tests {
    use super::Session;

    #[test]
    fn the_last_cookie_wins_and_a_deleted_one_goes() {
        let mut session = Session::default();
        session.set(&["a=1; Secure; Path=/".into(), "b=2".into(), "a=3; HttpOnly".into()]);
        assert_eq!(session.cookie_header(), "a=3; b=2");
        session.set(&["a=\"\"; Max-Age=0".into(), "b=4; max-age=0".into()]);
        assert_eq!(session.cookie_header(), "");
    }
}
