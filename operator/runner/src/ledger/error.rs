//! What can go wrong with the ledger, with the way out in the message.

/// An error of the ledger. None of its messages can hold a password: `sqlx` keeps the URL out of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres, or the way to it, refused.
    #[error("cannot {step}: {source}")]
    Sql {
        /// What was being done, as the end of "cannot …".
        step: &'static str,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The schema belongs to another role, which could therefore rewrite the ledger.
    #[error(
        "{object} belongs to the role {owner:?}, not to {me:?}, so its content can't be trusted. Make sure that nothing \
         of value is in it, then run as a superuser: ALTER {object} OWNER TO {me}"
    )]
    NotOurs {
        /// `SCHEMA accord` or `TABLE accord.…`.
        object: &'static str,
        /// Who owns it.
        owner: String,
        /// Who we are.
        me: String,
    },
    /// A word that this version doesn't know, written by a newer one.
    #[error(
        "accord.ledger holds {value:?} in column {column}, which this version doesn't know; use the newer version"
    )]
    Unknown {
        /// The column.
        column: &'static str,
        /// The word.
        value: String,
    },
    /// The row isn't in a state from which this step is possible.
    #[error("the ledger's row is in state {state:?}, so it can't be {step}")]
    WrongState {
        /// What was to be done, as the end of "can't be …".
        step: &'static str,
        /// What was found; `none` where there is no row.
        state: String,
    },
    /// The advisory lock isn't held by this session any more, so nothing may be recorded.
    #[error("the advisory lock isn't held by this session, so nothing was recorded")]
    LockNotHeld,
    /// Another value was recorded before. What was there once is never made anew.
    #[error("the recorded {key} is {recorded:?}, and {offered:?} was offered")]
    IdentityDiffers {
        /// Which identity.
        key: String,
        /// What is recorded.
        recorded: String,
        /// What came now.
        offered: String,
    },
}

impl Error {
    /// Names the step that a query belongs to.
    pub(super) fn at(step: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { step, source }
    }
}
