//! What is lost or written over: it is told from what was recorded, reaches no server, and counts again once it is back.

use std::collections::BTreeMap;

use accord_crds::spec::DeletionPolicy;
use accord_plan::Kind;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fixtures::orders;
use crate::support::stores::Database;
use crate::support::world::encode;
use crate::support::{World, complete, end, ready};

const POSTGRES: &str = "orders-postgres-0";
const CLAIMS: [&str; 2] = ["data-orders-postgres-0", "data-orders-cache-0"];

fn template(world: &World) -> Value {
    world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"].clone()
}

fn uid(world: &World, claim: &str) -> String {
    let live = world.api.get(Kind::PersistentVolumeClaim, claim).unwrap();
    live["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// Writes over one value of a Secret, and returns what it was.
fn overwrite(world: &mut World, secret: &str, key: &str) -> Value {
    let mut before = Value::Null;
    world.meddle(Kind::Secret, secret, |v| {
        before = v["data"][key].take();
        v["data"][key] = encode("written-over").into();
    });
    assert!(before.is_string(), "{secret} has no {key}");
    before
}

#[rstest]
#[case("orders-keys", "active", "KeyRingMissing")]
#[case("orders-ca", "ca.crt", "CredentialsMissing")]
#[case("orders-database", "app_a", "CredentialsMissing")]
#[case("orders-postgres-tls", "tls.key", "CredentialsMissing")]
#[case("orders-cache-auth", "password", "CredentialsMissing")]
#[case("orders-internal", "hmac", "CredentialsMissing")]
fn what_is_written_over_reaches_no_server(#[case] secret: &str, #[case] key: &str, #[case] reason: &str) {
    let mut world = complete();
    let (before, servers) = (end::state(&world), template(&world));
    let old = overwrite(&mut world, secret, key);
    world.settle();
    let (told, message) = ready(&world);
    assert_eq!(told, reason, "{}", world.last_steps());
    assert!(
        message.contains(secret) && message.contains("old content back"),
        "{message}"
    );
    assert_eq!(template(&world), servers, "{}", world.last_steps());
    assert_eq!(world.serving().values().sum::<usize>(), 3, "what runs goes on");
    world.meddle(Kind::Secret, secret, |v| v["data"][key] = old);
    world.settle();
    assert_eq!(end::state(&world), before, "{}", world.last_steps());
}

#[test]
fn replicas_are_asked_for_the_ring_that_they_have() {
    let mut world = complete();
    let keys = |world: &World| world.plan.probe.clone().unwrap().keys;
    world.pass();
    let before = keys(&world);
    overwrite(&mut world, "orders-keys", "active");
    world.settle();
    assert_eq!(keys(&world), before);
}

#[test]
fn what_a_secret_holds_now_is_accepted_by_deleting_the_record() {
    let mut world = complete();
    overwrite(&mut world, "orders-database", "app_a");
    world.settle();
    assert_eq!(ready(&world).0, "CredentialsMissing");
    let identity = world.service.as_ref().unwrap().status.clone().unwrap().identity;
    world.remove(Kind::ConfigMap, "orders-identity");
    world.settle();
    assert_eq!(ready(&world).0, "AsDeclared", "{}", world.last_steps());
    let after = world.service.as_ref().unwrap().status.clone().unwrap().identity;
    assert_eq!(after, identity, "ring and data stay recorded");
}

#[test]
fn an_emptied_volume_is_held_for_a_person() {
    let mut world = complete();
    let before = end::state(&world);
    let data = std::mem::take(&mut world.stores.databases);
    world.remove(Kind::Pod, POSTGRES);
    world.settle();
    let (reason, message) = ready(&world);
    assert_eq!(reason, "DataMissing", "{}", world.last_steps());
    assert!(message.contains("the volume is empty"), "{message}");
    assert!(
        world.stores.databases.is_empty(),
        "a database is initialised over it"
    );
    world.stores.databases = data;
    world.remove(Kind::Pod, POSTGRES);
    world.settle();
    assert_eq!(end::state(&world), before, "{}", world.last_steps());
}

/// Both claims go and come again, empty; returns what the database held.
fn claims_replaced(world: &mut World) -> Database {
    let database = world.stores.databases.remove(&uid(world, CLAIMS[0])).unwrap();
    for claim in CLAIMS {
        world.remove(Kind::PersistentVolumeClaim, claim);
    }
    world.settle();
    database
}

/// The data is put on the claim that is there now.
fn put_back(world: &mut World, database: Database) {
    let claim = uid(world, CLAIMS[0]);
    world.stores.databases = BTreeMap::from([(claim, database)]);
    world.remove(Kind::Pod, POSTGRES);
    world.settle();
}

#[test]
fn a_restored_claim_counts_once_its_database_says_that_it_is_the_recorded_one() {
    let mut world = complete();
    let database = claims_replaced(&mut world);
    assert_eq!(ready(&world).0, "DataMissing", "{}", world.last_steps());
    put_back(&mut world, database);
    assert_eq!(ready(&world).0, "AsDeclared", "{}", world.last_steps());
    let status = world.service.as_ref().unwrap().status.clone().unwrap();
    let recorded = status.identity.unwrap();
    let [postgres, cache] = CLAIMS.map(|claim| Some(uid(&world, claim)));
    assert_eq!((recorded.database_claim, recorded.cache_claim), (postgres, cache));
    let jobs = world.api.of(Kind::Job);
    for job in jobs.iter().map(|j| &j.key.name) {
        assert_eq!(world.api.births("Job", job), 1, "{job} ran again");
    }
}

#[test]
fn another_database_on_another_claim_is_not_the_recorded_one() {
    let mut world = complete();
    let status = |world: &World| world.service.as_ref().unwrap().status.clone().unwrap();
    let before = status(&world).identity;
    let mut database = claims_replaced(&mut world);
    database.identifier = "another".into();
    put_back(&mut world, database);
    assert_eq!(ready(&world).0, "WrongDatabase", "{}", world.last_steps());
    assert_eq!(status(&world).identity, before);
}

#[rstest]
#[case::with_its_job(false)]
#[case::by_status_alone(true)]
fn a_seed_that_may_run_once_does_not_run_again_when_the_ledger_is_lost(#[case] jobs_collected: bool) {
    let mut world = World::new();
    let mut spec = orders();
    spec.seeds[0].idempotent = false;
    world.create(spec);
    world.settle();
    let database = |world: &mut World| world.stores.databases.values_mut().next().unwrap().ledger.clone();
    let rows = database(&mut world);
    if jobs_collected {
        for job in world.api.of(Kind::Job) {
            world.remove(Kind::Job, &job.key.name);
        }
        world.settle();
    }
    let seeds = |world: &mut World| {
        let rows = database(world);
        rows.iter().filter(|r| r.kind == "seed").count()
    };
    let set = |world: &mut World, rows| {
        world.stores.databases.values_mut().next().unwrap().ledger = rows;
        world.restart(POSTGRES);
        world.settle();
    };
    set(&mut world, Vec::new());
    let (reason, message) = ready(&world);
    assert_eq!(reason, "SeedInterrupted", "{}", world.last_steps());
    assert!(message.contains("Restore the table"), "{message}");
    assert_eq!(seeds(&mut world), 0, "it ran again");
    set(&mut world, Vec::new());
    assert_eq!(seeds(&mut world), 0, "it ran again later");
    assert_eq!(world.serving().values().sum::<usize>(), 3, "what runs goes on");
    set(&mut world, rows);
    assert_eq!(ready(&world).0, "AsDeclared", "{}", world.last_steps());
}

#[test]
fn what_a_stateful_set_keeps_for_itself_is_no_release() {
    let mut world = complete();
    let released = |world: &World| {
        let status = world.service.as_ref().unwrap().status.clone().unwrap();
        status.released.map(|r| r.image)
    };
    let before = released(&world);
    assert!(before.is_some());
    let name = "orders-postgres-5d8f";
    let labels = json!({"accord.dev/service": "orders", "accord.dev/role": "postgres"});
    world
        .api
        .create(&accord_plan::Object {
            key: accord_plan::ObjectKey::new(Kind::ControllerRevision, name),
            value: json!({"apiVersion": "apps/v1", "kind": "ControllerRevision",
                "metadata": {"name": name, "labels": labels}, "revision": 7, "data": {"spec": {"template": {}}}}),
        })
        .unwrap();
    let writes = world.writes;
    world.settle();
    assert_eq!(released(&world), before, "{}", world.last_steps());
    assert_eq!(
        world.writes,
        writes,
        "nothing follows from it\n{}",
        world.last_steps()
    );
}

#[test]
fn what_goes_with_a_service_is_said_before() {
    let mut world = complete();
    let told = |world: &World, reason: &str| {
        let events = world.plan.events.iter();
        let found = events
            .filter(|e| e.reason.as_str() == reason)
            .map(|e| e.message.clone());
        found.collect::<Vec<_>>().join(" ")
    };
    world.edit(|s| s.deletion_policy = DeletionPolicy::Delete);
    world.pass();
    let message = told(&world, "DeletesData");
    for claim in CLAIMS {
        assert!(message.contains(claim), "{message}");
    }
    world.settle();
    world.delete();
    world.pass();
    assert!(
        told(&world, "Deleting").contains(CLAIMS[0]),
        "{:?}",
        world.plan.events
    );
}
