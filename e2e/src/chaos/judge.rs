//! What has to hold of a run, whatever went wrong in it.

use std::time::Duration;

use super::action::Action;
use super::canonical::{self, Secret};
use super::outcome::Outcome;
use super::plan::Plan;
use super::proxy::Seen;
use super::request::Verb;

/// What no operator deletes: keys and passwords, data, and the record of both.
const PROTECTED: [&str; 3] = ["secrets", "persistentvolumeclaims", "configmaps"];

/// Writes that one fault may cost: what is done again after it, and what is told of it.
const WRITES_PER_FAULT: usize = 12;

/// The Service and its pods are watched one beside the other: for so long one may be ahead.
const NOT_SEEN: Duration = Duration::from_secs(1);

/// True for what the plan's counts and the bounds are about.
pub(super) fn is_write(seen: &Seen) -> bool {
    seen.asked.is_write() && !matches!(seen.asked.resource.as_str(), "leases" | "events")
}

/// How many writes there were.
pub(super) fn writes(seen: &[Seen]) -> usize {
    seen.iter().filter(|s| is_write(s)).count()
}

/// Everything that doesn't hold; empty for a good run. `calm` is the run without faults.
pub(super) fn faults(calm: &Outcome, plan: &Plan, run: &Outcome) -> Vec<String> {
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
    // What one copy does the other may do again.
    let leaders = if plan.is_led_by_one() {
        1
    } else {
        plan.copies().len()
    };
    let bound = writes(&calm.seen) * 3 / 2 * leaders + run.happened() as usize * WRITES_PER_FAULT;
    if writes(&run.seen) > bound {
        found.push(format!("{} writes, where {bound} would do", writes(&run.seen)));
    }
    if run.unserved > NOT_SEEN {
        found.push(format!(
            "the Service was without a ready pod for {:.1} s",
            run.unserved.as_secs_f64()
        ));
    }
    found.extend(run.logins.fault());
    if plan.is_led_by_one() {
        found.extend(usurped(&run.seen));
    }
    found.extend(ended(plan, run));
    found
}

/// Ends of the operator that no fault explains.
fn ended(plan: &Plan, run: &Outcome) -> Vec<String> {
    let came = |which: fn(&Action) -> bool| -> u32 {
        let faults = plan.faults.iter().zip(&run.came);
        faults
            .filter(|(f, _)| which(&f.action))
            .map(|(_, came)| *came)
            .sum()
    };
    let mut found = Vec::new();
    // Who can't renew its lease ends, as it should.
    let explained = came(|a| matches!(a, Action::PauseAfter { .. } | Action::RestartApi));
    if run.deaths > explained {
        found.push(format!("the operator ended {} times by itself", run.deaths));
    }
    if came(Action::kills) != run.kills {
        found.push(format!(
            "{} kills, and faults ordered {}",
            run.kills,
            came(Action::kills)
        ));
    }
    found
}

/// Writes of a copy while another held the lease.
fn usurped(seen: &[Seen]) -> Vec<String> {
    let mut holder = None;
    let mut found = Vec::new();
    for one in seen {
        if one.asked.resource == "leases" && one.asked.is_write() && (200..300).contains(&one.code) {
            holder = Some(one.who);
        } else if is_write(one) && (200..300).contains(&one.code) && holder.is_some_and(|h| h != one.who) {
            found.push(format!(
                "in {:?} copy {} wrote while another led: {}",
                one.step, one.who, one.asked
            ));
        }
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
    use serde_json::json;

    use super::super::logins::Counts;
    use super::super::outcome::Rest;
    use super::super::plan::Copied;
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
            told: [].into(),
            came: Vec::new(),
            kills: 0,
            deaths: 0,
            unserved: Duration::ZERO,
            logins: Counts {
                right: 9,
                retried: 1,
                ..Counts::default()
            },
            took: Duration::ZERO,
        }
    }

    fn seen(verb: Verb, resource: &str) -> Seen {
        Seen {
            who: 0,
            step: "create",
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
        faults(&good(), &Plan::default(), &run).join("; ")
    }

    #[test]
    fn a_run_like_the_calm_one_is_good() {
        assert_eq!(said(|_| {}), "");
    }

    #[test]
    fn each_thing_that_must_hold_is_looked_at() {
        type Change = fn(&mut Outcome);
        let broken: [(Change, &str); 14] = [
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
            (|r| r.kills = 1, "1 kills, and faults ordered 0"),
            (
                |r| r.unserved = Duration::from_secs(2),
                "without a ready pod for 2.0 s",
            ),
            (|r| r.logins.wrong = 1, "of 11 logins 1 were answered wrongly"),
            (|r| r.logins.failed = 2, "and 2 failed"),
            (|r| r.logins = Counts::default(), "nobody logged in"),
        ];
        for (change, words) in broken {
            let said = said(change);
            assert!(said.contains(words), "{words:?} isn't in {said:?}");
        }
    }

    #[test]
    fn who_lost_the_lease_may_not_write_where_there_is_one_lease() {
        let by = |who, verb, resource: &str| Seen {
            who,
            ..seen(verb, resource)
        };
        let plan = |second: Option<&str>| Plan {
            copies: [None, second]
                .map(|lease| Copied {
                    lease: lease.map(str::to_owned),
                    ..Copied::default()
                })
                .into(),
            ..Plan::default()
        };
        let mut run = good();
        run.seen = vec![
            by(0, Verb::Create, "leases"),
            by(0, Verb::Patch, "deployments"),
            by(1, Verb::Update, "leases"),
            by(1, Verb::Patch, "deployments"),
        ];
        assert_eq!(faults(&good(), &plan(None), &run), Vec::<String>::new());
        run.seen.push(by(0, Verb::Delete, "jobs"));
        let said = faults(&good(), &plan(None), &run).join("; ");
        assert!(
            said.contains("copy 0 wrote while another led: delete jobs"),
            "{said}"
        );
        assert_eq!(
            faults(&good(), &plan(Some("another")), &run),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_binding_may_go_and_may_not_change() {
        assert_eq!(said(|r| drop(r.rests[1].secrets.remove(1))), "");
        assert!(said(|r| r.rests[1].secrets[1].uid = "x".into()).contains("login-binding-1 was made anew"));
    }
}
