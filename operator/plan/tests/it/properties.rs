//! Histories at random: users edit and meddle, containers restart, Jobs fail, Secrets vanish. After every step what has to
//! hold holds. What must hold at each write is asserted by the world itself.
//!
//! `PROPTEST_CASES` sets the number of histories. Fifty share a beginning and go on each in its own way, from some
//! point of it. The same seed gives the same ones; `ACCORD_SEED` (0 to 255) is another.

use std::sync::{Arc, Mutex};

use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::spec::{Isolation, OnUnverifiable, Verification, WhenNoneAgree};
use accord_crds::status::MESSAGE_LIMIT;
use accord_crds::{PodReason, Verdict};
use accord_plan::identity::fingerprint;
use accord_plan::{Kind, Object, ObjectKey};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::support::World;
use crate::support::fixtures::orders;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Scale(i32),
    Image(u8),
    Seed(u8),
    Command(bool),
    Retry(u8),
    /// Migrations of an image fail from now on, or don't.
    Migration(u8, bool),
    /// Pods of an image diverge from now on, or don't.
    Diverge(u8, bool),
    Restart(usize),
    /// A pod is found otherwise from now on.
    Turn(usize, u8),
    /// The canary fails everywhere from now on, or doesn't.
    Canary(bool),
    /// Another policy for those that diverge.
    Policy(u8),
    /// Seconds go by.
    Sleep(i64),
    /// Somebody changes a field of a child.
    Drift(usize),
    /// Somebody deletes a child that can be made anew.
    Vanish(usize),
    /// Somebody deletes a Secret.
    Lose(usize),
    /// Some passes, too few to settle.
    Passes(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..5).prop_map(Event::Scale),
        3 => (1..4_u8).prop_map(Event::Image),
        1 => (0..3_u8).prop_map(Event::Seed),
        1 => any::<bool>().prop_map(Event::Command),
        2 => (1..4_u8).prop_map(Event::Retry),
        1 => (2..4_u8, any::<bool>()).prop_map(|(i, b)| Event::Migration(i, b)),
        1 => (2..4_u8, any::<bool>()).prop_map(|(i, b)| Event::Diverge(i, b)),
        2 => any::<usize>().prop_map(Event::Restart),
        3 => (any::<usize>(), 0..3_u8).prop_map(|(n, v)| Event::Turn(n, v)),
        1 => any::<bool>().prop_map(Event::Canary),
        1 => any::<u8>().prop_map(Event::Policy),
        1 => (1..400_i64).prop_map(Event::Sleep),
        2 => any::<usize>().prop_map(Event::Drift),
        1 => any::<usize>().prop_map(Event::Vanish),
        1 => any::<usize>().prop_map(Event::Lose),
        3 => (1..8_usize).prop_map(Event::Passes),
    ]
}

fn image(n: u8) -> String {
    format!("registry.example/orders:{n}")
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Scale(replicas) => world.edit(|s| s.replicas = *replicas),
        Event::Image(n) => world.edit(|s| s.image = image(*n)),
        Event::Seed(n) => world.edit(|s| s.seeds[0].command = vec!["seed".into(), n.to_string()]),
        Event::Command(set) => {
            let command = if *set {
                vec!["serve".to_owned()]
            } else {
                Vec::new()
            };
            world.edit(|s| s.server.get_or_insert_default().command = command);
        }
        Event::Retry(n) => world.annotate(ANNOTATION_RETRY, &n.to_string()),
        Event::Migration(n, true) => world.fate.fail("migration", &image(*n), 1),
        Event::Migration(n, false) => world.fate.mend("migration", &image(*n)),
        Event::Diverge(n, true) => drop(world.fate.diverging.insert(image(*n))),
        Event::Diverge(n, false) => drop(world.fate.diverging.remove(&image(*n))),
        Event::Restart(n) => {
            if let Some(pod) = pick(&world.servers(), *n).map(|p| p.key.name.clone()) {
                world.restart(&pod);
            }
        }
        Event::Turn(n, verdict) => {
            if let Some(pod) = pick(&world.servers(), *n).map(|p| p.key.name.clone()) {
                let (verdict, reason) = [
                    (Verdict::Agrees, PodReason::Verified),
                    (Verdict::Diverges, PodReason::LocalSession),
                    (Verdict::Unknown, PodReason::Slow),
                ][usize::from(*verdict)];
                world.turn(&[pod], verdict, reason);
            }
        }
        Event::Canary(fails) => {
            world.fate.every_pod = fails.then_some((Verdict::Unknown, PodReason::CanaryMissing));
            world.turn(&[], Verdict::Unknown, PodReason::CanaryMissing);
        }
        Event::Policy(bits) => {
            let replicas = world.service.as_ref().unwrap().spec.replicas;
            let isolation = Isolation {
                min_available: (bits & 1 == 1 && replicas > 2).then_some(2),
                replace_after_seconds: (bits & 2 == 2).then_some(20),
            };
            world.edit(|s| {
                s.verification = Some(Verification {
                    isolation: Some(isolation),
                    when_none_agree: (bits & 4 == 4).then_some(WhenNoneAgree::ServeOne),
                    on_unverifiable: (bits & 8 == 8).then_some(OnUnverifiable::Admit),
                    ..Verification::default()
                });
            });
        }
        Event::Sleep(seconds) => world.sleep(*seconds),
        Event::Drift(n) => drift(world, *n),
        Event::Vanish(n) => {
            let fleeting = [
                Kind::Deployment,
                Kind::Service,
                Kind::StatefulSet,
                Kind::PodDisruptionBudget,
                Kind::Pod,
            ];
            remove(world, *n, |key| fleeting.contains(&key.kind));
        }
        Event::Lose(n) => remove(world, *n, |key| key.kind == Kind::Secret),
        Event::Passes(n) => {
            for _ in 0..*n {
                world.pass();
                world.tick();
            }
        }
    }
}

fn pick<T>(list: &[T], n: usize) -> Option<&T> {
    (!list.is_empty()).then(|| &list[n % list.len()])
}

fn remove(world: &mut World, n: usize, which: impl Fn(&ObjectKey) -> bool) {
    let keys: Vec<ObjectKey> = world.api.iter().map(|o| o.key.clone()).filter(which).collect();
    if let Some(key) = pick(&keys, n) {
        world.remove(key.kind, &key.name);
    }
}

/// What people do with kubectl.
fn drift(world: &mut World, n: usize) {
    const IMAGE: &str = "/spec/template/spec/containers/0/image";
    const ENV: &str = "/spec/template/spec/containers/0/env";
    let debug = json!([{"name": "DEBUG", "value": "1"}]);
    let drifts = [
        (Kind::Deployment, "orders", "/spec/replicas", json!(7)),
        (
            Kind::Deployment,
            "orders",
            IMAGE,
            json!("registry.example/other:1"),
        ),
        (Kind::Deployment, "orders", ENV, debug.clone()),
        (Kind::StatefulSet, "orders-postgres", ENV, debug),
        (Kind::StatefulSet, "orders-cache", "/spec/replicas", json!(0)),
        (Kind::Service, "orders", "/spec/selector", json!({"app": "other"})),
        (Kind::Service, "orders", "/spec/ports/0/port", json!(8080)),
    ];
    let (kind, name, pointer, value) = drifts[n % drifts.len()].clone();
    if world.api.get(kind, name).is_some() {
        world.meddle(kind, name, |v| {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            if let Some(parent) = v.pointer_mut(parent) {
                parent[field] = value;
            }
        });
    }
}

/// Every secret value that was made at random and is in the cluster.
fn secrets(world: &World) -> Vec<String> {
    let made = |text: &String| text.starts_with("secret-");
    let secrets = world.api.of(Kind::Secret);
    let values = secrets.iter().flat_map(|s| {
        let keys = s.value["data"].as_object().into_iter().flat_map(|m| m.keys());
        keys.filter_map(|k| s.secret_text(k))
    });
    values.filter(made).collect()
}

/// What holds at every time.
fn always(world: &World) {
    let service = world.service.as_ref().unwrap();
    let Some(status) = &service.status else { return };
    for condition in &status.conditions {
        assert!(condition.message.len() <= MESSAGE_LIMIT, "{}", condition.message);
    }
    let text = serde_json::to_string(status).unwrap();
    assert!(text.len() <= 16 * 1024, "the status has {} bytes", text.len());
    let told = format!("{text} {:?} {:?}", world.plan.events, world.plan);
    for secret in secrets(world) {
        assert!(!told.contains(&secret), "{secret} is told");
    }
    // The key ring that was recorded is the one that is there: none is ever made in its place.
    let recorded = status
        .identity
        .as_ref()
        .and_then(|i| i.key_ring_fingerprint.as_deref());
    if let (Some(recorded), Some(ring)) = (recorded, key_ring(world)) {
        assert_eq!(
            fingerprint(&ring).as_deref(),
            Some(recorded),
            "{}",
            world.last_steps()
        );
    }
}

fn key_ring(world: &World) -> Option<Arc<Object>> {
    world
        .api
        .of(Kind::Secret)
        .into_iter()
        .find(|s| s.key.name == "orders-keys")
}

fn recorded_ring(world: &World) -> Option<String> {
    world
        .service
        .as_ref()?
        .status
        .as_ref()?
        .identity
        .as_ref()?
        .key_ring_fingerprint
        .clone()
}

/// What holds once everything has settled.
fn settled(world: &mut World) {
    world.settle();
    let before = world.service.as_ref().unwrap().status.clone();
    let writes = world.writes;
    world.pass();
    assert_eq!(
        world.writes,
        writes,
        "a settled world is written to\n{}",
        world.last_steps()
    );
    assert_eq!(world.service.as_ref().unwrap().status, before);
}

/// One more thing happens, and the operator looks once.
fn go_on(world: &mut World, event: &Event) -> Result<(), TestCaseError> {
    let ring = recorded_ring(world);
    happen(world, event);
    world.pass();
    world.tick();
    always(world);
    prop_assert!(
        ring.is_none() || ring == recorded_ring(world),
        "another key ring is recorded"
    );
    Ok(())
}

/// A history that begins as another one does.
#[derive(Clone, Debug)]
struct Branch {
    /// After how many events of that one.
    after: usize,
    events: Vec<Event>,
}

fn branch() -> impl Strategy<Value = Branch> {
    let events = prop::collection::vec(event(), 1..4);
    (any::<usize>(), events).prop_map(|(after, events)| Branch { after, events })
}

/// Histories that share a beginning: to bring a service up isn't paid for in each.
const BRANCHES: usize = 49;

/// A beginning, to its end, and what branches off from it.
fn histories(beginning: &[Event], branches: &[Branch]) -> Result<(), TestCaseError> {
    let mut world = World::new();
    world.create(orders());
    let mut points = Vec::with_capacity(beginning.len());
    for event in beginning {
        go_on(&mut world, event)?;
        points.push(world.clone());
    }
    settled(&mut world);
    always(&world);
    points.push(world);
    for branch in branches {
        let mut world = points[branch.after % points.len()].clone();
        for event in &branch.events {
            go_on(&mut world, event)?;
        }
        settled(&mut world);
        always(&world);
    }
    Ok(())
}

/// How many parts the histories come in, whatever the machine: each has its seed, so that what failed fails again.
const PARTS: u8 = 16;

#[test]
fn any_history() {
    let each = usize::try_from(cases()).unwrap().div_ceil(PARTS.into());
    let parts = Mutex::new(0..PARTS);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = parts.lock().unwrap().next();
                    let Some(part) = next else { break };
                    live_through(part, each);
                }
            });
        }
    });
}

fn live_through(part: u8, each: usize) {
    let config = ProptestConfig {
        cases: u32::try_from(each.div_ceil(BRANCHES + 1)).unwrap(),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let seed: u8 = std::env::var("ACCORD_SEED").map_or(0, |s| s.parse().unwrap());
    let mut bytes = [seed; 32];
    bytes[0] = part;
    let beginning = prop::collection::vec(event(), 1..12);
    let branches = prop::collection::vec(branch(), each.min(BRANCHES + 1) - 1);
    let outcome = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
        .run(&(beginning, branches), |(beginning, branches)| {
            histories(&beginning, &branches)
        });
    if let Err(error) = outcome {
        panic!("part {part}, seed {seed}: {error}");
    }
}

pub(crate) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(64)
}

#[test]
fn sixty_diverging_replicas_fit_into_the_status() {
    let mut world = World::new();
    let mut spec = orders();
    spec.replicas = 60;
    world.create(spec);
    world.settle();
    world.fate.diverging.insert(image(1));
    world.fate.evidence = "login answered 401, expected 200; ".repeat(20);
    world.annotate(ANNOTATION_RETRY, "1");
    world.settle();
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let consistency = status.consistency.as_ref().unwrap();
    assert_eq!((consistency.agreeing, consistency.total), (0, 60));
    assert!(consistency.replicas[0].message.starts_with("login answered 401"));
    always(&world);
}
