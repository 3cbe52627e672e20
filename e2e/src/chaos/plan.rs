//! What goes wrong in a run: one file, from which the run is repeated. Faults are chosen by what is asked for and by
//! the how-manieth time, never by the clock.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::request::{Asked, Verb};
use crate::paths;

/// The faults of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// What it is called in reports, and its file.
    pub(crate) name: String,
    /// The copies of the operator that run at a time; one where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) copies: Vec<Copied>,
    /// Each with a count of its own.
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
}

/// One copy of the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copied {
    /// The lease that it believes in. Two copies with two leases both lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    /// By how many seconds its clock is off. Each start takes the next, and the last for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clock: Vec<i64>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Counted only in this step of the history, from its beginning. Without it: all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
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
    /// In place of requests: what the watches of these tell. Bookmarks aren't counted, they come by the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) told: Vec<String>,
}

impl Which {
    /// Everything that changes something.
    pub(crate) fn writes() -> Self {
        Self {
            verbs: vec![Verb::Create, Verb::Update, Verb::Patch, Verb::Delete],
            ..Self::default()
        }
    }

    /// Everything that is asked and answered at once.
    pub(crate) fn reads() -> Self {
        Self {
            verbs: vec![Verb::Get, Verb::List],
            ..Self::default()
        }
    }

    /// One verb on one resource.
    pub(crate) fn one(verb: Verb, resource: &str) -> Self {
        Self {
            verbs: vec![verb],
            resources: vec![resource.to_owned()],
            told: Vec::new(),
        }
    }

    /// What the watches of a resource tell.
    pub(crate) fn told(resource: &str) -> Self {
        Self {
            told: vec![resource.to_owned()],
            ..Self::default()
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
        self.told.is_empty() && verb && resource
    }
}

impl Fault {
    /// A fault that happens once.
    pub(crate) fn once(on: Which, nth: u32, action: Action) -> Self {
        Self {
            step: None,
            on,
            nth,
            every: None,
            action,
        }
    }

    /// The same, in one step of the history.
    pub(crate) fn within(self, step: &str) -> Self {
        Self {
            step: Some(step.to_owned()),
            ..self
        }
    }

    /// The same, again and again.
    pub(crate) fn each(self, every: u32) -> Self {
        Self {
            every: Some(every),
            ..self
        }
    }

    /// True when it happens at this count.
    pub(super) fn is_due(&self, count: u32) -> bool {
        match self.every {
            Some(step) if step > 0 => count >= self.nth && (count - self.nth).is_multiple_of(step),
            _ => count == self.nth,
        }
    }

    fn check(&self) -> Result<()> {
        if self.on.told.is_empty() {
            ensure!(
                self.action != Action::LeaveOut,
                "leaveOut is about what a watch tells: {{\"on\": {{\"told\": [\"pods\"]}}, …}}"
            );
            return Ok(());
        }
        ensure!(
            self.action.fits_what_is_told(),
            "{:?} can't happen to what a watch tells; killBefore, hangUp, leaveOut and the answer 410 can",
            self.action
        );
        ensure!(
            self.on.verbs.is_empty() && self.on.resources.is_empty(),
            "`on` names both requests and what a watch tells: make two faults of it"
        );
        Ok(())
    }
}

impl Plan {
    /// From its file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let plan: Self = serde_json::from_str(&paths::read(path)?)
            .with_context(|| format!("{} isn't a plan of faults", path.display()))?;
        for fault in &plan.faults {
            fault.check().with_context(|| path.display().to_string())?;
        }
        Ok(plan)
    }

    /// To a file of its name below a directory.
    pub(crate) fn write(&self, dir: &Path) -> Result<std::path::PathBuf> {
        let path = dir.join(format!("{}.json", self.name));
        paths::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// Every copy; at least one.
    pub(crate) fn copies(&self) -> Vec<Copied> {
        if self.copies.is_empty() {
            return vec![Copied::default()];
        }
        self.copies.clone()
    }

    /// True where several copies contend for one lease, so that at most one may write.
    pub(crate) fn is_led_by_one(&self) -> bool {
        self.copies.len() > 1 && self.copies.iter().all(|c| c.lease == self.copies[0].lease)
    }

    /// True where everybody on the control plane notices.
    pub(crate) fn is_alone(&self) -> bool {
        self.faults.iter().any(|f| f.action == Action::RestartApi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_plan_is_one() {
        let page = std::fs::read_to_string(paths::checkout().join("operator/docs/reliability.md")).unwrap();
        let block = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
        let plan: Plan = serde_json::from_str(block).unwrap();
        assert_eq!(plan.faults.len(), 4);
        for fault in &plan.faults {
            fault.check().unwrap();
        }
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
        let plan = Plan {
            name: "answer-429-w7".into(),
            copies: vec![Copied {
                lease: Some("another".into()),
                clock: vec![3600, -3600],
            }],
            faults: vec![Fault::once(Which::writes(), 7, action).within("scale").each(3)],
        };
        let file = plan.write(&dir).unwrap();
        assert_eq!(Plan::read(&file).unwrap(), plan);
        std::fs::write(&file, r#"{"name": "x", "fault": []}"#).unwrap();
        assert!(
            Plan::read(&file).is_err(),
            "a misspelt field isn't a plan without faults"
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_cannot_happen_is_refused() {
        let told = |action| Fault::once(Which::told("pods"), 1, action).check();
        assert!(told(Action::LeaveOut).is_ok() && told(Action::KillBefore).is_ok());
        assert!(told(Action::KillAfter).is_err() && told(Action::StaleList).is_err());
        let on_requests = Fault::once(Which::writes(), 1, Action::LeaveOut).check();
        assert!(on_requests.unwrap_err().to_string().contains("told"));
    }
}
