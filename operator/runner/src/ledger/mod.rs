//! The ledger: which migration and which seed has run, in the database that it describes.
//!
//! It lives beside the data, so a restored backup carries its own history, and in a schema that the role `accord` owns
//! alone, so that the application can't rewrite it. One row per (service, kind, name, revision): an outcome is recorded
//! at most once. These functions touch the schema `accord` and `pg_catalog`, nothing else; they never take a URL, and
//! no error of theirs can hold a password.
//!
//! Writers hold the advisory lock of [`lock`]; readers need none.

mod error;
pub mod identity;
pub mod lock;
mod rows;
mod schema;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::Error;
pub use rows::{Outcome, baseline, finish, get, interrupt, release, rows, start};
pub use schema::{DDL, ensure};

/// The bound of `output_tail` in bytes; the table refuses more.
pub const TAIL_BYTES: usize = 2048;

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Changes the schema. Safe to run again: every framework's own table says what is applied already.
    Migration,
    /// Puts data in. Safe to run again only where it is declared idempotent.
    Seed,
}

impl Kind {
    /// The word in the column `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Migration => "migration",
            Self::Seed => "seed",
        }
    }
}

/// Where a run has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Committed before the command starts. Without a holder of the lock it means that the run is dead.
    Started,
    /// The command ended with 0 while the lock was held.
    Succeeded,
    /// The command ended with another code, or a person released an interrupted run.
    Failed,
    /// The run ended without an outcome of its own: a killed runner, a lost lock, a stopped pod.
    Interrupted,
    /// Never run by Accord: what it would do was there already.
    Baseline,
}

impl State {
    /// The word in the column `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Baseline => "baseline",
        }
    }

    /// Whether the revision needs no further run.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Baseline)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        [Self::Migration, Self::Seed]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| Error::Unknown {
                column: "kind",
                value: word.to_owned(),
            })
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        [
            Self::Started,
            Self::Succeeded,
            Self::Failed,
            Self::Interrupted,
            Self::Baseline,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
        .ok_or_else(|| Error::Unknown {
            column: "state",
            value: word.to_owned(),
        })
    }
}

/// The primary key of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    /// `namespace/name` of the `AuthService`.
    pub service: &'a str,
    /// Migration or seed.
    pub kind: Kind,
    /// The seed's declared name, or the migration's.
    pub name: &'a str,
    /// Image digest, command and named inputs, as one word.
    pub revision: &'a str,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} revision {:?} of {}",
            self.kind, self.name, self.revision, self.service
        )
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// `namespace/name` of the `AuthService`.
    pub service: String,
    /// Migration or seed.
    pub kind: Kind,
    /// The seed's declared name, or the migration's.
    pub name: String,
    /// Image digest, command and named inputs, as one word.
    pub revision: String,
    /// Where the last attempt has got to.
    pub state: State,
    /// Counted from 1; 0 for a baseline.
    pub attempt: i32,
    /// When the last attempt began, by the database's clock.
    pub started_at: jiff::Timestamp,
    /// When it ended, by the database's clock.
    pub finished_at: Option<jiff::Timestamp>,
    /// The command's exit code; 128 + n where signal n ended it.
    pub exit_code: Option<i32>,
    /// The command's last lines, redacted, at most [`TAIL_BYTES`].
    pub output_tail: String,
    /// The pod that ran it.
    pub runner: String,
}
