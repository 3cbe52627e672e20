//! The session cookie's attributes, where the recipe declares them.
//!
//! Usually all replicas set the same, so this is no disagreement between them. It still keeps a replica out: a release
//! that sets cookies for anybody to read, or that end with the browser, is to be withdrawn before users hold them.

use accord_crds::PodReason;
use accord_crds::recipe::{CookieAttributes, SameSite};

use super::{Finding, Observations};

/// A cookie as it was set; never its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// It has the attribute `Secure`.
    pub secure: bool,
    /// It has the attribute `HttpOnly`.
    pub http_only: bool,
    /// The value of `SameSite`, at most a few characters.
    pub same_site: Option<String>,
    /// Seconds from when it was set to its end by `Max-Age` or `Expires`; `None` when it ends with the browser.
    pub lifetime: Option<i64>,
}

/// The cookie isn't what is declared.
pub(super) fn otherwise_than_declared(seen: &Observations) -> Option<Finding> {
    let (declared, cookie) = (seen.declared_cookie.as_ref()?, seen.cookie.as_ref()?);
    let faults = faults(declared, cookie);
    let evidence = format!(
        "{}, at the canary's login, set a session cookie {}",
        seen.subject,
        faults.join(", ")
    );
    (!faults.is_empty()).then(|| Finding::diverges(PodReason::CookieAttributes, evidence))
}

fn faults(declared: &CookieAttributes, cookie: &Cookie) -> Vec<String> {
    let mut faults = Vec::new();
    if declared.secure && !cookie.secure {
        faults.push("without Secure".to_owned());
    }
    if declared.http_only && !cookie.http_only {
        faults.push("without HttpOnly".to_owned());
    }
    if let Some(wanted) = declared.same_site.filter(|s| *s != SameSite::Unknown) {
        match &cookie.same_site {
            Some(value) if value.eq_ignore_ascii_case(wanted.as_str()) => {}
            Some(value) => faults.push(format!("with SameSite={value}, declared is {}", wanted.as_str())),
            None => faults.push(format!("without SameSite, declared is {}", wanted.as_str())),
        }
    }
    if let Some(wanted) = declared.lifetime_seconds {
        match cookie.lifetime {
            None if wanted == 0 => {}
            None => faults.push(format!("that ends with the browser, declared are {wanted} s")),
            // Ten seconds at least: clocks, and the time that the answer took.
            Some(lifetime) if wanted > 0 && (lifetime - wanted).abs() <= (wanted / 10).max(10) => {}
            Some(lifetime) => faults.push(format!("that lives {lifetime} s, declared are {wanted} s")),
        }
    }
    faults
}
