//! What can go wrong between the operator and the API server, and what follows from it.
//!
//! No error here can hold a secret: the API server quotes what it refuses, so answers about Secrets are cut down to
//! their code and reason, and all others are bounded.

use std::fmt;

use accord_plan::{Kind, ObjectKey};

use crate::material;

/// What the API server refused, without what it may have quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status; 0 when there was no answer.
    pub(crate) code: u16,
    /// The machine-readable reason, such as `Invalid`.
    pub(crate) reason: String,
    /// The sentence, empty when it could quote a secret.
    pub(crate) message: String,
    /// True when the namespace is being deleted: nothing can be created in it, and nothing needs to be.
    pub(crate) namespace_is_ending: bool,
}

/// The longest quoted sentence, in bytes.
const MESSAGE_LIMIT: usize = 400;

impl Refusal {
    /// From an error about an object of a kind (`None`: of the service itself).
    pub(crate) fn new(kind: Option<Kind>, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self {
                code: status.code,
                reason: status.reason.clone(),
                message: if kind == Some(Kind::Secret) {
                    String::new()
                } else {
                    bounded(&status.message)
                },
                namespace_is_ending: status
                    .details
                    .as_ref()
                    .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating")),
            },
            // No answer of the API server: these speak of connections, and of JSON by line and column.
            kube::Error::SerdeError(_) => Self::unanswered("the answer is not the expected JSON"),
            other => Self::unanswered(&bounded(&other.to_string())),
        }
    }

    fn unanswered(message: &str) -> Self {
        Self {
            code: 0,
            reason: String::new(),
            message: message.to_owned(),
            namespace_is_ending: false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            0 => f.write_str(&self.message),
            code if self.message.is_empty() => write!(f, "{code} {}", self.reason),
            code => write!(f, "{code} {}: {}", self.reason, self.message),
        }
    }
}

impl std::error::Error for Refusal {}

/// Cuts a text at a character, so that it fits in [`MESSAGE_LIMIT`].
fn bounded(text: &str) -> String {
    if text.len() <= MESSAGE_LIMIT {
        return text.to_owned();
    }
    let end = (0..=MESSAGE_LIMIT)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

/// A variant for each call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Creating an object.
    #[error("{key} can't be created: {source}")]
    Create {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Looking at an object that stood in the way of creating one.
    #[error("{key} exists and can't be read: {source}")]
    ReadExisting {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// An object of the name exists and isn't ours. It is left alone.
    #[error(
        "{key} exists and doesn't carry the label accord.dev/service={service}: it is left alone. Rename it or delete it, or add the label if it was Accord's"
    )]
    Conflict {
        /// Which object.
        key: ObjectKey,
        /// The service's name.
        service: String,
    },
    /// Applying an object.
    #[error("{key} can't be applied: {source}")]
    Apply {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Replacing an object.
    #[error("{key} can't be replaced: {source}")]
    Replace {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Deleting an object.
    #[error("{key} can't be deleted: {source}")]
    Delete {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// The plan handed over an object that Kubernetes' own form can't hold.
    #[error("{key} has not the form of an object; this is a defect of Accord")]
    Malformed {
        /// Which object.
        key: ObjectKey,
    },
    /// Reading the Secret with the authority's key.
    #[error("{key}, which holds the key of the certificate authority, can't be read: {source}")]
    ReadAuthority {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Making random material.
    #[error("the contents of {key} can't be made: {source}")]
    Material {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: material::Error,
    },
    /// Setting a readiness gate.
    #[error("the readiness gate of {key} can't be set: {source}")]
    Gate {
        /// Which pod.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Evicting a pod.
    #[error("{key}, which diverges, can't be evicted: {source}")]
    Evict {
        /// Which pod.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Adding or removing the finalizer.
    #[error("the finalizer of the AuthService can't be changed: {source}")]
    Finalizer {
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Writing the status.
    #[error("the status of the AuthService can't be written: {source}")]
    Status {
        /// Why.
        #[source]
        source: Refusal,
    },
    /// Reading a Secret that the declaration names.
    #[error("{key}, which the declaration names, can't be read: {source}")]
    ReadReferenced {
        /// Which object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: Refusal,
    },
    /// One pass took too long.
    #[error("one pass took longer than {seconds} s; the API server is slow or out of reach")]
    Slow {
        /// The limit.
        seconds: u64,
    },
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The next plan is another one, from what was learned: it is due at once, each time.
    Next,
    /// Somebody was faster: look again at once.
    Soon,
    /// It may pass by itself: try again, later each time.
    Backoff,
    /// A person has to change something; until then a try now and then.
    Seldom,
}

impl Error {
    /// The label of metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::ReadExisting { .. } => "read_existing",
            Self::Conflict { .. } => "conflict",
            Self::Apply { .. } => "apply",
            Self::Replace { .. } => "replace",
            Self::Delete { .. } => "delete",
            Self::Malformed { .. } => "malformed",
            Self::ReadAuthority { .. } => "read_authority",
            Self::Material { .. } => "material",
            Self::Gate { .. } => "gate",
            Self::Evict { .. } => "evict",
            Self::Finalizer { .. } => "finalizer",
            Self::Status { .. } => "status",
            Self::ReadReferenced { .. } => "read_referenced",
            Self::Slow { .. } => "slow",
        }
    }

    /// What the API server answered, where it was asked.
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Conflict { .. } | Self::Malformed { .. } | Self::Material { .. } | Self::Slow { .. } => {
                None
            }
            Self::Create { source, .. }
            | Self::ReadExisting { source, .. }
            | Self::Apply { source, .. }
            | Self::Replace { source, .. }
            | Self::Delete { source, .. }
            | Self::ReadAuthority { source, .. }
            | Self::Gate { source, .. }
            | Self::Evict { source, .. }
            | Self::Finalizer { source }
            | Self::Status { source }
            | Self::ReadReferenced { source, .. } => Some(source),
        }
    }

    /// True when the API server understood a write and takes no such object: the same one would be refused again.
    pub(crate) fn refuses_content(&self) -> bool {
        self.refusal()
            .is_some_and(|r| matches!(r.code, 400 | 403 | 422) && !r.namespace_is_ending)
    }

    /// The API server's own words; empty where it wasn't asked, or could quote a secret.
    pub(crate) fn words(&self) -> &str {
        self.refusal().map_or("", |r| r.message.as_str())
    }

    /// Whether and how soon to try again.
    pub(crate) fn retry(&self) -> Retry {
        match (self, self.refusal()) {
            (_, Some(refusal)) => refusal.retry(),
            // The next plan sees the conflict and says so in status.
            (Self::Conflict { .. }, _) => Retry::Next,
            (Self::Malformed { .. }, _) => Retry::Seldom,
            (_, None) => Retry::Backoff,
        }
    }

    /// True when it is the way of things and no news: somebody was faster, or the namespace is being deleted.
    pub(crate) fn is_expected(&self) -> bool {
        matches!(self.retry(), Retry::Next | Retry::Soon)
            || self.refusal().is_some_and(|r| r.namespace_is_ending)
    }

    /// What a person can do about it, for an event; `None` when nothing has to be done.
    pub(crate) fn advice(&self) -> Option<String> {
        if matches!(self, Self::Malformed { .. }) {
            return Some(format!("{self}. Please report it."));
        }
        let refusal = self.refusal().filter(|r| !r.namespace_is_ending)?;
        let way_out = match refusal.code {
            401 | 403 => {
                "Accord's service account lacks the right, or a policy, quota or webhook refuses it: see the chart's RBAC and `kubectl auth can-i`."
            }
            400 | 422 => {
                "The API server refuses the object: check the fields of the AuthService that reach it (server.podTemplate, resources, storage)."
            }
            _ => return None,
        };
        Some(format!("{self}. {way_out}"))
    }
}

impl Refusal {
    fn retry(&self) -> Retry {
        match self.code {
            _ if self.namespace_is_ending => Retry::Seldom,
            404 | 409 => Retry::Soon,
            400..=403 | 405..=408 | 410..=428 => Retry::Seldom,
            _ => Retry::Backoff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status {
            code,
            reason: "Invalid".into(),
            message: message.into(),
            ..Default::default()
        }))
    }

    #[test]
    fn the_answer_about_a_secret_is_not_quoted() {
        let error = refused(422, "data: Invalid value: \"hunter2\"");
        let shown = Error::Create {
            key: ObjectKey::new(Kind::Secret, "rope"),
            source: Refusal::new(Some(Kind::Secret), &error),
        };
        for text in [shown.to_string(), format!("{shown:?}"), shown.advice().unwrap()] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(shown.to_string(), "Secret/rope can't be created: 422 Invalid");
    }

    #[test]
    fn a_long_answer_is_cut_at_a_character() {
        let refusal = Refusal::new(Some(Kind::Pod), &refused(422, &"ü".repeat(1000)));
        assert!(refusal.message.len() <= MESSAGE_LIMIT + '…'.len_utf8());
    }

    #[test]
    fn what_needs_a_person_is_not_tried_all_the_time() {
        let with = |code| Error::Status {
            source: Refusal::new(None, &refused(code, "")),
        };
        assert_eq!(with(403).retry(), Retry::Seldom);
        assert_eq!(with(422).retry(), Retry::Seldom);
        assert_eq!(with(409).retry(), Retry::Soon);
        assert_eq!(with(429).retry(), Retry::Backoff);
        assert_eq!(with(503).retry(), Retry::Backoff);
        assert!(with(403).advice().is_some() && with(503).advice().is_none());
    }
}
