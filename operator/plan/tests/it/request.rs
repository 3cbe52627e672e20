//! What the prober is given to look with: nothing that it could draw a wrong conclusion from.

use accord_crds::AuthServiceSpec;
use accord_plan::Kind;
use accord_plan::probe::ProbeRequest;

use crate::support::World;
use crate::support::fixtures::orders;
use crate::support::world::encode;

fn request(spec: AuthServiceSpec) -> (World, ProbeRequest) {
    let mut world = World::new();
    world.create(spec);
    world.settle();
    let request = world.plan.probe.clone().unwrap();
    (world, request)
}

#[test]
fn keys_of_the_ring_where_the_servers_take_theirs_from_it() {
    let (world, seen) = request(orders());
    let ring = world.api.get(Kind::Secret, "orders-keys").unwrap();
    let keys: Vec<_> = seen.keys.iter().map(|key| encode(key)).collect();
    assert_eq!(keys, [ring["data"]["active"].as_str().unwrap()]);
    assert!(!format!("{seen:?}").contains(&seen.keys[0]), "never shown");
}

#[test]
fn no_keys_where_the_servers_have_others() {
    let own =
        serde_json::from_value(serde_json::json!([{"env": "SECRET_KEY", "source": "hostnames"}])).unwrap();
    let (_, seen) = request(AuthServiceSpec {
        bindings: own,
        ..orders()
    });
    assert!(seen.keys.is_empty());
}

#[test]
fn the_cache_where_it_is_managed() {
    let (_, seen) = request(orders());
    assert_eq!(
        seen.cache.map(|c| c.host),
        Some("orders-cache.shop.svc".to_owned())
    );
}

/// And it is asked at all: the account of the Job is told by its username, whatever people log in with.
#[test]
fn the_name_that_people_log_in_with() {
    let (world, by_username) = request(orders());
    let secret = world.api.get(Kind::Secret, "orders-canary").unwrap();
    let text = |key: &str| secret["data"][key].as_str().unwrap().to_owned();
    assert_eq!(encode(&by_username.username), text("username"));

    let recipe = serde_json::from_value(serde_json::json!({"recipe": {
        "login": {"path": "/login", "identifier": "Email", "accessToken": "token"},
        "check": {"path": "/me", "username": "/email"}
    }}));
    let (_, by_email) = request(AuthServiceSpec {
        verification: Some(recipe.unwrap()),
        ..orders()
    });
    assert!(by_email.username.ends_with("@example.com"), "an address");
    assert!(!by_email.targets.is_empty(), "the canary is there");
}
