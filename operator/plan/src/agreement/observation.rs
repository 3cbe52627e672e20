//! What an exchange shows: a trace of steps and what could be seen beside it. Data only; no step says what follows.
//!
//! Nothing here holds a secret: a reply is a status and a short redacted text, a token is its shape.

use std::collections::{BTreeMap, BTreeSet};

use accord_crds::recipe::CookieAttributes;

use super::{Cookie, CookieScope, HostAnswer};

/// The trace of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observations {
    /// The name of the pod that is examined.
    pub subject: String,
    /// The name of the witness: a pod that was proved before. `None` when there is none yet.
    pub witness: Option<String>,
    /// What the application is built with, as far as its recipe gives it away: the advice is in its own lines.
    pub conventions: Conventions,
    /// What the recipe says about artifacts once their session has ended.
    pub after_logout: AfterLogoutExpected,
    /// What the subject said when it was asked by each declared hostname besides the canonical one.
    pub hosts: Vec<HostAnswer>,
    /// Session and CSRF cookies that the subject set with a `Domain`, asked by whichever hostname.
    pub cookies: Vec<CookieScope>,
    /// The steps, in the order in which they were made.
    pub steps: Vec<Step>,
    /// Whose session or token the subject refused, and accepted on every connection some moments later.
    pub late: BTreeSet<Role>,
    /// Anchor D of the subject: was it seen connected to the declared database during its login? `None`: can't be seen.
    pub database: Option<bool>,
    /// Anchor D of the witness.
    pub witness_database: Option<bool>,
    /// Anchor C of the subject: did the declared cache get commands from it during its login? `None`: can't be seen.
    pub cache: Option<bool>,
    /// Anchor C of the witness.
    pub witness_cache: Option<bool>,
    /// Anchor R of the subject: does the declared store hold the session that it made and accepts? `None`: not known.
    pub stored: Option<bool>,
    /// Anchor R of the witness.
    pub witness_stored: Option<bool>,
    /// Was the read replica still without what the database had, a moment after the exchange? `None`: there is none, or it
    /// can't be asked.
    pub replica_behind: Option<bool>,
    /// Anchor K of the subject: is its access token signed with a key of the declared ring? `None`: not declared so, or
    /// not to be told.
    pub key: Option<bool>,
    /// Anchor K of the witness.
    pub witness_key: Option<bool>,
    /// The access token that the subject issued, or the one that stands in its session cookie where there is no other.
    pub token: Option<TokenShape>,
    /// The access token that the subject issued at a second login.
    pub second_token: Option<TokenShape>,
    /// The access token that the witness issued.
    pub witness_token: Option<TokenShape>,
    /// How far the clock of the subject was ahead of the prober's at its login, in seconds, by the `Date` of its answer.
    pub clock: Option<i64>,
    /// The same of the witness.
    pub witness_clock: Option<i64>,
    /// The session cookie that the subject set, where the recipe declares what it has to be.
    pub cookie: Option<Cookie>,
    /// What the recipe declares of it.
    pub declared_cookie: Option<CookieAttributes>,
    /// True when the session cookie has a signature, whatever it signs: a key is involved.
    pub signature: bool,
    /// True when the session cookie carries its own contents (signed), and isn't only a key to a store.
    pub signed_cookie: bool,
}

/// Conventions of a framework, told from the names in the recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conventions {
    /// Nothing is known.
    #[default]
    Generic,
    /// Django: cookies `sessionid` and `csrftoken`.
    Django,
}

/// Which artifacts the recipe declares as rejected once their session has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AfterLogoutExpected {
    /// The access token is.
    pub access_rejected: bool,
    /// The refresh token is: the logout names it.
    pub refresh_rejected: bool,
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was asked.
    pub action: Action,
    /// Of whom.
    pub at: Role,
    /// Whose session or token was used: of the replica that issued it.
    pub of: Role,
    /// What the answer means by the recipe.
    pub meaning: Meaning,
    /// The status, where there was an answer.
    pub status: Option<u16>,
    /// For people: the answer's text or the failure, redacted, at most 120 characters.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What a step asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Check without any credential (negative control).
    NoCredential,
    /// Login with a wrong password (negative control).
    WrongPassword,
    /// Login as somebody whom nobody knows (negative control).
    Stranger,
    /// Check with an artifact that was tampered with (negative control).
    Tampered(Artifact),
    /// Fetch the CSRF token.
    Csrf,
    /// Log in as the canary.
    Login,
    /// Check an artifact at its issuer, before a peer has seen it.
    Own(Artifact),
    /// Check an artifact at its issuer over several new connections at once: one step for each.
    AtOnce(Artifact),
    /// Check an artifact at the peer: X.
    Cross(Artifact),
    /// Check it at its issuer again, after the peer: A.
    Again(Artifact),
    /// Check an artifact of a new login at the witness at the subject, where the canary has logged in since it refused one.
    SinceLogin(Artifact),
    /// Exchange the refresh token.
    Refresh,
    /// Check the access token that a refresh gave.
    Refreshed,
    /// End the session.
    Logout,
    /// Change the canary's password.
    ChangePassword,
    /// Log in with the password as it was before the change.
    OldPassword,
    /// Log in with the password as it is after the change.
    NewPassword,
    /// Change the password back.
    RestorePassword,
    /// Log in with the password that an exchange gave the canary for a moment, where the declared one was refused: an
    /// exchange that was cut off may have left it. A step only where it was accepted.
    LeftPassword,
    /// Use an artifact after its session has ended: at the replica where it was ended (V0), then at the other (V1).
    Replay(Artifact),
}

/// What a login gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Artifact {
    /// The session cookie.
    Session,
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
}

impl Artifact {
    /// For messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Access => "access token",
            Self::Refresh => "refresh token",
        }
    }
}

/// The two sides of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The pod that is examined.
    Subject,
    /// The pod that was proved before.
    Witness,
}

impl Role {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Subject => Self::Witness,
            Self::Witness => Self::Subject,
        }
    }
}

/// What an answer means by the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meaning {
    /// As the recipe says for success; a check named the canary.
    Accepted,
    /// Refused as somebody who isn't logged in, or as credentials that aren't right.
    Rejected,
    /// Success, as somebody else than the canary.
    OtherIdentity,
    /// 429
    Throttled,
    /// A redirect where the recipe expects none.
    Redirected,
    /// 5xx
    ServerError,
    /// An answer that the recipe doesn't know: another status, or a success without what it promises.
    Unexpected,
    /// No connection, or one that was cut off.
    Unreachable,
    /// Connected, and no answer within the limit.
    TimedOut,
}

/// The shape of a token: what can be told from it without its key, and without its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenShape {
    /// The header's `alg`.
    pub algorithm: String,
    /// The header's `kid`.
    pub key_id: Option<String>,
    /// The names of the claims, and the kind of their values (`string`, `number`, …).
    pub claims: BTreeMap<String, &'static str>,
    /// `exp - iat` in seconds.
    pub lifetime: Option<i64>,
}

impl TokenShape {
    /// The same header and claims. Lifetimes may differ by a second and by settings that no peer minds.
    pub fn alike(&self, other: &Self) -> bool {
        self.key_id == other.key_id && self.same_but_for_the_key(other)
    }

    /// The same algorithm and claims. A claim without a value is like any other of its name: the time of the last login, say,
    /// before there was one.
    pub fn same_but_for_the_key(&self, other: &Self) -> bool {
        let names = self.claims.keys().eq(other.claims.keys());
        let mut kinds = self.claims.values().zip(other.claims.values());
        self.algorithm == other.algorithm && names && kinds.all(|(a, b)| a == b || [*a, *b].contains(&"null"))
    }
}

impl Observations {
    /// The first step of this kind.
    pub fn step(&self, action: Action, at: Role, of: Role) -> Option<&Step> {
        self.steps
            .iter()
            .find(|s| s.action == action && s.at == at && s.of == of)
    }

    /// What the first step of this kind means.
    pub fn meaning(&self, action: Action, at: Role, of: Role) -> Option<Meaning> {
        self.step(action, at, of).map(|s| s.meaning)
    }

    /// The name of the pod in a role.
    pub fn name(&self, role: Role) -> &str {
        match role {
            Role::Subject => &self.subject,
            Role::Witness => self.witness.as_deref().unwrap_or("the witness"),
        }
    }
}
