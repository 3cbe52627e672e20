//! Which runs there are: lives in which each step meets one fault, and lives in which something is wrong all the time.

use anyhow::{Result, bail};

use super::outcome::Outcome;
use super::plan::Plan;
use super::points::{self, Point};
use super::random::Random;
use super::{steps, whole_lives};

/// Kinds of faults, with what a report says of each.
pub(super) const FAMILIES: [(&str, &str); 11] = [
    (
        "kill",
        "operator killed before or after one write, or as a watch tells it something",
    ),
    (
        "error",
        "one request answered 409, 429, 500 or 503, its connection closed, or its answer lost",
    ),
    (
        "watch",
        "one event of a watch left out for 15 s, or the watch closed or said to be too old in its place",
    ),
    (
        "stale",
        "operator killed, and started on a list of before, whose watch tells nothing for 15 s",
    ),
    ("kills", "operator killed again and again"),
    ("errors", "requests refused again and again"),
    ("slow", "answers late by one or two seconds, again and again"),
    (
        "pause",
        "operator stopped for 20 or 60 s, alone and with another that takes over",
    ),
    ("two", "two operators that both lead"),
    (
        "clock",
        "the operator's clock an hour ahead or behind, or jumping from one to the other",
    ),
    (
        "restart",
        "etcd compacted and the API server started anew, in each step",
    ),
];

/// Those of which each step meets one, and in which proportion.
const SINGLE: [&str; 10] = [
    "kill", "error", "kill", "watch", "kill", "error", "kill", "error", "kill", "stale",
];

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) plan: Plan,
    /// What its faults are for, in their order.
    pub(super) parts: Vec<Part>,
}

/// Some of a plan's faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) family: &'static str,
    /// How many of the faults; with none the whole run is one.
    pub(super) faults: usize,
    /// Only the last of them has to come, and counts; else each does for itself.
    pub(super) is_one: bool,
}

/// What a plan from a file is told of as.
const FILE: &str = "file";

/// A plan of which nothing more is known.
pub(super) fn of_file(plan: Plan) -> Run {
    let parts = vec![Part {
        family: FILE,
        faults: plan.faults.len(),
        is_one: false,
    }];
    Run { plan, parts }
}

/// The runs of some families (all without any), of each so many, and of single faults so many for each step, drawn by a
/// seed: the same seed draws the same. They take turns, so that whoever ends early has seen something of each.
pub(super) fn choose(
    calm: &Outcome,
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
    let is_meant = |family: &str| families.is_empty() || families.iter().any(|f| f == family);
    let most = points.unwrap_or(usize::MAX);
    let mut random = Random::of(seed);
    let mut single = points::all(calm);
    single.retain(|point| is_meant(point.family));
    let mut runs: Vec<(usize, Run)> = lives(&single, most, seed, &mut random)
        .into_iter()
        .enumerate()
        .collect();
    for family in known.into_iter().filter(|family| is_meant(family)) {
        let mut of_family = whole_lives::of(family);
        random.shuffle(&mut of_family);
        of_family.truncate(most);
        runs.extend(of_family.into_iter().enumerate());
    }
    runs.sort_by_key(|(turn, _)| *turn);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// Lives in which each step meets one fault, until all were met.
fn lives(points: &[Point], most: usize, seed: u64, random: &mut Random) -> Vec<Run> {
    let mut by_step: Vec<Vec<Point>> = Vec::new();
    for (number, step) in steps::names().into_iter().enumerate() {
        let of_step: Vec<Point> = points.iter().filter(|p| p.step == step).cloned().collect();
        // Otherwise a life would meet the same kind in all its steps.
        by_step.push(in_turn(&of_step, most, number * 3, random));
    }
    let count = by_step.iter().map(Vec::len).max().unwrap_or_default();
    let life = |n: usize| {
        let met: Vec<&Point> = by_step.iter().filter_map(|points| points.get(n)).collect();
        Run {
            parts: met.iter().map(|point| part_of(point)).collect(),
            plan: Plan {
                name: format!("life-{seed}-{n}"),
                faults: met.into_iter().flat_map(|point| point.faults.clone()).collect(),
                ..Plan::default()
            },
        }
    };
    (0..count).map(life).collect()
}

fn part_of(point: &Point) -> Part {
    Part {
        family: point.family,
        faults: point.faults.len(),
        is_one: true,
    }
}

/// The points of one step, of each family so many, in the proportion of [`SINGLE`] from a place in it on.
fn in_turn(points: &[Point], most: usize, from: usize, random: &mut Random) -> Vec<Point> {
    let mut families: Vec<(&str, Vec<Point>)> = Vec::new();
    for (family, _) in FAMILIES {
        let mut of_family: Vec<Point> = points.iter().filter(|p| p.family == family).cloned().collect();
        random.shuffle(&mut of_family);
        of_family.truncate(most);
        families.push((family, of_family));
    }
    let mut order = Vec::new();
    let mut turns = SINGLE.iter().cycle().skip(from % SINGLE.len());
    while families.iter().any(|(_, left)| !left.is_empty()) {
        let Some(turn) = turns.next() else { break };
        let left = families.iter_mut().find(|(family, _)| family == turn);
        order.extend(left.and_then(|(_, left)| left.pop()));
    }
    order
}

/// A count as plans have it.
pub(super) fn numbered(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::action::Action;
    use super::super::logins::Counts;
    use super::super::proxy::Seen;
    use super::super::request::Asked;
    use super::*;

    /// Eight writes, a look and three events in each of two steps.
    fn calm() -> Outcome {
        let mut all = Vec::new();
        for step in ["create", "scale"] {
            let seen = |method: &str, target: &str| Seen {
                who: 0,
                step,
                asked: Asked::parse(method, target).unwrap(),
                code: 200,
                fault: None,
            };
            all.push(seen("GET", "/api/v1/namespaces/a/secrets?watch=true"));
            all.push(seen("GET", "/api/v1/namespaces/a/secrets/s"));
            all.extend((0..8).map(|_| seen("PATCH", "/apis/apps/v1/namespaces/a/deployments/d")));
            all.push(seen("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/l"));
        }
        Outcome {
            rests: Vec::new(),
            ledger: Vec::new(),
            commands: 0,
            seen: all,
            told: [
                (("create", "secrets".to_owned()), 3),
                (("scale", "secrets".to_owned()), 3),
            ]
            .into(),
            came: Vec::new(),
            kills: 0,
            deaths: 0,
            unserved: Duration::ZERO,
            logins: Counts::default(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn there_is_a_kill_before_and_after_each_write_and_at_each_event() {
        let points = points::all(&calm());
        let kills = points.iter().filter(|p| p.family == "kill" && p.step == "scale");
        assert_eq!(kills.count(), 2 * 8 + 3);
        let names: BTreeSet<&str> = points.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names.len(), points.len(), "each has a name of its own");
    }

    #[test]
    fn each_step_of_a_life_meets_at_most_one_fault_and_none_is_left_out() {
        let calm = calm();
        let runs = choose(&calm, &["kill".into(), "stale".into()], None, 1).unwrap();
        let mut met = 0;
        for run in &runs {
            let faults: usize = run.parts.iter().map(|part| part.faults).sum();
            assert_eq!(faults, run.plan.faults.len());
            assert!(run.parts.len() <= 2, "{run:?}");
            met += run.parts.len();
        }
        let all = points::all(&calm);
        let meant = all.iter().filter(|p| p.family == "kill" || p.family == "stale");
        assert_eq!(met, meant.count());
        let names: BTreeSet<&str> = runs.iter().map(|r| r.plan.name.as_str()).collect();
        assert_eq!(names.len(), runs.len());
        assert!(names.iter().all(|n| !n.contains('/') && !n.contains(' ')));
    }

    #[test]
    fn the_same_seed_draws_the_same_runs() {
        let draw = |seed| -> Vec<Plan> {
            let families = ["error".into(), "kill".into()];
            let chosen = choose(&calm(), &families, Some(5), seed).unwrap();
            chosen.into_iter().map(|r| r.plan).collect()
        };
        assert_eq!(draw(1).len(), 10, "five of each for each step");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(choose(&calm(), &["kil".into()], None, 1).is_err());
    }

    #[test]
    fn every_family_has_runs_and_only_a_new_api_server_needs_to_be_alone() {
        for (family, _) in FAMILIES {
            let runs = choose(&calm(), &[family.to_owned()], Some(2), 1).unwrap();
            assert!(!runs.is_empty(), "{family}");
            assert!(
                runs.iter().all(|r| r.plan.is_alone() == (family == "restart")),
                "{family}"
            );
        }
        let runs = choose(&calm(), &["kills".into()], None, 1).unwrap();
        assert!(
            runs.iter()
                .all(|r| r.plan.faults.iter().all(|f| f.action.kills()))
        );
        assert!(runs.iter().any(|r| r.plan.faults[0].action == Action::KillAfter));
    }
}
