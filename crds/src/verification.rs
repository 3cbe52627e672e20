//! Verdicts about pods and about the service: the vocabulary of `status.consistency`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the exchange has shown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Verdict {
    /// Honours what the others issue, and the others honour what it issues.
    Agrees,
    /// A completed exchange contradicts the declaration or a replica that is anchored in it.
    Diverges,
    /// Not proved yet, or not provable now.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Why a pod doesn't agree, or can't be said to. One reason for one cause.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum PodReason {
    /// The exchange is still to be made for the containers that run now.
    #[default]
    Pending,
    /// The exchange was completed as the recipe says.
    Verified,
    /// Users are looked up in a database of the pod's own, not in the declared one.
    LocalDatabase,
    /// Sessions are kept inside the pod.
    LocalSession,
    /// A session or token ended on one replica lives on at another.
    LocalRevocation,
    /// A changed password takes effect later on the replica than where it was changed: the old one is accepted there, or
    /// the new one refused.
    StaleCache,
    /// Its session cookie isn't what the recipe declares.
    CookieAttributes,
    /// The replica signs with a key that isn't in the declared ring.
    KeyMismatch,
    /// The replica's clock differs from the others': tokens of the one are too early or too late for the other.
    ClockSkew,
    /// The replica answers with somebody else's identity.
    WrongIdentity,
    /// The replica issues tokens of another shape than the others.
    TokenFormat,
    /// The replica accepts a wrong password, a missing credential or a tampered token.
    AcceptsInvalid,
    /// The canary isn't in the declared database although the pod is connected to it.
    CanaryMissing,
    /// The replica reads a copy of the database that lags behind; it heals as the copy catches up.
    StaleReplica,
    /// The replica is connected to the declared database and looks in another schema, or in one of another revision.
    SchemaMismatch,
    /// The replica turns a declared hostname away, or sets a session or CSRF cookie for a domain that doesn't cover it.
    HostnameMismatch,
    /// The replica answers with an error where the recipe expects success.
    ServerError,
    /// The replica redirects where the recipe expects an answer.
    Redirected,
    /// Login, check or logout answered otherwise than the recipe says.
    RecipeMismatch,
    /// kubelet says ready, the prober can't reach the pod.
    ProbeBlocked,
    /// The replica answers later than the limit.
    Slow,
    /// The replica limits logins; nothing is concluded.
    RateLimited,
    /// Evidence fits more than one cause; the message names them.
    Ambiguous,
    /// A reason of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

impl PodReason {
    /// The reason as it stands in status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Verified => "Verified",
            Self::LocalDatabase => "LocalDatabase",
            Self::LocalSession => "LocalSession",
            Self::LocalRevocation => "LocalRevocation",
            Self::StaleCache => "StaleCache",
            Self::CookieAttributes => "CookieAttributes",
            Self::KeyMismatch => "KeyMismatch",
            Self::WrongIdentity => "WrongIdentity",
            Self::TokenFormat => "TokenFormat",
            Self::AcceptsInvalid => "AcceptsInvalid",
            Self::CanaryMissing => "CanaryMissing",
            Self::ClockSkew => "ClockSkew",
            Self::StaleReplica => "StaleReplica",
            Self::SchemaMismatch => "SchemaMismatch",
            Self::HostnameMismatch => "HostnameMismatch",
            Self::ServerError => "ServerError",
            Self::Redirected => "Redirected",
            Self::RecipeMismatch => "RecipeMismatch",
            Self::ProbeBlocked => "ProbeBlocked",
            Self::Slow => "Slow",
            Self::RateLimited => "RateLimited",
            Self::Ambiguous => "Ambiguous",
            Self::Unknown => "Unknown",
        }
    }
}
