//! Lives in which something is wrong all the time, or at several places: no fault of theirs is told apart from the others.

use super::action::Action;
use super::plan::{Copied, Fault, Plan, Which};
use super::plans::{Part, Run};
use super::points::refusals;
use super::steps;

const HOUR: i64 = 3600;
/// The second operator's, where both are to lead.
const ANOTHER_LEASE: &str = "another";

/// All of a family.
pub(super) fn of(family: &'static str) -> Vec<Run> {
    let plans = match family {
        "kills" => kills(),
        "errors" => errors(),
        "slow" => slow(),
        "pause" => pause(),
        "two" => two(),
        "clock" => clock(),
        "restart" => restart(),
        _ => Vec::new(),
    };
    let run = |plan: Plan| Run {
        parts: vec![Part {
            family,
            faults: plan.faults.len(),
            is_one: false,
        }],
        plan,
    };
    plans.into_iter().map(run).collect()
}

fn plan(name: String, copies: Vec<Copied>, faults: Vec<Fault>) -> Plan {
    Plan { name, copies, faults }
}

fn alone(name: String, fault: Fault) -> Plan {
    plan(name, Vec::new(), vec![fault])
}

fn kills() -> Vec<Plan> {
    let mut plans = Vec::new();
    for (step, word) in [
        (3, "after"),
        (4, "after"),
        (5, "after"),
        (7, "after"),
        (11, "after"),
        (5, "before"),
        (7, "before"),
        (11, "before"),
    ] {
        for first in [1, 2, 3] {
            let action = if word == "before" {
                Action::KillBefore
            } else {
                Action::KillAfter
            };
            let fault = Fault::once(Which::writes(), first, action).each(step);
            plans.push(alone(format!("kills-{word}-{first}-each-{step}"), fault));
        }
    }
    plans
}

fn errors() -> Vec<Plan> {
    let mut plans = Vec::new();
    for (word, action) in refusals() {
        for step in [3, 4, 5] {
            let fault = Fault::once(Which::writes(), 1, action.clone()).each(step);
            plans.push(alone(format!("{word}-each-{step}"), fault));
        }
    }
    plans
}

fn slow() -> Vec<Plan> {
    let each = |on: Which, every: u32, millis: u64, word: &str| {
        let fault = Fault::once(on, 1, Action::Delay { millis }).each(every);
        alone(format!("slow-{word}-each-{every}"), fault)
    };
    vec![
        each(Which::writes(), 2, 1000, "writes"),
        each(Which::writes(), 3, 2000, "writes"),
        each(Which::reads(), 1, 1000, "reads"),
        each(Which::default(), 3, 1000, "all"),
    ]
}

/// Longer than a lease lasts, and a minute.
fn pause() -> Vec<Plan> {
    let stopped = |step: &str, nth: u32, seconds: u64| {
        Fault::once(Which::writes(), nth, Action::PauseAfter { seconds }).within(step)
    };
    let both = || vec![Copied::default(), Copied::default()];
    vec![
        plan(
            "paused-20-replaced".into(),
            both(),
            vec![
                stopped("create", 9, 20),
                stopped("image", 3, 20),
                stopped("failing", 1, 20),
            ],
        ),
        plan(
            "paused-20-replaced-later".into(),
            both(),
            vec![
                stopped("create", 20, 20),
                stopped("scale", 1, 20),
                stopped("back", 6, 20),
            ],
        ),
        plan(
            "paused-60-replaced".into(),
            both(),
            vec![stopped("image", 5, 60), stopped("delete", 1, 60)],
        ),
        plan(
            "paused-20-alone".into(),
            Vec::new(),
            vec![
                stopped("create", 5, 20),
                stopped("image", 8, 20),
                stopped("down", 1, 20),
            ],
        ),
        plan(
            "paused-60-alone".into(),
            Vec::new(),
            vec![stopped("image", 2, 60)],
        ),
    ]
}

fn two() -> Vec<Plan> {
    let both = || {
        vec![
            Copied::default(),
            Copied {
                lease: Some(ANOTHER_LEASE.to_owned()),
                ..Copied::default()
            },
        ]
    };
    let killed = Fault::once(Which::writes(), 6, Action::KillAfter).each(13);
    let slowed = Fault::once(Which::writes(), 1, Action::Delay { millis: 700 }).each(3);
    vec![
        plan("two-leaders".into(), both(), Vec::new()),
        plan("two-leaders-killed".into(), both(), vec![killed]),
        plan("two-leaders-slow".into(), both(), vec![slowed]),
    ]
}

fn clock() -> Vec<Plan> {
    let copy = |clock: &[i64]| Copied {
        clock: clock.to_vec(),
        ..Copied::default()
    };
    let killed = || Fault::once(Which::writes(), 7, Action::KillAfter).each(11);
    let taken_over = Fault::once(Which::writes(), 4, Action::PauseAfter { seconds: 20 }).within("image");
    let jumping = [HOUR, -HOUR].repeat(20);
    vec![
        plan("clock-ahead".into(), vec![copy(&[HOUR])], Vec::new()),
        plan("clock-behind".into(), vec![copy(&[-HOUR])], Vec::new()),
        plan("clock-jumping".into(), vec![copy(&jumping)], vec![killed()]),
        plan(
            "clock-of-the-next-leader".into(),
            vec![copy(&[HOUR]), copy(&[-HOUR])],
            vec![taken_over],
        ),
    ]
}

/// In each step at an early write, and in each at a later one.
fn restart() -> Vec<Plan> {
    let at = |nth: u32| {
        let fault = |step: &&str| Fault::once(Which::writes(), nth, Action::RestartApi).within(step);
        plan(
            format!("restarted-at-{nth}"),
            Vec::new(),
            steps::names().iter().map(fault).collect(),
        )
    };
    vec![at(1), at(3)]
}
