//! A plan with its counts: says of each request, and of each thing that a watch tells, what is to happen to it.

use super::action::Action;
use super::plan::{Fault, Plan};
use super::request::Asked;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    plan: Plan,
    step: String,
    counts: Vec<u32>,
    /// How often each fault came.
    came: Vec<u32>,
}

/// A fault that is due: what happens, and which of the plan's it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) action: Action,
    index: usize,
}

impl Counter {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            counts: vec![0; plan.faults.len()],
            came: vec![0; plan.faults.len()],
            step: String::new(),
            plan,
        }
    }

    /// A step of the history begins: what counts by steps counts anew.
    pub(crate) fn begin(&mut self, step: &str) {
        step.clone_into(&mut self.step);
        for (fault, count) in self.plan.faults.iter().zip(&mut self.counts) {
            if fault.step.is_some() {
                *count = 0;
            }
        }
    }

    /// Counts a request.
    pub(crate) fn asked(&mut self, asked: &Asked) -> Option<Due> {
        self.count(|fault| fault.on.counts(asked))
    }

    /// Counts what a watch of a resource tells.
    pub(crate) fn told(&mut self, resource: &str) -> Option<Due> {
        self.count(|fault| fault.on.told.iter().any(|r| r == resource))
    }

    fn count(&mut self, is_meant: impl Fn(&Fault) -> bool) -> Option<Due> {
        let mut due = None;
        for (index, fault) in self.plan.faults.iter().enumerate() {
            let is_now = fault.step.as_ref().is_none_or(|step| *step == self.step);
            if is_now && is_meant(fault) {
                self.counts[index] += 1;
                if due.is_none() && fault.is_due(self.counts[index]) {
                    due = Some(Due {
                        action: fault.action.clone(),
                        index,
                    });
                }
            }
        }
        if let Some(due) = due.as_ref().filter(|due| due.action.comes_at_once()) {
            self.came[due.index] += 1;
        }
        due
    }

    /// A fault of which it showed only now that it comes.
    pub(crate) fn came(&mut self, due: &Due) {
        self.came[due.index] += 1;
    }

    /// How often each of the plan's faults came.
    pub(crate) fn all_that_came(&self) -> Vec<u32> {
        self.came.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Which;
    use super::super::request::Verb;
    use super::*;

    fn asked(verb: Verb, resource: &str) -> Asked {
        Asked {
            verb,
            resource: resource.into(),
            name: "n".into(),
        }
    }

    fn counter(faults: Vec<Fault>) -> Counter {
        Counter::new(Plan {
            faults,
            ..Plan::default()
        })
    }

    #[test]
    fn the_third_write_is_met_and_no_other() {
        let mut counter = counter(vec![Fault::once(Which::writes(), 3, Action::KillAfter)]);
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
            if counter.asked(&asked(verb, resource)).is_some() {
                met.push(n);
            }
        }
        assert_eq!(met, [6], "reads, leases and events aren't counted");
        assert_eq!(counter.all_that_came(), [1]);
    }

    #[test]
    fn a_fault_that_comes_again_comes_at_each_step() {
        let mut counter = counter(vec![Fault::once(Which::writes(), 2, Action::KillBefore).each(3)]);
        let met = (1..=9).filter(|_| counter.asked(&asked(Verb::Patch, "deployments")).is_some());
        assert_eq!(met.count(), 3, "at 2, 5 and 8");
    }

    #[test]
    fn faults_count_each_for_themselves_and_one_happens_at_a_time() {
        let mut counter = counter(vec![
            Fault::once(Which::one(Verb::List, "secrets"), 2, Action::StaleList),
            Fault::once(Which::writes(), 1, Action::HangUp),
        ]);
        assert_eq!(counter.asked(&asked(Verb::List, "secrets")), None);
        let due = counter.asked(&asked(Verb::Create, "secrets")).unwrap();
        assert_eq!(due.action, Action::HangUp);
        let due = counter.asked(&asked(Verb::List, "secrets")).unwrap();
        assert_eq!(due.action, Action::StaleList);
        assert_eq!(
            counter.all_that_came(),
            [0, 1],
            "whether there was a list before is for others to say"
        );
        counter.came(&due);
        assert_eq!(counter.all_that_came(), [1, 1]);
    }

    #[test]
    fn a_fault_of_a_step_counts_from_its_beginning_and_in_no_other() {
        let fault = Fault::once(Which::writes(), 2, Action::KillAfter).within("scale");
        let mut counter = counter(vec![fault]);
        let write = asked(Verb::Patch, "deployments");
        let mut met = Vec::new();
        for step in ["create", "scale", "image"] {
            counter.begin(step);
            met.extend(
                (1..=3)
                    .filter(|_| counter.asked(&write).is_some())
                    .map(|n| (step, n)),
            );
        }
        assert_eq!(met, [("scale", 2)]);
    }

    #[test]
    fn what_a_watch_tells_is_counted_apart_from_what_is_asked() {
        let mut counter = counter(vec![Fault::once(Which::told("pods"), 2, Action::LeaveOut)]);
        assert_eq!(counter.asked(&asked(Verb::Watch, "pods")), None);
        assert_eq!(counter.told("pods"), None);
        assert_eq!(counter.told("secrets"), None);
        assert_eq!(counter.told("pods").unwrap().action, Action::LeaveOut);
    }
}
