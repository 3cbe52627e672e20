//! From a login through the canonical hostname to one reason: what is so there and isn't so at a replica's own address.
//!
//! It accuses the way in, never a replica: where the replica itself fails, nothing is said.

use accord_crds::edge::{EdgeReason, EdgeStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Action, Artifact, CookieScope, Meaning, Role, Step, evidence};
use crate::hosts;

use Role::{Subject as Edge, Witness as Pod};

/// A certificate is renewed well before, or isn't renewed at all.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What a login through the canonical hostname showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeObservations {
    /// The canonical hostname.
    pub hostname: String,
    /// The replica that was asked by its own address.
    pub pod: String,
    /// Whether there was a connection to ask over.
    pub connection: Connection,
    /// When the certificate runs out.
    pub certificate_expires: Option<Timestamp>,
    /// Session and CSRF cookies that were set with a `Domain` on the way through.
    pub cookies: Vec<CookieScope>,
    /// The steps. [`Role::Subject`] is the way in, [`Role::Witness`] the replica.
    pub steps: Vec<Step>,
}

/// Whether there was a connection, and else why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Over TLS, to a server that proved the hostname.
    Made,
    /// There is no address to ask.
    NotResolved(String),
    /// No TCP connection, or one that broke off.
    Unreachable(String),
    /// No connection within the limit.
    TimedOut,
    /// TLS came to nothing: the certificate.
    NotTrusted(String),
}

impl EdgeObservations {
    fn step(&self, action: Action, at: Role, of: Role) -> Option<&Step> {
        let mut steps = self.steps.iter();
        steps.find(|s| (s.action, s.at, s.of) == (action, at, of))
    }

    fn failed(&self, action: Action, at: Role, of: Role) -> Option<&Step> {
        self.step(action, at, of)
            .filter(|s| s.meaning != Meaning::Accepted)
    }

    fn accepted(&self, action: Action, at: Role, of: Role) -> bool {
        self.step(action, at, of)
            .is_some_and(|s| s.meaning == Meaning::Accepted)
    }

    /// The replica by its own address does what the recipe says.
    fn pod_works(&self) -> bool {
        let own = |s: &&Step| s.at == Pod && s.of == Pod;
        self.accepted(Action::Login, Pod, Pod)
            && self
                .steps
                .iter()
                .filter(own)
                .all(|s| s.meaning == Meaning::Accepted)
    }
}

/// The reason, and what was seen.
pub fn judge_edge(seen: &EdgeObservations, now: Timestamp) -> EdgeStatus {
    let (reason, message) = found(seen, now);
    EdgeStatus {
        reason,
        message: evidence::limited(message, super::MESSAGE),
        certificate_expires: seen.certificate_expires.map(Time),
    }
}

fn found(seen: &EdgeObservations, now: Timestamp) -> (EdgeReason, String) {
    let EdgeObservations { hostname, pod, .. } = seen;
    match &seen.connection {
        Connection::Made => {}
        Connection::NotResolved(why) => return (EdgeReason::NameNotResolved, format!("{hostname}: {why}.")),
        Connection::Unreachable(why) => {
            return (
                EdgeReason::Unreachable,
                format!("{hostname} couldn't be reached: {why}."),
            );
        }
        Connection::TimedOut => {
            return (
                EdgeReason::TimedOut,
                format!("{hostname} took no connection within the limit."),
            );
        }
        Connection::NotTrusted(why) => {
            return (
                EdgeReason::CertificateInvalid,
                format!("{hostname}: {why}: browsers refuse it."),
            );
        }
    }
    if !seen.pod_works() {
        let message = format!(
            "Pod {pod} by its own address doesn't do what the recipe says: nothing is said of the way in."
        );
        return (EdgeReason::Pending, message);
    }
    let trouble = chain(seen);
    if let Some((reason, what)) = trouble {
        return (
            reason,
            format!("{hostname} {what}; pod {pod} by its own address does it right."),
        );
    }
    if !seen.accepted(Action::Login, Edge, Edge) {
        return (
            EdgeReason::Pending,
            format!("{hostname}: the exchange wasn't completed."),
        );
    }
    match seen
        .certificate_expires
        .filter(|at| at.duration_since(now) < SOON)
    {
        Some(at) => (
            EdgeReason::CertificateExpiring,
            format!("{hostname}: its certificate runs out at {at}."),
        ),
        None => (
            EdgeReason::Verified,
            format!("{hostname} and pod {pod} honour what either issues."),
        ),
    }
}

fn chain(seen: &EdgeObservations) -> Option<(EdgeReason, String)> {
    let at_edge = |meaning: Meaning| seen.steps.iter().find(|s| s.at == Edge && s.meaning == meaning);
    for (meaning, reason) in [
        (Meaning::Unreachable, EdgeReason::Unreachable),
        (Meaning::TimedOut, EdgeReason::TimedOut),
        (Meaning::ServerError, EdgeReason::ServerError),
        (Meaning::Redirected, EdgeReason::Redirected),
    ] {
        if let Some(step) = at_edge(meaning) {
            return Some((reason, told(step)));
        }
    }
    if at_edge(Meaning::Throttled).is_some() {
        return Some((
            EdgeReason::Pending,
            "limits requests: nothing could be concluded".into(),
        ));
    }
    if let Some(lost) = seen
        .cookies
        .iter()
        .find(|c| !hosts::covers(&c.domain, &c.hostname))
    {
        let what = format!(
            "sets the cookie {} with Domain={}, which browsers drop",
            lost.cookie, lost.domain
        );
        return Some((EdgeReason::CredentialLost, what));
    }
    for action in [Action::Csrf, Action::Login] {
        if let Some(step) = seen.failed(action, Edge, Edge) {
            // The status is right: what it promises isn't in the answer any more.
            let stripped = step.meaning == Meaning::Unexpected && step.status.is_some_and(|s| s < 300);
            let reason = if stripped {
                EdgeReason::CredentialLost
            } else {
                EdgeReason::LoginRefused
            };
            return Some((reason, told(step)));
        }
    }
    artifacts(seen)
}

/// What a login gave, tried at both ends.
fn artifacts(seen: &EdgeObservations) -> Option<(EdgeReason, String)> {
    let each = [Artifact::Session, Artifact::Access];
    if let Some(step) = each
        .iter()
        .find_map(|a| seen.failed(Action::Cross(*a), Pod, Edge))
    {
        let what = format!(
            "issued what the replicas don't know: the pod {}",
            evidence::answered(step)
        );
        return Some((EdgeReason::OtherServers, what));
    }
    for artifact in each {
        // The replica honours it, so it is good: it got lost on the way in.
        if let Some(step) = seen.failed(Action::Own(artifact), Edge, Edge) {
            return Some((EdgeReason::CredentialLost, told(step)));
        }
        if let Some(step) = seen.failed(Action::Cross(artifact), Edge, Pod) {
            return Some((EdgeReason::OtherServers, told(step)));
        }
    }
    None
}

fn told(step: &Step) -> String {
    let asked = match step.action {
        Action::Csrf => "asked for a CSRF token,".to_owned(),
        Action::Login => "at the canary's login,".to_owned(),
        Action::Own(artifact) => format!("given its own {},", artifact.noun()),
        Action::Cross(artifact) => format!("given the {} of a replica,", artifact.noun()),
        Action::Logout => "at logout,".to_owned(),
        _ => "asked once more,".to_owned(),
    };
    format!("{asked} {}", evidence::answered(step))
}
