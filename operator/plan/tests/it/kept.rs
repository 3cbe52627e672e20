//! What was there once: a database, a ring, a run, the contents of a binding. None of it is made or done a second time.

use std::collections::BTreeMap;

use accord_crds::ConditionType;
use accord_plan::{Kind, Object, digest};

use crate::support::World;
use crate::support::fixtures::orders;

fn complete() -> World {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    world
}

fn ready(world: &World) -> &str {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let ready = ConditionType::Ready.as_str();
    let condition = status.conditions.iter().find(|c| c.type_ == ready);
    &condition.unwrap().reason
}

/// The rows of the one database, without their text.
fn ledger(world: &World) -> Vec<(String, String, String)> {
    let database = world.stores.databases.values().next().unwrap();
    let rows = database.ledger.iter();
    rows.map(|r| (r.kind.clone(), r.revision.clone(), r.state.clone()))
        .collect()
}

fn jobs(world: &World) -> Vec<String> {
    world
        .api
        .of(Kind::Job)
        .iter()
        .map(|j| j.key.name.clone())
        .collect()
}

fn remove_bindings(world: &mut World) {
    for secret in world.api.of(Kind::Secret) {
        if secret.key.name.starts_with("orders-binding-") {
            world.remove(Kind::Secret, &secret.key.name);
        }
    }
}

#[test]
fn a_run_whose_job_was_collected_is_not_run_again() {
    let mut world = complete();
    let recorded: Vec<String> = jobs(&world)
        .into_iter()
        .filter(|name| !name.contains("canary"))
        .collect();
    assert_eq!(
        recorded.len(),
        3,
        "a migration, a seed and preflight: {recorded:?}"
    );
    for job in &recorded {
        world.remove(Kind::Job, job);
    }
    world.settle();
    for job in &recorded {
        assert_eq!(world.api.births("Job", job), 1, "{}", world.last_steps());
    }
}

#[test]
fn what_an_older_ledger_does_not_hold_is_run_again() {
    let mut world = complete();
    let before = ledger(&world);
    let database = world.stores.databases.values_mut().next().unwrap();
    database.ledger.retain(|row| row.kind != "migration");
    world.restart("orders-postgres-0");
    world.settle();
    let (mut before, mut after) = (before, ledger(&world));
    before.sort();
    after.sort();
    assert_eq!(after, before, "{}", world.last_steps());
}

#[test]
fn a_seed_that_may_run_once_runs_for_no_other_image() {
    let mut world = World::new();
    let mut spec = orders();
    spec.seeds[0].idempotent = false;
    world.create(spec);
    world.settle();
    world.edit(|s| s.image = "registry.example/orders:2".into());
    world.settle();
    let rows = ledger(&world);
    let of = |kind: &str| rows.iter().filter(|(k, ..)| k == kind).count();
    assert_eq!((of("migration"), of("seed")), (2, 1), "{rows:?}");
    assert_eq!(ready(&world), "AsDeclared");
}

#[test]
fn another_database_is_refused_and_the_recorded_one_stays_recorded() {
    let mut world = complete();
    let recorded = |world: &World| {
        let status = world.service.as_ref().unwrap().status.clone().unwrap();
        status.identity.unwrap().database_system_identifier
    };
    let before = recorded(&world);
    let database = world.stores.databases.values_mut().next().unwrap();
    database.identifier = "another".into();
    world.restart("orders-postgres-0");
    world.settle();
    assert_eq!(ready(&world), "WrongDatabase", "{}", world.last_steps());
    assert_eq!(recorded(&world), before);
}

#[test]
fn a_service_that_is_declared_anew_knows_that_there_was_a_ring() {
    let mut world = complete();
    world.delete();
    world.settle();
    world.remove(Kind::Secret, "orders-keys");
    remove_bindings(&mut world);
    world.create(orders());
    world.settle();
    assert_eq!(ready(&world), "KeyRingMissing", "{}", world.last_steps());
    assert_eq!(world.api.births("Secret", "orders-keys"), 1, "none is made anew");
}

/// The binding that the servers name, and its contents.
fn binding(world: &World) -> (String, BTreeMap<String, String>) {
    let template = &world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"];
    let env = template["spec"]["containers"][0]["env"].as_array().unwrap();
    let mut names = env
        .iter()
        .filter_map(|e| e["valueFrom"]["secretKeyRef"]["name"].as_str());
    let name = names.next().unwrap().to_owned();
    let contents = contents(&secret(world, &name));
    (name, contents)
}

fn secret(world: &World, name: &str) -> Object {
    let secrets = world.api.of(Kind::Secret);
    Object::clone(secrets.iter().find(|s| s.key.name == name).unwrap())
}

fn contents(secret: &Object) -> BTreeMap<String, String> {
    let keys = secret.value["data"].as_object().unwrap().keys();
    keys.map(|k| (k.clone(), secret.secret_text(k).unwrap()))
        .collect()
}

#[test]
fn other_contents_are_another_secret_and_those_of_before_stay() {
    let mut world = complete();
    let (name, before) = binding(&world);
    world.edit(|s| s.hostnames.push("www.orders.example.com".into()));
    world.settle();
    let (new, after) = binding(&world);
    assert!(after["ALLOWED_HOSTS"].contains("www."), "{}", world.last_steps());
    assert_ne!(new, name);
    assert_eq!(contents(&secret(&world, &name)), before, "a rollback needs it");
}

#[test]
fn without_the_key_the_name_of_a_binding_tells_nothing_about_its_contents() {
    let world = complete();
    let (name, contents) = binding(&world);
    let json = serde_json::to_vec(&contents).unwrap();
    let key = secret(&world, "orders-internal").secret_text("hmac").unwrap();
    assert_eq!(
        name,
        format!("orders-binding-{}", digest::short_hmac(key.as_bytes(), &json))
    );
    assert!(!name.ends_with(&digest::short(&json)));
}
