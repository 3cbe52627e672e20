//! What a proof rests on. What follows between two revisions depends on it: evidence against one pod is that pod's fault,
//! while a pair of which each is sound by itself says only that the two don't fit.

use accord_crds::Verdict;

/// What decided an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// What one pod showed, or that nothing contradicts.
    #[default]
    Subject,
    /// What one pod showed before anybody had logged in there. It can't be shown again by the same containers.
    FirstLogin,
    /// The subject is anchored in the declaration and its witness isn't.
    Witness,
    /// Neither honours what the other issues, and nothing is known against either alone.
    Pair,
}

impl Basis {
    /// True for evidence against one pod.
    pub const fn is_own(self) -> bool {
        matches!(self, Self::Subject | Self::FirstLogin)
    }

    /// True for a verdict that these containers can't be led to again: another examination would find nothing.
    pub fn shows_it_once(self, verdict: Verdict) -> bool {
        (self, verdict) == (Self::FirstLogin, Verdict::Diverges)
    }
}

/// What a proof rests on: the evidence, and with whom it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// What decided.
    pub basis: Basis,
    /// The witness's revision; `None` where there was no witness.
    pub witness: Option<String>,
    /// True when revisions were examined apart: see [`crate::probe::ProbeRequest::apart`].
    pub apart: bool,
}
