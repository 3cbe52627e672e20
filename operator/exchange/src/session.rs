//! What a login gave: cookies and tokens. In memory for the length of an exchange, and never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use accord_plan::agreement::Cookie;
use jiff::fmt::rfc2822;
use jiff::{Timestamp, Zoned};

/// Cookies that a browser would keep at most, for a server that sets them without end.
const MOST: usize = 32;

/// Cookies and tokens. No jar: a strict one withholds Secure cookies over HTTP, so the last Set-Cookie simply wins.
#[derive(Clone, Default)]
pub(crate) struct Session {
    pub(crate) cookies: BTreeMap<String, String>,
    /// The `Domain` of those that were set with one.
    pub(crate) domains: BTreeMap<String, String>,
    /// How each was set.
    pub(crate) attributes: BTreeMap<String, Cookie>,
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
    /// How far the clock of its issuer was ahead of ours, in seconds.
    pub(crate) clock: Option<i64>,
}

impl Session {
    /// Takes over what an answer sets.
    pub(crate) fn set(&mut self, set_cookies: &[String]) {
        for line in set_cookies {
            let mut parts = line.split(';');
            let shape = shape(parts.clone().skip(1));
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
                self.attributes.remove(name);
            } else if self.cookies.len() < MOST || self.cookies.contains_key(name) {
                self.cookies.insert(name.to_owned(), value.to_owned());
                self.attributes.insert(name.to_owned(), shape);
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

/// How a cookie is set, by its attributes. `Max-Age` counts before `Expires`, as in RFC 6265.
fn shape<'a>(attributes: impl Iterator<Item = &'a str>) -> Cookie {
    /// What `SameSite` may be, with room for a mistake.
    const LONGEST: usize = 10;
    let mut shape = Cookie::default();
    let mut expires = None;
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "secure" => shape.secure = true,
            "httponly" => shape.http_only = true,
            "samesite" => shape.same_site = Some(value.chars().take(LONGEST).collect()),
            "max-age" => shape.lifetime = value.parse().ok(),
            // Old servers write dashes between day, month and year.
            "expires" => expires = rfc2822::parse(&value.replace('-', " ")).ok(),
            _ => {}
        }
    }
    let left = |end: Zoned| end.timestamp().as_second() - Timestamp::now().as_second();
    shape.lifetime = shape.lifetime.or_else(|| expires.map(left));
    shape
}

fn ends(attribute: &str, value: &str) -> bool {
    attribute.eq_ignore_ascii_case("max-age") && value.parse::<i64>().is_ok_and(|age| age <= 0)
}

#[cfg(test)]
mod tests {
    use super::{Cookie, Session, Timestamp};

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

    #[test]
    fn a_cookies_lifetime_is_that_of_max_age_else_of_expires() {
        let lifetime = |line: &str| {
            let mut session = Session::default();
            session.set(&[line.to_owned()]);
            session.attributes["a"].lifetime
        };
        assert_eq!(lifetime("a=1; Path=/; Secure"), None);
        assert_eq!(
            lifetime("a=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT; Max-Age=60"),
            Some(60)
        );
        let end = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let in_an_hour = end.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        for date in [
            in_an_hour.clone(),
            in_an_hour.replacen(' ', "-", 3).replacen(",-", ", ", 1),
        ] {
            let left = lifetime(&format!("a=1; expires={date}")).unwrap();
            assert!((3590..=3601).contains(&left), "{date}: {left}");
        }
    }

    #[test]
    fn attributes_are_those_of_the_cookie_that_was_set_last() {
        let mut session = Session::default();
        session.set(&["a=1; secure; HttpOnly; SameSite=Lax".into(), "a=2".into()]);
        assert_eq!(session.attributes["a"], Cookie::default());
        session.set(&["a=3; secure; HttpOnly; SameSite=Lax".into()]);
        let shape = &session.attributes["a"];
        assert!(shape.secure && shape.http_only);
        assert_eq!(shape.same_site.as_deref(), Some("Lax"));
    }
}
