//! What has to hold of a run, whatever went wrong in it.

use super::canonical::{self, Secret};
use super::history::Outcome;
use super::plan::Action;
use super::proxy::Seen;
use super::request::Verb;

/// What no operator deletes: keys and passwords, data, and the record of both.
const PROTECTED: [&str; 3] = ["secrets", "persistentvolumeclaims", "configmaps"];

/// Writes that one fault may cost: what is done again after it, and what is told of it.
const WRITES_PER_FAULT: usize = 12;

/// True for what the plan's counts and the bounds are about.
pub(super) fn is_write(seen: &Seen) -> bool {
    seen.asked.is_write() && !matches!(seen.asked.resource.as_str(), "leases" | "events")
}

/// How many writes there were.
pub(super) fn writes(seen: &[Seen]) -> usize {
    seen.iter().filter(|s| is_write(s)).count()
}

/// Everything that doesn't hold; empty for a good run. `calm` is the run without faults.
pub(super) fn faults(calm: &Outcome, run: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for (wanted, rest) in calm.rests.iter().zip(&run.rests) {
        if let Some(words) = canonical::difference(&wanted.state, &rest.state) {
            found.push(format!(
                "after {:?} the state is another one:\n{words}",
                rest.step
            ));
        }
    }
    if calm.rests.len() != run.rests.len() {
        found.push(format!(
            "{} steps in place of {}",
            run.rests.len(),
            calm.rests.len()
        ));
    }
    let kept: Vec<&[Secret]> = run.rests.iter().map(|r| r.secrets.as_slice()).collect();
    for pair in kept.windows(2).filter(|pair| !pair[1].is_empty()) {
        found.extend(lost(pair[0], pair[1]));
    }
    if run.ledger != calm.ledger {
        found.push(format!(
            "the ledger holds {:?}, without faults {:?}",
            run.ledger, calm.ledger
        ));
    }
    if run.commands != calm.commands {
        found.push(format!(
            "commands ran {} times, without faults {}",
            run.commands, calm.commands
        ));
    }
    let deleted = |s: &&Seen| s.asked.verb == Verb::Delete && PROTECTED.contains(&s.asked.resource.as_str());
    found.extend(
        run.seen
            .iter()
            .filter(deleted)
            .map(|s| format!("the operator asked to {}", s.asked)),
    );
    let bound = writes(&calm.seen) * 3 / 2 + run.happened as usize * WRITES_PER_FAULT;
    if writes(&run.seen) > bound {
        found.push(format!("{} writes, where {bound} would do", writes(&run.seen)));
    }
    let killed = |s: &&Seen| matches!(s.fault, Some(Action::KillBefore | Action::KillAfter));
    if run.deaths > 0 {
        found.push(format!("the operator ended {} times by itself", run.deaths));
    }
    if run.seen.iter().filter(killed).count() != run.kills as usize {
        found.push(format!("{} kills that no fault ordered", run.kills));
    }
    found
}

/// Secrets that were there and are others now, or gone.
fn lost(before: &[Secret], after: &[Secret]) -> Vec<String> {
    before
        .iter()
        .filter_map(|old| match after.iter().find(|new| new.name == old.name) {
            Some(new) if new.uid == old.uid && new.digest == old.digest => None,
            Some(_) => Some(format!("the Secret {} was made anew", old.name)),
            // A binding goes with the last that names it.
            None if old.is_owned => None,
            None => Some(format!("the Secret {} is gone", old.name)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::history::Rest;
    use super::super::request::Asked;
    use super::*;

    fn secret(name: &str, uid: &str, digest: &str, is_owned: bool) -> Secret {
        Secret {
            name: name.into(),
            uid: uid.into(),
            digest: digest.into(),
            is_owned,
        }
    }

    fn good() -> Outcome {
        let rest = |step| Rest {
            step,
            state: json!({"deployments/login": {"spec": {"replicas": 2}}}),
            secrets: vec![
                secret("login-keys", "u", "d", false),
                secret("login-binding-1", "b", "b", true),
            ],
        };
        Outcome {
            rests: vec![rest("create"), rest("scale")],
            ledger: vec!["migration|schema|r|succeeded".into()],
            commands: 1,
            seen: vec![seen(Verb::Create, "deployments"); 10],
            happened: 0,
            kills: 0,
            deaths: 0,
            took: Duration::ZERO,
        }
    }

    fn seen(verb: Verb, resource: &str) -> Seen {
        Seen {
            asked: Asked {
                verb,
                resource: resource.into(),
                name: String::new(),
            },
            code: 200,
            fault: None,
        }
    }

    /// What is said of a run that was changed like this.
    fn said(change: impl FnOnce(&mut Outcome)) -> String {
        let mut run = good();
        change(&mut run);
        faults(&good(), &run).join("; ")
    }

    #[test]
    fn a_run_like_the_calm_one_is_good() {
        assert_eq!(said(|_| {}), "");
    }

    #[test]
    fn each_thing_that_must_hold_is_looked_at() {
        type Change = fn(&mut Outcome);
        let broken: [(Change, &str); 9] = [
            (
                |r| r.rests[1].state["deployments/login"]["spec"]["replicas"] = json!(1),
                "replicas is 1",
            ),
            (|r| drop(r.rests.pop()), "1 steps in place of 2"),
            (
                |r| r.rests[1].secrets[0].digest = "other".into(),
                "login-keys was made anew",
            ),
            (|r| drop(r.rests[1].secrets.remove(0)), "login-keys is gone"),
            (
                |r| r.ledger.push("migration|schema|r|succeeded".into()),
                "the ledger holds",
            ),
            (|r| r.commands = 2, "commands ran 2 times"),
            (|r| r.seen.push(seen(Verb::Delete, "secrets")), "delete secrets"),
            (
                |r| r.seen = vec![seen(Verb::Patch, "authservices/status"); 16],
                "16 writes, where 15 would do",
            ),
            (|r| r.deaths = 1, "by itself"),
        ];
        for (change, words) in broken {
            let said = said(change);
            assert!(said.contains(words), "{words:?} isn't in {said:?}");
        }
    }

    #[test]
    fn a_binding_may_go_and_may_not_change() {
        assert_eq!(said(|r| drop(r.rests[1].secrets.remove(1))), "");
        assert!(said(|r| r.rests[1].secrets[1].uid = "x".into()).contains("login-binding-1 was made anew"));
    }
}
