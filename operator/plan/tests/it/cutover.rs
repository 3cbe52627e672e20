//! From one revision to another that doesn't honour its sessions. That users never meet both, and never nobody, is asserted
//! by the world at every write and every step of the cluster.

use accord_crds::meta::{ANNOTATION_ACCEPT_INCOMPATIBLE, ANNOTATION_RETRY, GATE_AGREES, LABEL_REVISION};
use accord_crds::spec::Isolation;
use accord_crds::status::CandidateState;
use accord_crds::{AuthServiceStatus, PodReason, Verdict};
use accord_plan::{Kind, Object};
use proptest::prelude::*;
use rstest::rstest;

use crate::support::World;
use crate::support::controllers::is_true;
use crate::support::fixtures::orders;

const FIRST: &str = "registry.example/orders:1";
const SECOND: &str = "registry.example/orders:2";
const THIRD: &str = "registry.example/orders:3";

/// The first image is released, and users are to be served from now on. The second one honours only its own sessions.
pub(crate) fn released() -> World {
    let mut world = World::new();
    world.fate.foreign.insert(SECOND.into());
    world.create(orders());
    world.settle();
    world.always_served = true;
    world
}

pub(crate) fn declare(world: &mut World, image: &str) {
    world.edit(|s| image.clone_into(&mut s.image));
}

fn status(world: &World) -> &AuthServiceStatus {
    world.service.as_ref().unwrap().status.as_ref().unwrap()
}

fn candidate(world: &World) -> String {
    status(world).candidate.as_ref().unwrap().revision.clone()
}

/// The user accepts the candidate that status names.
pub(crate) fn accept(world: &mut World) {
    let revision = candidate(world);
    world.annotate(ANNOTATION_ACCEPT_INCOMPATIBLE, &revision);
}

fn withdrawn(world: &World) -> (CandidateState, String, String) {
    let candidate = status(world).candidate.clone();
    let candidate = candidate.unwrap_or_else(|| panic!("no candidate\n{}", world.last_steps()));
    (candidate.state, candidate.reason, candidate.message)
}

fn ready(world: &World) -> String {
    let conditions = &status(world).conditions;
    conditions
        .iter()
        .find(|c| c.type_ == "Ready")
        .unwrap()
        .reason
        .clone()
}

/// All is as it is after any other rollout of an image.
fn done(world: &World, image: &str) {
    assert_eq!(
        world.serving(),
        [(image.to_owned(), 3)].into(),
        "{}",
        world.last_steps()
    );
    assert_eq!(ready(world), "AsDeclared", "{}", world.last_steps());
    let service = world.api.get(Kind::Service, "orders").unwrap();
    assert!(service["spec"]["selector"][LABEL_REVISION].is_null(), "{service}");
    let deployment = &world.api.get(Kind::Deployment, "orders").unwrap()["spec"];
    assert_eq!(deployment["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    assert_eq!(deployment["minReadySeconds"].as_i64().unwrap_or(0), 0);
    assert!(status(world).candidate.is_none());
}

/// Withdrawn with a reason, and users are where they were.
fn stopped(world: &World, reason: &str) -> String {
    let (state, told, message) = withdrawn(world);
    assert_eq!(
        (state, told.as_str()),
        (CandidateState::Withdrawn, reason),
        "{}",
        world.last_steps()
    );
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
    assert_eq!(ready(world), "CandidateWithdrawn");
    message
}

/// Passes until something is so.
fn until(world: &mut World, what: &str, so: impl Fn(&World) -> bool) {
    for _ in 0..100 {
        if so(world) {
            return;
        }
        world.pass();
        world.tick();
    }
    panic!("never {what}\n{}", world.last_steps());
}

fn is_proving(world: &World) -> bool {
    let service = world.api.get(Kind::Service, "orders").unwrap();
    service["spec"]["selector"][LABEL_REVISION].is_string() && world.servers().len() == 6
}

#[test]
fn incompatible_revisions_stop_the_rollout_and_tell_the_way_out() {
    let mut world = released();
    declare(&mut world, SECOND);
    world.settle();
    let message = stopped(&world, "Incompatible");
    let way_out = format!(
        "kubectl annotate --overwrite auth orders accord.dev/accept-incompatible={}",
        candidate(&world)
    );
    assert!(message.contains(&way_out), "{message}");
    assert!(message.contains(": LocalSession: login answered"), "{message}");
    let conditions = &status(&world).conditions;
    let told = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert!(told.message.contains(&way_out), "{}", told.message);
}

#[test]
fn an_accepted_one_takes_over_in_one_step() {
    let mut world = released();
    declare(&mut world, SECOND);
    world.settle();
    accept(&mut world);
    until(&mut world, "proving", is_proving);
    until(&mut world, "told", |w| ready(w) == "CuttingOver");
    assert_eq!(withdrawn(&world).0, CandidateState::CuttingOver);
    world.settle();
    done(&world, SECOND);
}

#[test]
fn one_accepted_beforehand_takes_over_when_that_is_found_to_be_needed() {
    let mut world = released();
    declare(&mut world, SECOND);
    world.pass();
    accept(&mut world);
    world.settle();
    done(&world, SECOND);
    // One that fits rolls out as any other, accepted or not.
    declare(&mut world, FIRST);
    world.fate.foreign.clear();
    world.pass();
    accept(&mut world);
    for _ in 0..60 {
        world.pass();
        world.tick();
        assert!(world.servers().len() < 6, "{}", world.last_steps());
    }
    world.settle();
    done(&world, FIRST);
}

#[test]
fn the_acceptance_counts_for_that_candidate_only() {
    let mut world = released();
    world.fate.foreign.insert(THIRD.into());
    declare(&mut world, SECOND);
    world.settle();
    accept(&mut world);
    declare(&mut world, THIRD);
    world.settle();
    stopped(&world, "Incompatible");
}

#[test]
fn an_accepted_one_whose_pods_contradict_each_other_is_withdrawn() {
    let mut world = released();
    declare(&mut world, SECOND);
    world.settle();
    world.fate.lonely.insert(SECOND.into());
    accept(&mut world);
    world.settle();
    stopped(&world, "ReplicasDiverge");
}

/// What the world looks like between any two steps after the second image was accepted, of operator and cluster by turns: so
/// also between the opening of gates and readiness, the switch and the record.
fn moments() -> Vec<World> {
    let mut world = released();
    declare(&mut world, SECOND);
    world.settle();
    accept(&mut world);
    let mut moments = vec![world.clone()];
    for step in 0..24 {
        if step % 2 == 0 {
            world.pass();
        } else {
            world.tick();
        }
        moments.push(world.clone());
    }
    done(&world, SECOND);
    moments
}

fn is_switched(world: &World) -> bool {
    world.endpoints().contains(SECOND)
}

#[test]
fn a_newcomer_that_contradicts_its_like_sends_all_of_them_back() {
    let (mut before, mut open_before) = (0, 0);
    for mut world in moments() {
        let image = |p: &Object| p.value["spec"]["containers"][0]["image"] == SECOND;
        let newcomers = world.servers();
        let newcomer = newcomers.iter().find(|p| image(p));
        let ready = world.serving().get(SECOND).copied().unwrap_or(0);
        // Once all are ready the next write switches users: it may be found too late.
        let Some(newcomer) = newcomer.filter(|_| ready < 3) else {
            continue;
        };
        before += 1;
        open_before += usize::from(is_true(&newcomer.value, GATE_AGREES));
        world.turn(
            std::slice::from_ref(&newcomer.key.name),
            Verdict::Diverges,
            PodReason::LocalSession,
        );
        for _ in 0..20 {
            world.pass();
            world.tick();
            assert_eq!(
                world.endpoints(),
                [FIRST.to_owned()].into(),
                "{}",
                world.last_steps()
            );
        }
        world.settle();
        let message = stopped(&world, "ReplicasDiverge");
        assert!(message.contains("LocalSession"), "{message}");
    }
    assert!(
        before > 2 && open_before > 0,
        "{before}, of them open {open_before}"
    );
}

#[test]
fn an_acceptance_that_is_taken_back_in_time_stops_it() {
    let (mut back, mut late) = (0, 0);
    for mut world in moments() {
        let switched = is_switched(&world);
        world.annotate(ANNOTATION_ACCEPT_INCOMPATIBLE, "");
        world.settle();
        if switched {
            late += 1;
            done(&world, SECOND);
            continue;
        }
        back += 1;
        stopped(&world, "Incompatible");
        let service = world.api.get(Kind::Service, "orders").unwrap();
        assert!(service["spec"]["selector"][LABEL_REVISION].is_null());
    }
    assert!(back > 3 && late > 0, "before the switch {back}, after it {late}");
}

#[test]
fn an_operator_that_is_away_leaves_users_on_one_revision() {
    for mut world in moments() {
        for _ in 0..20 {
            world.tick();
        }
        world.forget();
        world.settle();
        done(&world, SECOND);
    }
}

#[test]
fn new_pods_are_let_in_only_while_users_are_seen_to_be_kept_away_from_them() {
    let mut tried = 0;
    for mut world in moments() {
        let closed: Vec<String> = world
            .servers()
            .iter()
            .filter(|p| !is_true(&p.value, GATE_AGREES))
            .map(|p| p.key.name.clone())
            .collect();
        if closed.is_empty() || is_switched(&world) {
            continue;
        }
        tried += 1;
        world.meddle(Kind::Service, "orders", |v| {
            v["spec"]["selector"]
                .as_object_mut()
                .unwrap()
                .remove(LABEL_REVISION);
        });
        world.pass();
        for pod in world.servers().iter().filter(|p| closed.contains(&p.key.name)) {
            assert!(!is_true(&pod.value, GATE_AGREES), "{}", world.last_steps());
        }
        world.settle();
        done(&world, SECOND);
    }
    assert!(tried > 2, "{tried} moments");
}

#[test]
fn three_on_another_database_do_not_outvote_two_and_are_no_reason_for_a_cutover() {
    let mut world = released();
    world.edit(|s| s.replicas = 5);
    world.settle();
    let all: Vec<String> = world.servers().iter().map(|p| p.key.name.clone()).collect();
    let (wrong, right) = all.split_at(3);
    world.turn(wrong, Verdict::Diverges, PodReason::LocalDatabase);
    until(&mut world, "isolated", |w| {
        w.serving() == [(FIRST.to_owned(), 2)].into()
    });
    for pod in world.servers() {
        let open = is_true(&pod.value, GATE_AGREES);
        assert_eq!(open, right.contains(&pod.key.name), "{}", pod.key.name);
    }
    // The next one fits the two.
    world.fate.foreign.clear();
    declare(&mut world, SECOND);
    for _ in 0..60 {
        world.pass();
        world.tick();
        let service = world.api.get(Kind::Service, "orders").unwrap();
        assert!(
            service["spec"]["selector"][LABEL_REVISION].is_null(),
            "{}",
            world.last_steps()
        );
    }
    world.settle();
    assert_eq!(
        world.serving(),
        [(SECOND.to_owned(), 5)].into(),
        "{}",
        world.last_steps()
    );
}

#[rstest]
#[case::back_to_the_released_one(FIRST)]
#[case::on_to_another_one(THIRD)]
fn another_declaration_in_the_middle_ends_it(#[case] image: &str) {
    let (mut back, mut late) = (0, 0);
    for mut world in moments() {
        let switched = is_switched(&world);
        declare(&mut world, image);
        world.settle();
        if switched {
            // What is declared now doesn't fit what users were switched to.
            late += 1;
            assert_eq!(withdrawn(&world).1, "Incompatible");
            assert_eq!(world.serving(), [(SECOND.to_owned(), 3)].into());
        } else {
            back += 1;
            done(&world, image);
        }
    }
    assert!(back > 3 && late > 0, "before the switch {back}, after it {late}");
}

#[test]
fn a_crash_loop_in_a_cutover_withdraws() {
    let mut world = released();
    declare(&mut world, SECOND);
    world.settle();
    accept(&mut world);
    until(&mut world, "proving", is_proving);
    world.fate.crashing.insert(SECOND.into());
    world.settle();
    stopped(&world, "PodsNotStarting");
}

#[test]
fn a_released_revision_that_is_not_anchored_does_not_block_its_fix() {
    let mut world = released();
    world.fate.unanchored.insert(FIRST.into());
    declare(&mut world, SECOND);
    until(&mut world, "proving", is_proving);
    assert_eq!(withdrawn(&world).1, "ReleasedUnanchored");
    world.settle();
    done(&world, SECOND);
}

#[test]
fn a_released_revision_that_was_found_diverging_does_not_block_its_fix() {
    let mut world = released();
    let all: Vec<String> = world.servers().iter().map(|p| p.key.name.clone()).collect();
    world.turn(&all, Verdict::Diverges, PodReason::KeyMismatch);
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into(), "users keep it");
    declare(&mut world, SECOND);
    until(&mut world, "proving", is_proving);
    world.settle();
    done(&world, SECOND);
}

#[rstest]
#[case::which_is_left_alone(1)]
#[case::beside_two_that_are_too_many_to_isolate(2)]
fn one_anchored_witness_that_disagrees_still_stops_a_candidate(#[case] min_available: i32) {
    let mut world = released();
    let isolation = Isolation {
        min_available: Some(min_available),
        ..Isolation::default()
    };
    world.edit(|s| s.verification.get_or_insert_default().isolation = Some(isolation));
    let two: Vec<String> = world
        .servers()
        .iter()
        .take(2)
        .map(|p| p.key.name.clone())
        .collect();
    world.turn(&two, Verdict::Diverges, PodReason::KeyMismatch);
    for _ in 0..8 {
        world.pass();
        world.tick();
    }
    declare(&mut world, SECOND);
    for _ in 0..40 {
        world.pass();
        world.tick();
        assert!(!world.endpoints().contains(SECOND), "{}", world.last_steps());
    }
    assert_eq!(withdrawn(&world).1, "Incompatible");
}

#[test]
fn a_selector_that_names_a_revision_nobody_runs_is_put_back() {
    let mut world = released();
    world.always_served = false;
    world.meddle(Kind::Service, "orders", |v| {
        v["spec"]["selector"][LABEL_REVISION] = "nobody".into();
    });
    world.settle();
    done(&world, FIRST);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Image(u8),
    Accept,
    TakeBack,
    Scale(i32),
    Retry(u8),
    /// Pods of the first image turn out not to be what was declared, or do no more.
    Unanchored(bool),
    Forget,
    Passes(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Event::Image),
        4 => Just(Event::Accept),
        1 => Just(Event::TakeBack),
        1 => (1..5).prop_map(Event::Scale),
        1 => (0..3_u8).prop_map(Event::Retry),
        1 => any::<bool>().prop_map(Event::Unanchored),
        2 => Just(Event::Forget),
        6 => (1..12_usize).prop_map(Event::Passes),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Image(n) => declare(world, [FIRST, SECOND, THIRD][usize::from(*n) - 1]),
        Event::Accept if status(world).candidate.is_some() => accept(world),
        Event::Accept => {}
        Event::TakeBack => world.annotate(ANNOTATION_ACCEPT_INCOMPATIBLE, ""),
        Event::Scale(replicas) => world.edit(|s| s.replicas = *replicas),
        Event::Retry(n) => world.annotate(ANNOTATION_RETRY, &n.to_string()),
        Event::Unanchored(true) => drop(world.fate.unanchored.insert(FIRST.into())),
        Event::Unanchored(false) => drop(world.fate.unanchored.remove(FIRST)),
        Event::Forget => world.forget(),
        Event::Passes(n) => {
            for _ in 0..*n {
                world.pass();
                world.tick();
            }
        }
    }
    world.pass();
    world.tick();
}

/// What was proved among one's like says nothing about others: it counts no more once the cutover is off, even if the
/// Service wasn't kept to a revision yet.
#[test]
fn what_was_proved_apart_opens_no_gate_beside_the_released_ones() {
    let mut world = released();
    declare(&mut world, SECOND);
    let mut tried = 0;
    for _ in 0..14 {
        world.pass();
        world.tick();
        let mut other = world.clone();
        // With one more declared, the candidate's pod stays until there is one more of the released ones.
        for event in [
            Event::Scale(4),
            Event::Passes(1),
            Event::Unanchored(true),
            Event::Forget,
            Event::Retry(0),
            Event::Image(1),
        ] {
            happen(&mut other, &event);
        }
        let image = |p: &Object| p.value["spec"]["containers"][0]["image"] == SECOND;
        tried += usize::from(other.servers().iter().any(|p| image(p)));
        other.settle();
        assert_eq!(
            other.serving(),
            [(FIRST.to_owned(), 4)].into(),
            "{}",
            other.last_steps()
        );
    }
    assert!(tried > 0, "no pod of the other revision was ever there");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::properties::cases(), failure_persistence: None, ..ProptestConfig::default()
    })]
    #[test]
    fn users_never_meet_two_that_disagree_and_never_nobody(events in prop::collection::vec(event(), 1..24)) {
        let mut world = released();
        world.fate.foreign.insert(THIRD.into());
        for event in &events {
            happen(&mut world, event);
        }
        world.settle();
    }
}
