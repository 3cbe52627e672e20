//! Which runs there are: for each kind of fault, one for each request that it can happen to, and some where it happens
//! again and again.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::judge;
use super::plan::{Action, Fault, Plan, Which};
use super::proxy::Seen;
use super::request::Verb;

/// Kinds of faults, with what a report says of each.
pub(super) const FAMILIES: [(&str, &str); 6] = [
    ("kill", "operator killed before or after one write"),
    ("kills", "operator killed again and again in one history"),
    (
        "error",
        "a write answered 409, 429, 500 or 503, its connection closed, its answer lost",
    ),
    ("errors", "the same, again and again in one history"),
    (
        "watch",
        "a watch closed, told that it is too old, or an event left out for 20 s",
    ),
    ("stale", "operator killed, and started on a list of before"),
];

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) family: &'static str,
    pub(super) plan: Plan,
}

/// All runs, from what is asked for without faults. The order is that of a history.
pub(super) fn all(calm: &[Seen]) -> Vec<Run> {
    let writes = u32::try_from(judge::writes(calm)).unwrap_or(u32::MAX);
    let mut runs = Vec::new();
    let mut add = |family, plan| runs.push(Run { family, plan });
    for n in 1..=writes {
        add(
            "kill",
            Plan::single(format!("kill-before-{n}"), Which::writes(), n, Action::KillBefore),
        );
        add(
            "kill",
            Plan::single(format!("kill-after-{n}"), Which::writes(), n, Action::KillAfter),
        );
    }
    for (step, before) in [
        (3, false),
        (4, false),
        (5, false),
        (7, false),
        (11, false),
        (5, true),
        (7, true),
        (11, true),
    ] {
        for first in [1, 2, 3] {
            let (action, word) = if before {
                (Action::KillBefore, "before")
            } else {
                (Action::KillAfter, "after")
            };
            add(
                "kills",
                again(
                    &format!("kills-{word}-{first}-each-{step}"),
                    Which::writes(),
                    first,
                    step,
                    action,
                ),
            );
        }
    }
    for (word, action) in refusals() {
        for n in 1..=writes {
            add(
                "error",
                Plan::single(format!("{word}-{n}"), Which::writes(), n, action.clone()),
            );
        }
        for step in [3, 4, 5] {
            add(
                "errors",
                again(
                    &format!("{word}-each-{step}"),
                    Which::writes(),
                    1,
                    step,
                    action.clone(),
                ),
            );
        }
    }
    let watched = resources(calm, Verb::Watch);
    for resource in &watched {
        for (word, action) in [
            ("closed", Action::CloseWatch { after: 2 }),
            ("closed-at-once", Action::CloseWatch { after: 0 }),
            ("gone", Action::Gone { after: 1 }),
            ("event-1-lost", Action::DropEvent { event: 1 }),
            ("event-2-lost", Action::DropEvent { event: 2 }),
            ("event-4-lost", Action::DropEvent { event: 4 }),
        ] {
            add(
                "watch",
                Plan::single(
                    format!("{resource}-{word}"),
                    Which::one(Verb::Watch, resource),
                    1,
                    action,
                ),
            );
        }
    }
    for resource in &watched {
        for (part, n) in [(1, writes / 4), (2, writes / 2), (3, writes * 3 / 4)] {
            let mut plan = Plan::single(
                format!("{resource}-stale-{part}"),
                Which::writes(),
                n.max(1),
                Action::KillAfter,
            );
            plan.faults.push(Fault {
                on: Which::one(Verb::List, resource),
                // The first is that of the start; then it has to be there already.
                nth: 2,
                every: None,
                action: Action::StaleList,
            });
            add("stale", plan);
        }
    }
    runs
}

fn refusals() -> [(&'static str, Action); 6] {
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

fn again(name: &str, on: Which, nth: u32, every: u32, action: Action) -> Plan {
    let mut plan = Plan::single(name.to_owned(), on, nth, action);
    plan.faults[0].every = Some(every);
    plan
}

/// The resources of a verb, each once.
fn resources(seen: &[Seen], verb: Verb) -> BTreeSet<String> {
    let of_verb = seen.iter().filter(|s| s.asked.verb == verb);
    of_verb.map(|s| s.asked.resource.clone()).collect()
}

/// The runs of some families, of each so many, drawn by a seed: the same seed draws the same. They take turns, so that
/// whoever ends early has seen something of each.
pub(super) fn choose(
    runs: &[Run],
    families: &[String],
    points: Option<usize>,
    seed: u64,
) -> Result<Vec<Run>> {
    let known = FAMILIES.map(|(name, _)| name);
    if let Some(unknown) = families.iter().find(|f| !known.contains(&f.as_str())) {
        bail!(
            "there is no family of faults {unknown:?}; there are: {}",
            known.join(", ")
        );
    }
    let mut random = Random(seed);
    let mut chosen: Vec<(usize, Run)> = Vec::new();
    for family in known {
        let is_meant = families.is_empty() || families.iter().any(|f| f == family);
        let of_family = runs.iter().filter(|run| is_meant && run.family == family);
        let mut of_family: Vec<&Run> = of_family.collect();
        while points.is_some_and(|n| of_family.len() > n) {
            of_family.remove(random.below(of_family.len()));
        }
        chosen.extend(of_family.into_iter().cloned().enumerate());
    }
    chosen.sort_by_key(|(turn, _)| *turn);
    Ok(chosen.into_iter().map(|(_, run)| run).collect())
}

/// Numbers that look random and are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).unwrap_or(0);
        high % limit.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Asked;
    use super::*;

    fn calm() -> Vec<Seen> {
        let seen = |method: &str, target: &str| Seen {
            asked: Asked::parse(method, target).unwrap(),
            code: 200,
            fault: None,
        };
        let mut all = vec![seen("GET", "/api/v1/namespaces/a/secrets?watch=true")];
        all.extend((0..8).map(|_| seen("PATCH", "/apis/apps/v1/namespaces/a/deployments/d")));
        all.push(seen("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l"));
        all
    }

    #[test]
    fn there_is_a_kill_before_and_after_each_write_and_names_are_files() {
        let runs = all(&calm());
        assert_eq!(runs.iter().filter(|r| r.family == "kill").count(), 2 * 8);
        let names: BTreeSet<&str> = runs.iter().map(|r| r.plan.name.as_str()).collect();
        assert_eq!(names.len(), runs.len(), "each has a name of its own");
        assert!(names.iter().all(|n| !n.contains('/') && !n.contains(' ')));
    }

    #[test]
    fn the_same_seed_draws_the_same_runs() {
        let draw = |seed| -> Vec<String> {
            let chosen = choose(&all(&calm()), &["error".into(), "kill".into()], Some(5), seed).unwrap();
            chosen.into_iter().map(|r| r.plan.name).collect()
        };
        assert_eq!(draw(1).len(), 10, "five of each");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(choose(&all(&calm()), &["kil".into()], None, 1).is_err());
    }
}
