//! What a login gave: cookies and tokens. In memory for the length of an exchange, and never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Cookies that a browser would keep at most, for a server that sets them without end.
const MOST: usize = 32;

/// Cookies and tokens. No jar: a strict one withholds Secure cookies over HTTP, so the last Set-Cookie simply wins.
#[derive(Clone, Default)]
pub(crate) struct Session {
    pub(crate) cookies: BTreeMap<String, String>,
    /// The `Domain` of those that were set with one.
    pub(crate) domains: BTreeMap<String, String>,
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
            let attributes: Vec<_> = parts.filter_map(|p| p.split_once('=')).collect();
            let gone = value.trim_matches('"').is_empty()
                || attributes.iter().any(|(k, v)| ends(k.trim(), v.trim()));
            if gone {
                self.cookies.remove(name);
                self.domains.remove(name);
            } else if self.cookies.len() < MOST || self.cookies.contains_key(name) {
                self.cookies.insert(name.to_owned(), value.to_owned());
                match domain(&attributes) {
                    Some(domain) => self.domains.insert(name.to_owned(), domain.to_owned()),
                    None => self.domains.remove(name),
                };
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

/// The last `Domain`, as browsers take it; an empty one is none.
fn domain<'a>(attributes: &[(&str, &'a str)]) -> Option<&'a str> {
    let mut named = attributes
        .iter()
        .rev()
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("domain"));
    named
        .next()
        .map(|(_, value)| value.trim())
        .filter(|v| !v.is_empty())
}

fn ends(attribute: &str, value: &str) -> bool {
    attribute.eq_ignore_ascii_case("max-age") && value.parse::<i64>().is_ok_and(|age| age <= 0)
}

#[cfg(test)]
mod tests {
    use super::Session;

    #[test]
    fn a_domain_belongs_to_the_cookie_that_was_set_last() {
        let mut session = Session::default();
        session.set(&[
            "a=1; Domain=.example.com; Path=/".into(),
            "b=2; domain=".into(),
            "c=3; Secure".into(),
        ]);
        assert_eq!(
            session.domains,
            [("a".to_owned(), ".example.com".to_owned())].into()
        );
        session.set(&["a=4".into()]);
        assert_eq!(session.domains, [].into());
    }

    #[test]
    fn the_last_cookie_wins_and_a_deleted_one_goes() {
        let mut session = Session::default();
        session.set(&["a=1; Secure; Path=/".into(), "b=2".into(), "a=3; HttpOnly".into()]);
        assert_eq!(session.cookie_header(), "a=3; b=2");
        session.set(&["a=\"\"; Max-Age=0".into(), "b=4; max-age=0".into()]);
        assert_eq!(session.cookie_header(), "");
    }
}
