//! Single faults: one in one step of a life, for each request and each thing told that it can happen to. As each step has
//! to end as it does without faults before the next begins, one life shows as many of them as it has steps.

use std::collections::BTreeSet;

use super::action::Action;
use super::judge;
use super::outcome::Outcome;
use super::plan::{Fault, Which};
use super::plans::numbered;
use super::proxy::Seen;
use super::request::Verb;
use super::steps;

/// Of what a resource's watch tells in a step, so much is tried.
const TOLD: u32 = 8;

/// One fault, or a kill and what the next operator is then told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) family: &'static str,
    pub(super) step: &'static str,
    pub(super) name: String,
    /// The last is the one that has to come.
    pub(super) faults: Vec<Fault>,
}

/// What a request can be answered in place of what the API server would say.
pub(super) fn refusals() -> [(&'static str, Action); 6] {
    let answer = |code| Action::Answer {
        code,
        retry_after: (code == 429).then_some(1),
    };
    [
        ("conflict", answer(409)),
        ("too-many", answer(429)),
        ("internal", answer(500)),
        ("unavailable", answer(503)),
        ("hang-up", Action::HangUp),
        ("lost-answer", Action::LoseAnswer),
    ]
}

/// All of them, from what was asked and told without faults.
pub(super) fn all(calm: &Outcome) -> Vec<Point> {
    let mut points = Vec::new();
    for step in steps::names() {
        let seen: Vec<&Seen> = calm.seen.iter().filter(|s| s.step == step).collect();
        let of_step = Step {
            name: step,
            writes: numbered(seen.iter().filter(|s| judge::is_write(s)).count()),
            reads: numbered(seen.iter().filter(|s| Which::reads().counts(&s.asked)).count()),
        };
        of_step.killed(&mut points);
        of_step.refused(&mut points);
        for ((told_in, resource), count) in &calm.told {
            if *told_in == step {
                of_step.told(resource, (*count).min(TOLD), &mut points);
            }
        }
        for resource in watched(&calm.seen) {
            of_step.stale(&resource, &mut points);
        }
    }
    points
}

/// The resources that are watched, each once.
fn watched(seen: &[Seen]) -> BTreeSet<String> {
    let of_verb = seen.iter().filter(|s| s.asked.verb == Verb::Watch);
    of_verb.map(|s| s.asked.resource.clone()).collect()
}

/// A step, and how much there was of what a fault can happen to.
struct Step {
    name: &'static str,
    writes: u32,
    reads: u32,
}

impl Step {
    fn point(&self, family: &'static str, name: &str, fault: Fault) -> Point {
        Point {
            family,
            step: self.name,
            name: format!("{}-{name}", self.name),
            faults: vec![fault.within(self.name)],
        }
    }

    fn killed(&self, points: &mut Vec<Point>) {
        for n in 1..=self.writes {
            for (word, action) in [("before", Action::KillBefore), ("after", Action::KillAfter)] {
                let fault = Fault::once(Which::writes(), n, action);
                points.push(self.point("kill", &format!("kill-{word}-{n}"), fault));
            }
        }
    }

    fn refused(&self, points: &mut Vec<Point>) {
        for (word, action) in refusals() {
            for n in 1..=self.writes {
                let fault = Fault::once(Which::writes(), n, action.clone());
                points.push(self.point("error", &format!("{word}-write-{n}"), fault));
            }
            // Nothing is in conflict with a look, and nothing is lost with its answer.
            if matches!(word, "conflict" | "lost-answer") {
                continue;
            }
            for n in 1..=self.reads {
                let fault = Fault::once(Which::reads(), n, action.clone());
                points.push(self.point("error", &format!("{word}-read-{n}"), fault));
            }
        }
    }

    fn told(&self, resource: &str, count: u32, points: &mut Vec<Point>) {
        let too_old = Action::Answer {
            code: 410,
            retry_after: None,
        };
        for n in 1..=count {
            for (family, word, action) in [
                ("kill", "killed-at", Action::KillBefore),
                ("watch", "left-out", Action::LeaveOut),
                ("watch", "too-old-at", too_old.clone()),
                ("watch", "closed-at", Action::HangUp),
            ] {
                let fault = Fault::once(Which::told(resource), n, action);
                points.push(self.point(family, &format!("{word}-{resource}-{n}"), fault));
            }
        }
    }

    fn stale(&self, resource: &str, points: &mut Vec<Point>) {
        let parts = [self.writes / 4, self.writes / 2, self.writes * 3 / 4];
        let mut parts: Vec<u32> = parts.iter().map(|n| (*n).max(1)).collect();
        parts.dedup();
        for n in parts.into_iter().filter(|_| self.writes > 0) {
            let killed = Fault::once(Which::writes(), n, Action::KillAfter);
            let mut point = self.point("stale", &format!("stale-{resource}-{n}"), killed);
            let stale = Fault::once(Which::one(Verb::List, resource), 1, Action::StaleList);
            point.faults.push(stale.within(self.name));
            points.push(point);
        }
    }
}
