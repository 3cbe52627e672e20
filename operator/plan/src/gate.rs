//! Gates between phases. Waiting is data, never an error.

use accord_crds::Reason;

/// Whether what comes next may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open {
        /// What was reached, for people.
        message: String,
    },
    /// It may not, yet or at all.
    Closed {
        /// Why.
        reason: Reason,
        /// What is waited for, or what a person has to do.
        message: String,
    },
    /// It may, although this phase hasn't shown what it is there for.
    Waived {
        /// True when the contrary was shown, false when nothing was.
        refuted: bool,
        /// Why.
        reason: Reason,
        /// What was found, for people.
        message: String,
    },
}

impl Gate {
    /// An open gate.
    pub fn open(message: impl Into<String>) -> Self {
        Self::Open {
            message: message.into(),
        }
    }

    /// A closed gate.
    pub fn closed(reason: Reason, message: impl Into<String>) -> Self {
        Self::Closed {
            reason,
            message: message.into(),
        }
    }

    /// True when what comes next may begin.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed { .. })
    }

    /// The reason of a gate that isn't simply open.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Open { .. } => None,
            Self::Closed { reason, .. } | Self::Waived { reason, .. } => Some(*reason),
        }
    }
}
