//! What the ledger's row means for a run that holds the lock. Pure.

use accord_runner::ledger::{Kind, State};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The revision is recorded as done.
    Done,
    /// Run it. `mark` says that a dead run's row must be closed first.
    Run { mark: bool },
    /// A person has to look. `mark` as above.
    Hold { mark: bool },
}

/// `started` under our own lock means that its runner is dead: the lock went with its session.
pub(crate) fn decide(state: Option<State>, kind: Kind, idempotent: bool) -> Decision {
    // A framework's own table makes a migration safe to run again; for a seed only its author can say so.
    let repeatable = idempotent || kind == Kind::Migration;
    match state {
        Some(State::Succeeded | State::Baseline) => Decision::Done,
        None | Some(State::Failed) => Decision::Run { mark: false },
        Some(State::Started) if repeatable => Decision::Run { mark: true },
        Some(State::Interrupted) if repeatable => Decision::Run { mark: false },
        Some(State::Started) => Decision::Hold { mark: true },
        Some(State::Interrupted) => Decision::Hold { mark: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interrupted_seed_that_is_not_idempotent_is_held() {
        for state in [State::Started, State::Interrupted] {
            let mark = state == State::Started;
            assert_eq!(
                decide(Some(state), Kind::Migration, false),
                Decision::Run { mark }
            );
            assert_eq!(decide(Some(state), Kind::Seed, true), Decision::Run { mark });
            assert_eq!(decide(Some(state), Kind::Seed, false), Decision::Hold { mark });
        }
        for kind in [Kind::Migration, Kind::Seed] {
            assert_eq!(decide(None, kind, false), Decision::Run { mark: false });
            assert_eq!(
                decide(Some(State::Failed), kind, false),
                Decision::Run { mark: false }
            );
            assert_eq!(decide(Some(State::Succeeded), kind, false), Decision::Done);
            assert_eq!(decide(Some(State::Baseline), kind, false), Decision::Done);
        }
    }
}
