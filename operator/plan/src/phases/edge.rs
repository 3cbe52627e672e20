//! The way in from outside: what the prober is to try, what is said of it, and what is news. It opens and closes nothing.

use accord_crds::edge::{EdgeCheck, EdgeReason, EdgeStatus};
use accord_crds::{ConditionType, Reason};

use crate::context::Context;
use crate::outcome::Event;
use crate::probe::EdgeTarget;
use crate::status::bounded;

const PORT: u16 = 443;
const AUTHORITIES: &str = "ca.crt";

fn declared<'a>(context: &'a Context) -> Option<&'a EdgeCheck> {
    context.spec().verification.as_ref()?.edge.as_ref()
}

/// The authorities: `Ok(None)` for the public ones, `Err` with the Secret's name where they aren't there.
fn authorities<'a>(context: &Context, edge: &'a EdgeCheck) -> Result<Option<String>, &'a str> {
    let Some(reference) = &edge.ca_secret_ref else {
        return Ok(None);
    };
    let secret = context.observed.referenced.get(&reference.name);
    secret
        .and_then(Option::as_ref)
        .and_then(|s| s.secret_text(AUTHORITIES))
        .map(Some)
        .ok_or(&reference.name)
}

/// What the prober is to try; `None` where nothing is declared, or can't be yet.
pub fn target(context: &Context) -> Option<EdgeTarget> {
    let edge = declared(context)?;
    Some(EdgeTarget {
        address: edge.address.clone(),
        port: edge.port.and_then(|p| u16::try_from(p).ok()).unwrap_or(PORT),
        authorities: authorities(context, edge).ok()?,
    })
}

/// What is said of it: what was found, or else what was said before.
pub fn status(context: &Context) -> Option<EdgeStatus> {
    let edge = declared(context)?;
    if let Err(name) = authorities(context, edge) {
        return Some(EdgeStatus {
            reason: EdgeReason::SecretNotFound,
            message: bounded(&format!(
                "Secret {name} or its key {AUTHORITIES:?} isn't there: create it, Accord goes on by itself."
            )),
            certificate_expires: None,
        });
    }
    let found = context.observed.edge.as_ref().or(stored(context));
    Some(found.cloned().unwrap_or_else(|| EdgeStatus {
        reason: EdgeReason::Pending,
        message: String::new(),
        certificate_expires: None,
    }))
}

fn stored<'a>(context: &'a Context) -> Option<&'a EdgeStatus> {
    context.stored_status()?.consistency.as_ref()?.edge.as_ref()
}

/// What is told when it turns.
pub fn news(context: &Context) -> Option<Event> {
    let now = status(context)?;
    let before = stored(context).map(|s| s.reason).unwrap_or_default();
    if now.reason == before {
        return None;
    }
    let (warning, reason) = match (now.reason.works(), now.reason) {
        (Some(false), _) => (true, Reason::EdgeFails),
        (_, EdgeReason::CertificateExpiring) => (true, Reason::EdgeCertificateExpiring),
        (Some(true), _) if before.works() == Some(false) => (false, Reason::EdgeWorks),
        _ => return None,
    };
    Some(Event {
        warning,
        phase: ConditionType::ReplicasAgree,
        reason,
        message: bounded(&format!("{}: {}", now.reason.as_str(), now.message)),
    })
}
