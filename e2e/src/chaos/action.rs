//! What can go wrong: the words of a plan for it.

use serde::{Deserialize, Serialize};

/// What happens to a request, or to what a watch tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum Action {
    /// The operator is killed, and the request never reaches the API server; or what is told never reaches the operator.
    KillBefore,
    /// The operator is killed when the API server has carried it out, and never hears of it.
    KillAfter,
    /// The operator is stopped when the API server has carried it out, and goes on after so long with the answer.
    PauseAfter {
        /// How long.
        seconds: u64,
    },
    /// It is answered with this status, and never reaches the API server. A watch can be told 410: too old.
    Answer {
        /// 409, 429, 500, 503, …
        code: u16,
        /// The header `Retry-After`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// The connection is closed, and it never reaches the API server; or what is told never reaches the operator.
    HangUp,
    /// The API server carries it out, and the connection is closed in place of the answer.
    LoseAnswer,
    /// The answer comes late.
    Delay {
        /// By how long.
        millis: u64,
    },
    /// A watch doesn't tell this. For a while: then it says that it is too old, and everything is listed anew.
    LeaveOut,
    /// A list is answered as it was the last time that the same was asked for, and its watch tells nothing for a while.
    StaleList,
    /// etcd forgets what was, and the API server is started anew, when it has carried this out. Everybody notices: such
    /// a run is alone.
    RestartApi,
}

impl Action {
    /// False where it shows only later whether it comes at all: a list may have nothing before it.
    pub(super) fn comes_at_once(&self) -> bool {
        !matches!(self, Self::StaleList)
    }

    /// True where the operator is killed.
    pub(super) fn kills(&self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }

    /// True for what can happen to something that a watch tells.
    pub(super) fn fits_what_is_told(&self) -> bool {
        matches!(
            self,
            Self::KillBefore | Self::HangUp | Self::LeaveOut | Self::Answer { code: 410, .. }
        )
    }
}
