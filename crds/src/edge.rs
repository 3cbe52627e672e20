//! The way in from outside: what is declared of it, and what is said of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::SecretRef;

/// A login through the canonical hostname over HTTPS, as a browser does it, once for each sweep. What differs there is told
/// and changes nothing: no replica is isolated for it, and no rollout is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeCheck {
    /// Where the router is, as a name or an address, when it isn't what the canonical hostname resolves to. The certificate
    /// still has to be for the hostname. Default: what the hostname resolves to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9.:-]+$"))]
    pub address: Option<String>,
    /// Its port. Default: 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// A Secret in the same namespace with the key `ca.crt`: the authorities that vouch for the router, in PEM. Default: the
    /// public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretRef>,
}

/// What the last login through the canonical hostname showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeStatus {
    /// One reason.
    pub reason: EdgeReason,
    /// What was seen; never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the certificate that the router shows runs out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Time>,
}

/// What is to be said of the way in from outside. One reason for one cause.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum EdgeReason {
    /// Not asked yet, or nothing could be concluded.
    #[default]
    Pending,
    /// A login there is honoured by a replica that was asked by its own address, and the reverse.
    Verified,
    /// As `Verified`, and the certificate runs out within 14 days.
    CertificateExpiring,
    /// The Secret with the authorities, or its key `ca.crt`, isn't there.
    SecretNotFound,
    /// The name doesn't resolve, or only to addresses that are never asked (loopback, link-local).
    NameNotResolved,
    /// No connection.
    Unreachable,
    /// The certificate has run out, is for another name, or nobody vouches for it.
    CertificateInvalid,
    /// Connected, and no answer within the limit.
    TimedOut,
    /// It answers 5xx where a replica answers well.
    ServerError,
    /// It redirects where a replica answers.
    Redirected,
    /// A cookie or a token doesn't get through: it is stripped, rewritten, or given a domain that browsers refuse.
    CredentialLost,
    /// It refuses a login that a replica accepts.
    LoginRefused,
    /// It leads to servers that don't share users and sessions with the replicas.
    OtherServers,
    /// A reason of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl EdgeReason {
    /// The reason as it stands in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Verified => "Verified",
            Self::CertificateExpiring => "CertificateExpiring",
            Self::SecretNotFound => "SecretNotFound",
            Self::NameNotResolved => "NameNotResolved",
            Self::Unreachable => "Unreachable",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::TimedOut => "TimedOut",
            Self::ServerError => "ServerError",
            Self::Redirected => "Redirected",
            Self::CredentialLost => "CredentialLost",
            Self::LoginRefused => "LoginRefused",
            Self::OtherServers => "OtherServers",
            Self::Unknown => "Unknown",
        }
    }

    /// True when users get in; `None` when that isn't known.
    pub const fn works(self) -> Option<bool> {
        match self {
            Self::Verified | Self::CertificateExpiring => Some(true),
            Self::Pending | Self::SecretNotFound | Self::Unknown => None,
            _ => Some(false),
        }
    }
}
