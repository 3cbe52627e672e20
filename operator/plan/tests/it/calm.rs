//! The same stories as in `convergence`, told once and without a crash: what each step of them promises, by itself.

use accord_crds::ConditionType;
use accord_crds::meta::GATE_AGREES;
use accord_crds::spec::DeletionPolicy;
use accord_plan::Kind;
use serde_json::Value;

use crate::support::fixtures::orders;
use crate::support::{World, complete};

const SECOND: &str = "registry.example/orders:2";

fn ready(world: &World) -> String {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let ready = ConditionType::Ready.as_str();
    let condition = status.conditions.iter().find(|c| c.type_ == ready);
    condition.unwrap().reason.clone()
}

fn pods(world: &World) -> Vec<String> {
    let mut names: Vec<String> = world.servers().iter().map(|p| p.key.name.clone()).collect();
    names.sort();
    names
}

fn template(world: &World) -> Value {
    world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"].clone()
}

/// Goes on until the Deployment holds the second image.
fn until_the_second_is_rolled(world: &mut World) {
    for _ in 0..60 {
        world.pass();
        if template(world)["spec"]["containers"][0]["image"] == SECOND {
            return;
        }
        world.tick();
    }
    panic!("the second image isn't rolled\n{}", world.last_steps());
}

fn released(world: &World) -> String {
    let status = world.service.as_ref().unwrap().status.clone().unwrap();
    status.released.unwrap().image
}

#[test]
fn servers_wait_until_the_ledger_holds_their_migration_and_their_seeds() {
    let mut world = complete();
    world.edit(|s| s.image = SECOND.into());
    until_the_second_is_rolled(&mut world);
    let database = world.stores.databases.values().next().unwrap();
    for kind in ["migration", "seed"] {
        let done = database
            .done
            .iter()
            .any(|(k, _, image)| k == kind && image == SECOND);
        assert!(done, "no {kind} yet\n{}", world.last_steps());
    }
}

#[test]
fn the_released_revision_is_scaled_while_its_candidate_fails() {
    let mut world = complete();
    world.fate.fail("migration", SECOND, 1);
    world.edit(|s| s.image = SECOND.into());
    world.settle();
    assert_eq!(ready(&world), "MigrationFailed");
    world.edit(|s| s.replicas = 4);
    world.settle();
    assert_eq!(world.serving(), [(orders().image, 4)].into());
}

#[test]
fn a_candidate_that_diverges_is_withdrawn_and_never_released() {
    let mut world = complete();
    world.fate.diverging.insert(SECOND.into());
    world.edit(|s| s.image = SECOND.into());
    for _ in 0..60 {
        world.pass();
        world.tick();
        assert_eq!(released(&world), orders().image, "{}", world.last_steps());
    }
    assert_eq!(ready(&world), "CandidateWithdrawn");
    assert_eq!(world.serving(), [(orders().image, 3)].into());
    assert_eq!(pods(&world).len(), 3, "none of the candidate is left");
}

#[test]
fn a_candidate_that_crashes_is_withdrawn() {
    let mut world = complete();
    world.fate.crashing.insert(SECOND.into());
    world.edit(|s| s.image = SECOND.into());
    world.settle();
    assert_eq!(ready(&world), "CandidateWithdrawn");
    assert_eq!(world.serving(), [(orders().image, 3)].into());
}

#[test]
fn an_image_that_is_out_of_reach_for_a_moment_is_not_withdrawn_and_one_that_stays_so_is() {
    let mut world = complete();
    world.fate.out_of_reach.insert(SECOND.into());
    world.edit(|s| s.image = SECOND.into());
    until_the_second_is_rolled(&mut world);
    for _ in 0..60 {
        world.pass();
        world.tick();
    }
    let status = world.service.as_ref().unwrap().status.clone().unwrap();
    let condition = |kind: ConditionType| status.conditions.iter().find(|c| c.type_ == kind.as_str());
    let told = condition(ConditionType::WorkloadReady).unwrap();
    assert_eq!(
        (told.reason.as_str(), ready(&world).as_str()),
        ("PodsNotStarting", "PodsNotStarting")
    );
    assert!(told.message.contains("no such host"), "{}", told.message);
    world.fate.out_of_reach.clear();
    world.settle();
    assert_eq!(
        world.serving(),
        [(SECOND.to_owned(), 3)].into(),
        "the registry was back"
    );

    let mut world = complete();
    world.fate.out_of_reach.insert(SECOND.into());
    world.edit(|s| s.image = SECOND.into());
    world.settle();
    assert_eq!(ready(&world), "CandidateWithdrawn");
    assert_eq!(world.serving(), [(orders().image, 3)].into());
    let pods = pods(&world);
    assert_eq!(pods.len(), 3, "none of the candidate is left: {pods:?}");
}

#[test]
fn a_database_that_restarts_turns_no_rollout_back() {
    let mut world = complete();
    world.edit(|s| s.image = SECOND.into());
    until_the_second_is_rolled(&mut world);
    world.restart("orders-postgres-0");
    world.pass();
    assert_eq!(template(&world)["spec"]["containers"][0]["image"], SECOND);
}

#[test]
fn another_number_of_replicas_replaces_no_pod() {
    let mut world = complete();
    let before = pods(&world);
    world.edit(|s| s.replicas = 5);
    world.settle();
    let after = pods(&world);
    assert_eq!(after.len(), 5);
    assert!(
        before.iter().all(|pod| after.contains(pod)),
        "{before:?} {after:?}"
    );
}

#[test]
fn a_container_that_was_restarted_is_proved_anew() {
    let mut world = complete();
    let pod = pods(&world)[0].clone();
    let gate = |world: &World| {
        let pod = world.api.get(Kind::Pod, &pod).unwrap();
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        conditions
            .iter()
            .find(|c| c["type"] == GATE_AGREES)
            .unwrap()
            .clone()
    };
    let before = gate(&world);
    world.restart(&pod);
    world.pass();
    let meanwhile = gate(&world);
    assert_eq!(
        meanwhile["status"], "False",
        "what is known is about the one before"
    );
    world.settle();
    assert_eq!(world.serving(), [(orders().image, 3)].into());
    assert_ne!(
        gate(&world)["message"],
        before["message"],
        "it names the containers"
    );
}

#[test]
fn an_idle_service_is_not_written_to() {
    let mut world = complete();
    let writes = world.writes;
    for _ in 0..5 {
        world.pass();
        world.tick();
    }
    assert_eq!(world.writes, writes, "{}", world.last_steps());
}

#[test]
fn what_is_retained_is_there_when_the_service_is_declared_anew() {
    let mut world = complete();
    world.delete();
    world.settle();
    let kept = [
        (Kind::Secret, "orders-keys"),
        (Kind::PersistentVolumeClaim, "data-orders-postgres-0"),
        (Kind::ConfigMap, "orders-identity"),
    ];
    for (kind, name) in kept {
        assert!(
            world.api.get(kind, name).is_some(),
            "{name}\n{}",
            world.last_steps()
        );
    }
    world.create(orders());
    world.settle();
    assert_eq!(ready(&world), "AsDeclared");
    for (kind, name) in kept {
        assert_eq!(world.api.births(kind.as_str(), name), 1, "{name}");
    }
}

#[test]
fn what_is_declared_to_go_with_its_service_goes() {
    let mut world = World::new();
    let mut spec = orders();
    spec.deletion_policy = DeletionPolicy::Delete;
    world.create(spec);
    world.settle();
    world.delete();
    world.settle();
    let left: Vec<String> = world.api.iter().map(|o| o.key.to_string()).collect();
    assert!(left.is_empty(), "left: {left:?}");
}
