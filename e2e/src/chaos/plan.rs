//! What goes wrong in a run: one file, from which the run is repeated. Faults are chosen by what is asked for and by
//! the how-manieth time, never by the clock.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::request::{Asked, Verb};
use crate::paths;

/// The faults of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// What it is called in reports, and its file.
    pub(crate) name: String,
    /// Each with a count of its own.
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Which requests are counted.
    pub(crate) on: Which,
    /// The first one that it happens to, counted from 1.
    pub(crate) nth: u32,
    /// And each so-manieth after it. Without it: only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<u32>,
    /// What happens.
    #[serde(rename = "do")]
    pub(crate) action: Action,
}

/// Which requests are counted. What is left empty means any; leases and events count only where they are named, since
/// their number hangs on time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// What is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) verbs: Vec<Verb>,
    /// To what: plurals, with the subresource, as in `pods/status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum Action {
    /// The operator is killed, and the request never reaches the API server.
    KillBefore,
    /// The operator is killed when the API server has carried it out, and never hears of it.
    KillAfter,
    /// It is answered with this status, and never reaches the API server.
    Answer {
        /// 409, 429, 500, 503, …
        code: u16,
        /// The header `Retry-After`, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
    /// The connection is closed, and it never reaches the API server.
    HangUp,
    /// The API server carries it out, and the connection is closed in place of the answer.
    LoseAnswer,
    /// A watch ends in good order after so many events.
    CloseWatch {
        /// The events that are let through before.
        after: u32,
    },
    /// A watch is told, after so many events, that its version is too old.
    Gone {
        /// The events that are let through before.
        after: u32,
    },
    /// This event of a watch, counted from 1, isn't told until the watch, which is cut short, is said to be too old.
    DropEvent {
        /// Which.
        event: u32,
    },
    /// A list is answered as it was the last time that the same was asked for.
    StaleList,
}

impl Action {
    /// False where it shows only later whether it comes at all.
    fn comes_at_once(&self) -> bool {
        !matches!(
            self,
            Self::CloseWatch { .. } | Self::Gone { .. } | Self::DropEvent { .. } | Self::StaleList
        )
    }
}

impl Which {
    /// Everything that changes something.
    pub(crate) fn writes() -> Self {
        Self {
            verbs: vec![Verb::Create, Verb::Update, Verb::Patch, Verb::Delete],
            resources: Vec::new(),
        }
    }

    /// One verb on one resource.
    pub(crate) fn one(verb: Verb, resource: &str) -> Self {
        Self {
            verbs: vec![verb],
            resources: vec![resource.to_owned()],
        }
    }

    /// True when a request is among those that are counted.
    pub(crate) fn counts(&self, asked: &Asked) -> bool {
        let verb = self.verbs.is_empty() || self.verbs.contains(&asked.verb);
        let resource = if self.resources.is_empty() {
            !matches!(asked.resource.as_str(), "leases" | "events")
        } else {
            self.resources.contains(&asked.resource)
        };
        verb && resource
    }
}

impl Fault {
    /// True when it happens at this count.
    fn is_due(&self, count: u32) -> bool {
        match self.every {
            Some(step) if step > 0 => count >= self.nth && (count - self.nth).is_multiple_of(step),
            _ => count == self.nth,
        }
    }
}

impl Plan {
    /// One fault, once.
    pub(crate) fn single(name: String, on: Which, nth: u32, action: Action) -> Self {
        Self {
            name,
            faults: vec![Fault {
                on,
                nth,
                every: None,
                action,
            }],
        }
    }

    /// From its file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        serde_json::from_str(&paths::read(path)?)
            .with_context(|| format!("{} isn't a plan of faults", path.display()))
    }

    /// To a file of its name below a directory.
    pub(crate) fn write(&self, dir: &Path) -> Result<std::path::PathBuf> {
        let path = dir.join(format!("{}.json", self.name));
        paths::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }
}

/// A plan with its counts.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    plan: Plan,
    counts: Vec<u32>,
    /// How often each fault happened.
    pub(crate) happened: u32,
}

impl Counter {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            counts: vec![0; plan.faults.len()],
            plan,
            happened: 0,
        }
    }

    /// Counts a request; what is to happen to it, if anything.
    pub(crate) fn count(&mut self, asked: &Asked) -> Option<Action> {
        let mut due = None;
        for (fault, count) in self.plan.faults.iter().zip(&mut self.counts) {
            if fault.on.counts(asked) {
                *count += 1;
                if due.is_none() && fault.is_due(*count) {
                    due = Some(fault.action.clone());
                }
            }
        }
        // Those of a watch come later, and a list may have nothing before it: they are counted when they do.
        self.happened += u32::from(due.as_ref().is_some_and(Action::comes_at_once));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: Verb, resource: &str) -> Asked {
        Asked {
            verb,
            resource: resource.into(),
            name: "n".into(),
        }
    }

    #[test]
    fn the_third_write_is_met_and_no_other() {
        let mut counter = Counter::new(Plan::single("x".into(), Which::writes(), 3, Action::KillAfter));
        let mut met = Vec::new();
        for (n, verb, resource) in [
            (1, Verb::Create, "secrets"),
            (2, Verb::List, "secrets"),
            (3, Verb::Update, "leases"),
            (4, Verb::Create, "events"),
            (5, Verb::Patch, "deployments"),
            (6, Verb::Delete, "jobs"),
            (7, Verb::Patch, "deployments"),
        ] {
            if counter.count(&asked(verb, resource)).is_some() {
                met.push(n);
            }
        }
        assert_eq!(met, [6], "reads, leases and events aren't counted");
        assert_eq!(counter.happened, 1);
    }

    #[test]
    fn a_fault_that_comes_again_comes_at_each_step() {
        let mut plan = Plan::single("x".into(), Which::writes(), 2, Action::KillBefore);
        plan.faults[0].every = Some(3);
        let mut counter = Counter::new(plan);
        let met: Vec<u32> = (1..=9)
            .filter(|_| counter.count(&asked(Verb::Patch, "deployments")).is_some())
            .collect();
        assert_eq!(met.len(), 3, "at 2, 5 and 8");
    }

    #[test]
    fn faults_count_each_for_themselves_and_one_happens_at_a_time() {
        let mut plan = Plan::single(
            "x".into(),
            Which::one(Verb::List, "secrets"),
            2,
            Action::StaleList,
        );
        plan.faults.push(
            Plan::single(String::new(), Which::writes(), 1, Action::HangUp)
                .faults
                .remove(0),
        );
        let mut counter = Counter::new(plan);
        assert_eq!(counter.count(&asked(Verb::List, "secrets")), None);
        assert_eq!(
            counter.count(&asked(Verb::Create, "secrets")),
            Some(Action::HangUp)
        );
        assert_eq!(
            counter.count(&asked(Verb::List, "secrets")),
            Some(Action::StaleList)
        );
        assert_eq!(
            counter.happened, 1,
            "whether there was a list before is for others to say"
        );
    }

    #[test]
    fn the_documented_plan_is_one() {
        let page = std::fs::read_to_string(paths::checkout().join("operator/docs/reliability.md")).unwrap();
        let block = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let plan: Plan = serde_json::from_str(block).unwrap();
        assert_eq!(plan.faults.len(), 3);
        let answer = r#"{"answer": {"code": 429, "retryAfter": 1}}"#;
        assert!(page.contains(answer) && serde_json::from_str::<Action>(answer).is_ok());
    }

    #[test]
    fn a_plan_is_repeated_from_its_file() {
        let dir = std::env::temp_dir().join(format!("accord-plan-{}", std::process::id()));
        let action = Action::Answer {
            code: 429,
            retry_after: Some(1),
        };
        let plan = Plan::single("answer-429-w7".into(), Which::writes(), 7, action);
        let file = plan.write(&dir).unwrap();
        assert_eq!(Plan::read(&file).unwrap(), plan);
        std::fs::write(&file, r#"{"name": "x", "fault": []}"#).unwrap();
        assert!(
            Plan::read(&file).is_err(),
            "a misspelt field isn't a plan without faults"
        );
        std::fs::remove_dir_all(dir).unwrap();
    }
}
