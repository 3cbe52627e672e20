//! What follows from verdicts: who is isolated, evicted, admitted unproved or serves alone, and that nobody is when it would
//! leave users with nothing. That enough are left at every single write is asserted by the world.

use std::time::Duration;

use accord_crds::spec::{Isolation, OnUnverifiable, Verification, WhenNoneAgree};
use accord_crds::{AuthServiceSpec, PodReason, Verdict};
use accord_plan::Kind;
use serde_json::Value;

use crate::support::World;
use crate::support::api::array;
use crate::support::controllers::is_true;
use crate::support::fixtures::orders;

const IMAGE: &str = "registry.example/orders:1";
const GATE: &str = "accord.dev/agrees";

fn with(replicas: i32, verification: Verification) -> AuthServiceSpec {
    AuthServiceSpec {
        replicas,
        verification: Some(verification),
        ..orders()
    }
}

fn complete(replicas: i32, verification: Verification) -> World {
    let mut world = World::new();
    world.create(with(replicas, verification));
    world.settle();
    assert_eq!(condition(&world, "Ready").0, "AsDeclared");
    world
}

fn names(world: &World) -> Vec<String> {
    world.servers().iter().map(|p| p.key.name.clone()).collect()
}

/// The pods that take traffic.
fn serving(world: &World) -> Vec<String> {
    let pods = world.servers();
    let ready = pods.iter().filter(|p| is_true(&p.value, "Ready"));
    ready.map(|p| p.key.name.clone()).collect()
}

fn gate(world: &World, pod: &str) -> Value {
    let conditions = array(&world.api.get(Kind::Pod, pod).unwrap()["status"]["conditions"]);
    conditions
        .into_iter()
        .find(|c| c["type"] == GATE)
        .unwrap_or_default()
}

fn condition(world: &World, kind: &str) -> (String, String) {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let condition = status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    (condition.reason.clone(), condition.message.clone())
}

/// One pod is found diverging.
fn diverges(world: &mut World, pod: &str, reason: PodReason) {
    world.turn(&[pod.to_owned()], Verdict::Diverges, reason);
}

/// Passes until the pods' gates and the status have followed, and before it is time for an eviction.
fn follow(world: &mut World) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..8 {
        world.pass();
        told.extend(world.plan.events.iter().map(|e| e.reason.to_string()));
        world.tick();
    }
    told
}

#[test]
fn one_that_diverges_is_isolated_and_evicted_when_it_is_time() {
    let mut world = complete(3, Verification::default());
    let odd = names(&world)[1].clone();
    diverges(&mut world, &odd, PodReason::LocalSession);
    let told = follow(&mut world);
    assert!(told.contains(&"ReplicaIsolated".to_owned()), "{told:?}");
    assert_eq!(serving(&world).len(), 2);
    assert_eq!(gate(&world, &odd)["reason"], "LocalSession");
    world.pass();
    let left = world.plan.requeue.unwrap();
    assert!((280..=300).contains(&left.as_secs()), "{left:?}");
    world.sleep(i64::try_from(left.as_secs()).unwrap() - 1);
    world.pass();
    assert!(world.evicted.is_empty(), "a second too early");
    assert_eq!(
        world.plan.requeue,
        Some(Duration::from_secs(1)),
        "looked at again just then"
    );
    world.sleep(1);
    world.pass();
    assert_eq!(world.evicted, [odd.as_str()]);
    let told: Vec<_> = world.plan.events.iter().map(|e| e.message.as_str()).collect();
    assert!(
        told.iter()
            .any(|m| m.contains("isolated for 300 s") && m.contains(&odd)),
        "{told:?}"
    );
    world.settle();
    assert_eq!(serving(&world).len(), 3, "its successor agrees");
    assert!(!names(&world).contains(&odd));
    assert_eq!(condition(&world, "Ready").0, "AsDeclared");
}

#[test]
fn one_that_heals_in_time_is_let_in_again() {
    let mut world = complete(3, Verification::default());
    let odd = names(&world)[0].clone();
    diverges(&mut world, &odd, PodReason::LocalDatabase);
    follow(&mut world);
    world.sleep(200);
    world.turn(std::slice::from_ref(&odd), Verdict::Agrees, PodReason::Verified);
    world.settle();
    assert_eq!(serving(&world).len(), 3);
    assert!(world.evicted.is_empty());
}

#[test]
fn several_are_evicted_one_at_a_time() {
    let isolation = Isolation {
        min_available: Some(2),
        replace_after_seconds: Some(60),
    };
    let mut world = complete(
        5,
        Verification {
            isolation: Some(isolation),
            ..Verification::default()
        },
    );
    let odd: Vec<String> = names(&world).into_iter().take(3).collect();
    // Three on a stale database against two on the right one: these are kept.
    world.turn(&odd, Verdict::Diverges, PodReason::LocalDatabase);
    follow(&mut world);
    assert_eq!(serving(&world), names(&world)[3..]);
    world.settle();
    let mut evicted = world.evicted.clone();
    evicted.sort();
    assert_eq!(evicted, odd, "{}", world.last_steps());
    assert_eq!(serving(&world).len(), 5);
}

#[test]
fn a_successor_that_diverges_too_is_not_evicted_and_stops_the_next_eviction_no_more_than_it_has_to() {
    let mut world = complete(4, Verification::default());
    let odd: Vec<String> = names(&world).into_iter().take(2).collect();
    world.turn(&odd, Verdict::Diverges, PodReason::LocalSession);
    follow(&mut world);
    world.fate.fails_when_new = Some((Verdict::Diverges, PodReason::LocalSession));
    world.settle();
    assert_eq!(world.evicted.len(), 2, "each once, and their successors never");
    assert_eq!(serving(&world).len(), 2);
}

#[test]
fn a_budget_that_forbids_an_eviction_keeps_the_pod() {
    let mut world = complete(3, Verification::default());
    let odd = names(&world)[0].clone();
    world.fate.budget_forbids = true;
    diverges(&mut world, &odd, PodReason::LocalSession);
    follow(&mut world);
    world.sleep(400);
    for _ in 0..3 {
        world.pass();
        let evicts = world
            .plan
            .actions
            .iter()
            .filter(|a| format!("{a:?}").contains("Evict"));
        assert_eq!(evicts.count(), 1, "asked again, for that one");
    }
    assert!(names(&world).contains(&odd));
    world.fate.budget_forbids = false;
    world.settle();
    assert_eq!(world.evicted, [odd]);
}

#[test]
fn a_restarted_operator_keeps_gates_and_the_time_of_isolation() {
    let mut world = complete(3, Verification::default());
    let odd = names(&world)[0].clone();
    diverges(&mut world, &odd, PodReason::LocalSession);
    follow(&mut world);
    let before = world
        .servers()
        .iter()
        .map(|p| gate(&world, &p.key.name))
        .collect::<Vec<_>>();
    world.sleep(250);
    world.forget();
    world.pass();
    let after = world
        .servers()
        .iter()
        .map(|p| gate(&world, &p.key.name))
        .collect::<Vec<_>>();
    assert_eq!(after, before, "without proofs gates stay");
    follow(&mut world);
    world.sleep(60);
    world.forget();
    world.pass();
    assert!(
        world.evicted.is_empty(),
        "not without evidence, although it is time"
    );
    follow(&mut world);
    assert_eq!(
        world.evicted,
        [odd],
        "and then at once: counted from the gate, not from the restart"
    );
}

#[test]
fn the_time_of_isolation_is_the_gates() {
    let mut world = complete(3, Verification::default());
    let odd = names(&world)[0].clone();
    diverges(&mut world, &odd, PodReason::LocalSession);
    follow(&mut world);
    world.sleep(250);
    world.forget();
    follow(&mut world);
    let left = world.plan.requeue.unwrap();
    assert!(
        left.as_secs() < 50,
        "counted from the gate, not from the restart: {left:?}"
    );
}

#[test]
fn two_against_two_leaves_the_two_that_agree() {
    let mut world = complete(4, Verification::default());
    let odd: Vec<String> = names(&world).into_iter().take(2).collect();
    world.turn(&odd, Verdict::Diverges, PodReason::KeyMismatch);
    follow(&mut world);
    assert_eq!(serving(&world), names(&world)[2..]);
}

#[test]
fn with_too_few_left_nobody_is_isolated() {
    let isolation = Isolation {
        min_available: Some(2),
        replace_after_seconds: None,
    };
    let mut world = complete(
        3,
        Verification {
            isolation: Some(isolation),
            ..Verification::default()
        },
    );
    let odd: Vec<String> = names(&world).into_iter().take(2).collect();
    world.turn(&odd, Verdict::Diverges, PodReason::KeyMismatch);
    world.settle();
    assert_eq!(serving(&world).len(), 3);
    assert!(world.evicted.is_empty());
    assert_eq!(condition(&world, "Ready").0, "ReplicasDiverge");
}

#[test]
fn when_all_diverge_what_takes_traffic_goes_on() {
    let mut world = complete(3, Verification::default());
    world.fate.every_pod = Some((Verdict::Diverges, PodReason::LocalSession));
    world.turn(&[], Verdict::Diverges, PodReason::LocalSession);
    world.settle();
    assert_eq!(serving(&world).len(), 3);
    let (reason, message) = condition(&world, "Ready");
    assert_eq!(reason, "ReplicasDiverge");
    assert!(message.starts_with("0 of 3 replicas agree"), "{message}");
}

#[test]
fn all_divergent_from_the_start_hold_or_serve_one() {
    for (choice, expected) in [(WhenNoneAgree::Hold, 0), (WhenNoneAgree::ServeOne, 1)] {
        let mut world = World::new();
        world.fate.diverging.insert(IMAGE.into());
        world.create(with(
            3,
            Verification {
                when_none_agree: Some(choice),
                ..Verification::default()
            },
        ));
        world.settle();
        assert_eq!(
            serving(&world).len(),
            expected,
            "{choice:?}\n{}",
            world.last_steps()
        );
    }
}

fn serves_one() -> Verification {
    Verification {
        when_none_agree: Some(WhenNoneAgree::ServeOne),
        ..Verification::default()
    }
}

#[test]
fn one_serves_alone_until_another_agrees() {
    let mut world = complete(3, serves_one());
    let all = names(&world);
    world.turn(&all, Verdict::Diverges, PodReason::LocalSession);
    world.settle();
    let oldest = world.servers();
    let oldest = oldest
        .iter()
        .min_by_key(|p| p.value["metadata"]["creationTimestamp"].to_string())
        .unwrap();
    assert_eq!(serving(&world), [oldest.key.name.as_str()]);
    assert_eq!(gate(&world, &oldest.key.name)["reason"], "ServesAlone");
    let (reason, message) = condition(&world, "Ready");
    assert_eq!(reason, "ServingOne");
    assert!(
        message.contains(&oldest.key.name) && message.contains("ServeOne"),
        "{message}"
    );
    assert!(world.evicted.is_empty(), "with nobody proved nobody is evicted");
    // It isn't proved: after a restart of the operator it is no witness.
    world.forget();
    world.pass();
    let targets = &world.plan.probe.as_ref().unwrap().targets;
    assert!(targets.iter().all(|t| !t.proved), "{targets:?}");
    assert_eq!(serving(&world).len(), 1);
    // Another one agrees: it takes over, the others are replaced.
    let healed = all.iter().find(|n| **n != oldest.key.name).unwrap().clone();
    world.turn(&[healed], Verdict::Agrees, PodReason::Verified);
    world.settle();
    assert_eq!(serving(&world).len(), 3);
    assert_eq!(condition(&world, "Ready").0, "AsDeclared");
}

fn admits() -> Verification {
    Verification {
        on_unverifiable: Some(OnUnverifiable::Admit),
        ..Verification::default()
    }
}

#[test]
fn a_canary_that_fails_everywhere_isolates_nobody() {
    for reason in [
        PodReason::CanaryMissing,
        PodReason::RateLimited,
        PodReason::RecipeMismatch,
        PodReason::ProbeBlocked,
    ] {
        let mut world = complete(3, Verification::default());
        world.fate.every_pod = Some((Verdict::Unknown, reason));
        world.turn(&[], Verdict::Unknown, reason);
        world.settle();
        assert_eq!(serving(&world).len(), 3, "{reason:?}");
        assert!(world.evicted.is_empty());
        let told = condition(&world, "ReplicasAgree").0;
        assert!(told == "VerificationBroken" || told == "ProbeBlocked", "{told}");
        // New ones wait.
        world.edit(|s| s.replicas = 5);
        world.settle();
        assert_eq!(serving(&world).len(), 3, "{reason:?}");
    }
}

#[test]
fn unverifiable_ones_are_admitted_where_that_is_declared_and_diverging_ones_never() {
    let mut world = complete(3, admits());
    world.fate.every_pod = Some((Verdict::Unknown, PodReason::CanaryMissing));
    world.turn(&[], Verdict::Unknown, PodReason::CanaryMissing);
    world.edit(|s| s.replicas = 5);
    let mut told = follow(&mut world);
    told.extend(follow(&mut world));
    assert!(told.contains(&"ReplicaAdmitted".to_owned()), "{told:?}");
    world.settle();
    assert_eq!(serving(&world).len(), 5);
    let reasons: Vec<_> = serving(&world)
        .iter()
        .map(|p| gate(&world, p)["reason"].clone())
        .collect();
    assert_eq!(
        reasons.iter().filter(|r| *r == "AdmittedUnproved").count(),
        2,
        "{reasons:?}"
    );
    let (reason, message) = condition(&world, "ReplicasAgree");
    assert_eq!(reason, "VerificationBroken");
    assert!(message.contains("2 take traffic unproved"), "{message}");
    let targets = &world.plan.probe.as_ref().unwrap().targets;
    assert_eq!(
        targets.iter().filter(|t| t.proved).count(),
        3,
        "an unproved one is no witness"
    );
    // The canary is back: those that agree are proved now, and one that diverges goes.
    world.fate.every_pod = None;
    let odd = serving(&world)
        .into_iter()
        .find(|p| gate(&world, p)["reason"] == "AdmittedUnproved")
        .unwrap();
    diverges(&mut world, &odd, PodReason::LocalSession);
    follow(&mut world);
    assert_eq!(serving(&world).len(), 4);
    assert_eq!(gate(&world, &odd)["status"], "False");
    world.settle();
    assert_eq!(condition(&world, "Ready").0, "AsDeclared");
}

#[test]
fn a_diverging_one_is_not_admitted() {
    let mut world = World::new();
    world.fate.diverging.insert(IMAGE.into());
    world.create(with(3, admits()));
    world.settle();
    assert!(serving(&world).is_empty());
}

#[test]
fn the_policy_makes_no_revision() {
    let mut world = complete(3, Verification::default());
    let before = names(&world);
    world.edit(|s| {
        s.verification = Some(Verification {
            isolation: Some(Isolation {
                min_available: Some(2),
                replace_after_seconds: Some(60),
            }),
            ..serves_one()
        });
    });
    world.settle();
    assert_eq!(names(&world), before, "no pod is replaced for it");
}

#[test]
fn a_first_proved_pod_that_diverges_later_is_the_last_and_stays() {
    let mut world = complete(1, Verification::default());
    let all = names(&world);
    world.turn(&all, Verdict::Diverges, PodReason::LocalSession);
    world.settle();
    assert_eq!(serving(&world), all);
}

/// A first declaration whose pods keep their state to themselves.
fn broken_first() -> World {
    const BROKEN: &str = "registry.example/orders:broken";
    let mut world = World::new();
    world.fate.lonely.insert(BROKEN.into());
    world.create(AuthServiceSpec {
        image: BROKEN.into(),
        ..with(3, Verification::default())
    });
    world.settle();
    world
}

#[test]
fn a_fix_is_not_held_up_by_what_it_fixes() {
    let mut world = broken_first();
    // One alone looks right; the others contradict it and stay out.
    assert_eq!(serving(&world).len(), 1);
    assert_eq!(condition(&world, "Ready").0, "ReplicasDiverge");

    world.edit(|spec| spec.image = IMAGE.into());
    world.settle();
    assert_eq!(
        condition(&world, "Ready").0,
        "AsDeclared",
        "{}",
        world.last_steps()
    );
    assert_eq!(serving(&world).len(), 3);
}

#[test]
fn what_was_never_released_serves_until_its_successor_does() {
    let mut world = broken_first();
    let old = serving(&world);
    world.edit(|spec| spec.image = IMAGE.into());
    let mut closed = false;
    for _ in 0..60 {
        world.pass();
        let gate = gate(&world, &old[0]);
        if gate["reason"] == "Superseded" {
            closed = true;
            assert!(
                serving(&world).iter().any(|pod| *pod != old[0]),
                "somebody else serves"
            );
            break;
        }
        world.tick();
        assert!(!serving(&world).is_empty());
    }
    assert!(closed, "{}", world.last_steps());
}

#[test]
fn as_many_successors_serve_as_have_to_be_left() {
    let mut world = World::new();
    let isolation = Isolation {
        min_available: Some(2),
        ..Isolation::default()
    };
    world.create(with(
        3,
        Verification {
            isolation: Some(isolation),
            ..Verification::default()
        },
    ));
    while serving(&world).len() < 3 {
        world.pass();
        world.tick();
    }
    // All three serve, and nothing is released yet: that is the pass after this.
    world.edit(|spec| spec.server.get_or_insert_default().command = vec!["serve".into()]);
    for _ in 0..60 {
        world.pass();
        world.tick();
        assert!(serving(&world).len() >= 2, "{}", world.last_steps());
    }
    assert_eq!(condition(&world, "Ready").0, "AsDeclared");
}
