//! The rules of the CRD, offline: examples pass; what contradicts itself is refused by a sentence that names the field and
//! says what to do, and what runs goes on.

use accord_crds::AuthServiceSpec;
use rstest::rstest;
use serde_json::{Value, json};

use crate::golden::examples;
use crate::support::World;
use crate::support::fixtures::orders;

/// The message of the condition Ready, when the declaration is refused.
fn refusal(spec: AuthServiceSpec) -> Option<String> {
    let mut world = World::new();
    world.create(spec);
    world.pass();
    let conditions = &world.plan.status.conditions;
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    if ready.reason == "InvalidSpec" {
        assert!(
            world.plan.actions.is_empty(),
            "nothing is written for a contradiction"
        );
        return Some(ready.message.clone());
    }
    None
}

#[test]
fn examples_are_valid() {
    for (name, example) in examples() {
        assert_eq!(refusal(example.spec), None, "{name}");
    }
}

#[rstest]
#[case::no_image("/image", json!(""), "spec.image", "name the image")]
#[case::blank_in_image("/image", json!("a b"), "spec.image", "name the image")]
#[case::replicas_without_database(
    "/database",
    Value::Null,
    "spec.replicas",
    "Declare 'database: {managed: {}}'"
)]
#[case::no_kind_of_database("/database", json!({}), "spec.database", "set 'managed: {}'")]
#[case::two_kinds_of_database("/database", json!({"managed": {}, "external": {"secretRef": {"name": "db"}}}), "spec.database", "keep either")]
#[case::no_kind_of_cache("/cache", json!({}), "spec.cache", "set 'managed: {}'")]
#[case::two_kinds_of_cache("/cache", json!({"managed": {}, "external": {"secretRef": {"name": "c"}}}), "spec.cache", "keep either")]
#[case::size_without_meaning("/database", json!({"managed": {"storage": {"size": "big"}}}), "storage.size", "for example 10Gi")]
#[case::two_seeds_of_a_name("/seeds", json!([{"name": "a", "command": ["x"]}, {"name": "a", "command": ["y"]}]), "spec.seeds", "Rename one")]
#[case::custom_without_recipe("/framework", json!("Custom"), "spec.verification.recipe", "Add the recipe")]
#[case::custom_without_canary("/framework", json!("Custom"), "spec.verification.canary", "Add canary.command")]
#[case::nobody_could_be_isolated("/verification", json!({"isolation": {"minAvailable": 3}}), "isolation.minAvailable", "Lower it")]
#[case::unknown_preset("/framework", json!("Rails"), "spec.framework", "upgrade Accord, or use Custom")]
#[case::binding_both("/bindings", json!([{"env": "A", "file": "a", "source": "hostname"}]), "binding", "set exactly one")]
#[case::binding_neither("/bindings", json!([{"source": "hostname"}]), "binding", "set exactly one")]
#[case::image_of_no_letters("/image", json!("\u{645}\u{202e}"), "spec.image", "name the image")]
#[case::store_of_no_image("/database", json!({"managed": {"image": "a b"}}), "image has characters", "as in registry.example/postgres:17")]
#[case::no_quantity("/server", json!({"resources": {"limits": {"memory": "plenty"}}}), "spec.server.resources.limits.memory is \"plenty\"", "for example 500m")]
#[case::negative_quantity("/cache", json!({"managed": {"resources": {"requests": {"cpu": "-0.5"}}}}), "spec.cache.managed.resources.requests.cpu is \"-0.5\"", "isn't negative")]
#[case::request_above_limit("/database", json!({"managed": {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1024Mi"}}}}), "spec.database.managed.resources.requests.memory is 2Gi", "lower the one")]
#[case::variable_without_name("/server", json!({"env": [{"name": "A"}, {"name": ""}]}), "spec.server.env[1].name", "use letters")]
#[case::variable_with_sign("/migration", json!({"env": [{"name": "A=B"}]}), "spec.migration.env[0].name is \"A=B\"", "use letters")]
#[case::variable_of_two_kinds("/seeds", json!([{"name": "a", "command": ["x"], "env": [{"name": "A", "value": "b",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]), "spec.seeds[0].env[0] (A)", "keep one")]
#[case::variable_from_nowhere("/server", json!({"env": [{"name": "A", "valueFrom": {}}]}), "spec.server.env[0].valueFrom (A) names 0 sources", "exactly one")]
#[case::nul_in_value("/server", json!({"env": [{"name": "A", "value": "b\u{0}"}]}), "spec.server.env[0].value (A)", "take it out")]
#[case::nul_in_command("/server", json!({"command": ["a", "b\u{0}"]}), "spec.server.command[1]", "take it out")]
#[case::template_of_text("/server", json!({"podTemplate": {"metadata": "text"}}), "spec.server.podTemplate.metadata is", "has to be an object")]
#[case::labels_of_a_list("/server", json!({"podTemplate": {"metadata": {"labels": ["a"]}}}), "spec.server.podTemplate.metadata.labels is", "has to be an object")]
fn contradictions_are_refused(
    #[case] field: &str,
    #[case] value: Value,
    #[case] names: &str,
    #[case] advice: &str,
) {
    let mut spec = serde_json::to_value(orders()).unwrap();
    spec[field.trim_start_matches('/')] = value;
    let message = refusal(serde_json::from_value(spec).unwrap()).expect("refused");
    assert!(message.contains(names) && message.contains(advice), "{message}");
}

#[test]
fn a_binding_of_what_is_not_declared() {
    let mut spec = orders();
    spec.cache = None;
    spec.bindings = serde_json::from_value(json!([{"env": "SESSION_STORE", "source": "cache.uri"}])).unwrap();
    let message = refusal(spec).expect("refused");
    assert!(
        message.contains("spec.bindings[0].source") && message.contains("spec.cache"),
        "{message}"
    );
}

#[test]
fn a_long_name() {
    let mut world = World::new();
    world.create(orders());
    world.service.as_mut().unwrap().metadata.name = Some("n".repeat(41));
    world.pass();
    let message = &world.plan.status.conditions[0].message;
    assert!(
        message.contains("metadata.name has 41 characters, 40 are allowed"),
        "{message}"
    );
}

#[test]
fn what_runs_goes_on_under_a_contradiction() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    world.edit(|s| {
        s.bindings =
            serde_json::from_value(json!([{"env": "A", "file": "a", "source": "hostname"}])).unwrap();
    });
    let pod = world.servers()[0].key.name.clone();
    world.restart(&pod);
    world.settle();
    assert_eq!(
        world.serving().values().sum::<usize>(),
        3,
        "a restarted container is proved again\n{}",
        world.last_steps()
    );
    let ready = world.service.unwrap().status.unwrap().conditions[0].clone();
    assert_eq!(ready.reason, "InvalidSpec");
}
