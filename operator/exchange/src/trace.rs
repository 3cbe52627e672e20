//! The steps of an exchange while it is made.

use std::time::Instant;

use accord_plan::agreement::{Action, Meaning, Role, Step};

/// What came of one request.
#[derive(Clone)]
pub(crate) struct Outcome {
    pub(crate) meaning: Meaning,
    pub(crate) status: Option<u16>,
    pub(crate) detail: String,
    pub(crate) millis: u64,
}

impl Outcome {
    pub(crate) fn new(meaning: Meaning, status: Option<u16>, detail: String, since: Instant) -> Self {
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self {
            meaning,
            status,
            detail,
            millis,
        }
    }

    pub(crate) fn accepted(&self) -> bool {
        self.meaning == Meaning::Accepted
    }

    /// True when more requests would show nothing, or do harm.
    pub(crate) fn halts(&self) -> bool {
        matches!(
            self.meaning,
            Meaning::Throttled | Meaning::Unreachable | Meaning::TimedOut
        )
    }

    pub(crate) fn step(self, action: Action, at: Role, of: Role) -> Step {
        Step {
            action,
            at,
            of,
            meaning: self.meaning,
            status: self.status,
            detail: self.detail,
            millis: self.millis,
        }
    }
}

/// The exchange has nothing more to learn.
pub(crate) struct Halt;

/// The steps so far.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) steps: Vec<Step>,
}

impl Trace {
    /// Adds a step; `Err` when it was the last one that makes sense.
    pub(crate) fn add(
        &mut self,
        action: Action,
        at: Role,
        of: Role,
        outcome: Outcome,
    ) -> Result<Meaning, Halt> {
        let halts = outcome.halts();
        let meaning = outcome.meaning;
        self.steps.push(outcome.step(action, at, of));
        if halts { Err(Halt) } else { Ok(meaning) }
    }
}
