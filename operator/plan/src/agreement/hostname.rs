//! Whether a pod serves the hostnames that are declared: it turns none away, and browsers keep its cookies there.

use accord_crds::PodReason;

use super::evidence::answered;
use super::{Action, Finding, Meaning, Observations, Role, Step};
use crate::hosts;

use Role::Subject;

/// What came when a pod was asked by another declared hostname what it had been asked by the canonical one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAnswer {
    /// The hostname.
    pub hostname: String,
    /// What it answered by that name; `None`: nothing.
    pub status: Option<u16>,
    /// What it answered the same request by the canonical hostname.
    pub canonical: Option<u16>,
    /// For people: the answer's text, redacted.
    pub detail: String,
}

/// A session or CSRF cookie that was set with a `Domain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieScope {
    /// The hostname that the pod was asked by.
    pub hostname: String,
    /// The cookie's name.
    pub cookie: String,
    /// Its `Domain`.
    pub domain: String,
}

/// The pod turns a declared hostname away before it looks at anything else. By the canonical one that is told from the
/// words of the frameworks, by another one from the difference.
pub(super) fn turned_away(seen: &Observations) -> Option<Finding> {
    if let Some(step) = seen.steps.iter().find(|s| disallowed(s)) {
        let evidence = format!("{} by its canonical hostname {}", seen.subject, answered(step));
        return Some(Finding::diverges(PodReason::HostnameMismatch, evidence));
    }
    let other = seen.hosts.iter().find(|h| {
        let refused = h.status.is_some_and(|s| (400..500).contains(&s) && s != 429);
        refused && h.canonical.is_some() && h.canonical != h.status
    })?;
    let detail = match other.detail.as_str() {
        "" => String::new(),
        text => format!(" ({text})"),
    };
    let evidence = format!(
        "{}, asked by the declared hostname {}, answered {}{detail}; the same by the canonical one {}",
        seen.subject,
        other.hostname,
        other.status.unwrap_or_default(),
        other.canonical.unwrap_or_default(),
    );
    Some(Finding::diverges(PodReason::HostnameMismatch, evidence))
}

/// Django's, Starlette's and Werkzeug's words for a host that isn't allowed. A 400 can mean many things.
fn disallowed(step: &Step) -> bool {
    const WORDS: [&str; 5] = [
        "Bad Request (400)",
        "DisallowedHost",
        "Invalid host",
        "Invalid HTTP_HOST",
        "is not trusted",
    ];
    let door = step.at == Subject && matches!(step.action, Action::NoCredential | Action::Csrf);
    let refused = matches!(step.status, Some(400 | 421)) && step.meaning != Meaning::Accepted;
    door && refused && WORDS.iter().any(|words| step.detail.contains(words))
}

/// A browser drops a cookie whose `Domain` doesn't cover the host that sets it: nobody stays logged in.
pub(super) fn cookie_out_of_scope(seen: &Observations) -> Option<Finding> {
    let lost = seen
        .cookies
        .iter()
        .find(|c| !hosts::covers(&c.domain, &c.hostname))?;
    let evidence = format!(
        "{}, asked by the declared hostname {}, set the cookie {} with Domain={}: browsers drop it",
        seen.subject, lost.hostname, lost.cookie, lost.domain
    );
    Some(Finding::diverges(PodReason::HostnameMismatch, evidence))
}
