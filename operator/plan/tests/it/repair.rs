//! What people do to what Accord has made: it is put back, restored from what is left, or held for a person; never made anew.

use accord_plan::Kind;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fixtures::orders;
use crate::support::world::encode;
use crate::support::{World, complete, end, ready};

const IMAGE: &str = "/spec/template/spec/containers/0/image";
const ENV: &str = "/spec/template/spec/containers/0/env";

#[rstest]
#[case::replicas(Kind::Deployment, "orders", "/spec/replicas", json!(7))]
#[case::image(Kind::Deployment, "orders", IMAGE, json!("registry.example/other:1"))]
#[case::env_of_the_servers(Kind::Deployment, "orders", ENV, json!([{"name": "DEBUG", "value": "1"}]))]
#[case::env_of_a_store(Kind::StatefulSet, "orders-postgres", ENV, json!([{"name": "DEBUG", "value": "1"}]))]
#[case::store_scaled_away(Kind::StatefulSet, "orders-cache", "/spec/replicas", json!(0))]
#[case::selector(Kind::Service, "orders", "/spec/selector", json!({"accord.dev/service": "orders", "app": "other"}))]
#[case::port(Kind::Service, "orders", "/spec/ports/0/port", json!(8080))]
#[case::eviction_limit(Kind::PodDisruptionBudget, "orders", "/spec/maxUnavailable", json!(3))]
#[case::settings_of_the_cache(Kind::ConfigMap, "orders-cache-config", "/data/valkey.conf", json!("maxmemory-policy allkeys-lru"))]
fn drift_is_put_back(#[case] kind: Kind, #[case] name: &str, #[case] field: &str, #[case] value: Value) {
    let mut world = complete();
    let before = end::state(&world);
    world.meddle(kind, name, |v| {
        let (parent, key) = field.rsplit_once('/').unwrap();
        v.pointer_mut(parent).unwrap()[key] = value;
    });
    assert_ne!(end::state(&world), before, "nothing was changed");
    world.settle();
    assert_eq!(end::state(&world), before, "{}", world.last_steps());
}

#[test]
fn what_leaves_the_declaration_leaves_the_pods() {
    let before = complete();
    let mut world = World::new();
    let mut spec = orders();
    spec.server = serde_json::from_value(json!({
        "command": ["serve"], "args": ["--fast"], "resources": {"limits": {"memory": "1Gi"}},
        "podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}},
    }))
    .unwrap();
    world.create(spec);
    world.settle();
    let template =
        |world: &World| world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"].clone();
    assert_eq!(template(&world)["spec"]["nodeSelector"], json!({"disk": "fast"}));
    world.edit(|s| s.server = None);
    world.settle();
    assert_eq!(template(&world), template(&before));
}

#[test]
fn a_lost_key_ring_comes_back_from_the_bindings() {
    let mut world = complete();
    let before = end::state(&world);
    world.remove(Kind::Secret, "orders-keys");
    world.settle();
    assert_eq!(end::state(&world), before, "{}", world.last_steps());
}

#[test]
fn a_lost_key_ring_without_a_copy_is_held_for_a_person() {
    let mut world = complete();
    world.remove(Kind::Secret, "orders-keys");
    let bindings: Vec<String> = world
        .api
        .of(Kind::Secret)
        .iter()
        .map(|s| s.key.name.clone())
        .collect();
    for name in bindings.iter().filter(|n| n.starts_with("orders-binding-")) {
        world.remove(Kind::Secret, name);
    }
    world.settle();
    assert!(
        world.api.get(Kind::Secret, "orders-keys").is_none(),
        "{}",
        world.last_steps()
    );
    assert_eq!(ready(&world).0, "KeyRingMissing");
    assert_eq!(world.serving().values().sum::<usize>(), 3, "what runs goes on");
}

#[rstest]
#[case("orders-ca")]
#[case("orders-database")]
#[case("orders-postgres-tls")]
#[case("orders-cache-auth")]
#[case("orders-cache-tls")]
#[case("orders-internal")]
#[case("orders-canary")]
fn lost_credentials_are_held_for_a_person(#[case] name: &str) {
    let mut world = complete();
    world.remove(Kind::Secret, name);
    world.settle();
    assert!(
        world.api.get(Kind::Secret, name).is_none(),
        "made anew\n{}",
        world.last_steps()
    );
    let (reason, message) = ready(&world);
    assert_eq!(reason, "CredentialsMissing");
    assert!(
        message.contains(name) && message.contains("Restore it"),
        "{message}"
    );
    assert_eq!(world.serving().values().sum::<usize>(), 3, "what runs goes on");
}

#[rstest]
#[case("data-orders-postgres-0")]
#[case("data-orders-cache-0")]
fn a_lost_volume_is_held_for_a_person(#[case] claim: &str) {
    let mut world = complete();
    world.remove(Kind::PersistentVolumeClaim, claim);
    world.settle();
    let (reason, message) = ready(&world);
    assert_eq!(reason, "DataMissing", "{}", world.last_steps());
    assert!(message.contains(claim), "{message}");
    assert_eq!(world.stores.databases.len(), 1, "no database is initialised anew");
}

#[test]
fn a_running_job_gets_its_binding_back() {
    let mut world = World::new();
    world.create(orders());
    while world.api.of(Kind::Job).is_empty() {
        world.pass();
        if world.api.of(Kind::Job).is_empty() {
            world.tick();
        }
    }
    let bindings = world.api.of(Kind::Secret);
    let binding = bindings
        .iter()
        .find(|s| s.key.name.starts_with("orders-binding-"))
        .unwrap();
    world.remove(Kind::Secret, &binding.key.name);
    world.settle();
    assert_eq!(ready(&world).0, "AsDeclared", "{}", world.last_steps());
}

#[test]
fn a_lost_canary_job_turns_no_rollout_back() {
    let mut world = complete();
    world.edit(|s| s.image = "registry.example/orders:2".into());
    let second = |world: &World| {
        let template = &world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"];
        template["spec"]["containers"][0]["image"] == "registry.example/orders:2"
    };
    while !second(&world) {
        world.pass();
        world.tick();
    }
    let canaries = |world: &World| {
        let jobs = world.api.of(Kind::Job);
        let names = jobs.iter().map(|j| j.key.name.clone());
        names
            .filter(|n| n.starts_with("orders-canary-"))
            .collect::<Vec<_>>()
    };
    for job in canaries(&world) {
        world.remove(Kind::Job, &job);
    }
    while canaries(&world).is_empty() {
        world.pass();
        assert!(second(&world), "{}", world.last_steps());
    }
    world.settle();
    assert_eq!(ready(&world).0, "AsDeclared");
}

#[test]
fn another_canary_is_made_before_it_is_used() {
    let mut world = complete();
    let (name, asked) = ("accord-canary-another", |world: &World| {
        let probe = world.plan.probe.clone().unwrap();
        (probe.username, probe.targets.len())
    });
    let account = accord_plan::digest::short(name.as_bytes());
    world.pass();
    assert_eq!(asked(&world).1, 3);
    world.meddle(Kind::Secret, "orders-canary", |v| {
        v["data"]["username"] = encode(name).into();
    });
    let made = |world: &World| {
        let jobs = world.api.of(Kind::Job);
        jobs.iter().any(|j| {
            j.annotation("accord.dev/canary") == Some(account.as_str()) && j.value["status"]["succeeded"] == 1
        })
    };
    while !made(&world) {
        world.pass();
        assert_eq!(asked(&world), (name.to_owned(), 0), "{}", world.last_steps());
        assert_eq!(world.serving().values().sum::<usize>(), 3, "gates stay");
        world.tick();
    }
    world.settle();
    assert_eq!(asked(&world), (name.to_owned(), 3));
    assert_eq!(ready(&world).0, "AsDeclared");
}
