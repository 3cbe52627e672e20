//! Objects that the API server doesn't take: it is told, in its words; what was released goes on, is scaled and repaired;
//! and what is refused isn't sent again and again.

use accord_crds::status::CandidateState;
use accord_plan::Kind;
use serde_json::json;

use crate::support::fixtures::orders;
use crate::support::{World, complete, ready};

/// What a Deployment or Job with it in it isn't taken for.
const BAD: &str = "example.com/not-taken";

fn declare_bad_template(world: &mut World) {
    world.edit(|spec| {
        let server = json!({"podTemplate": {"spec": {"nodeSelector": {BAD: "x"}}}});
        spec.server = Some(serde_json::from_value(server).unwrap());
    });
}

#[test]
fn a_deployment_that_is_not_taken_is_withdrawn_and_the_released_one_is_scaled() {
    let mut world = complete();
    world.fate.untaken.insert((Kind::Deployment, BAD.into()));
    declare_bad_template(&mut world);
    world.settle();
    let status = world.service.as_ref().unwrap().status.clone().unwrap();
    let candidate = status.candidate.expect("a candidate");
    assert_eq!(candidate.state, CandidateState::Withdrawn);
    assert_eq!(candidate.reason, "WriteRefused");
    let (reason, message) = ready(&world);
    assert_eq!(reason, "CandidateWithdrawn");
    assert!(
        message.contains("refuses Deployment orders: spec is invalid.") && message.contains("podTemplate"),
        "{message}"
    );
    let live = world.api.get(Kind::Deployment, "orders").unwrap();
    assert!(!live.to_string().contains(BAD));

    world.meddle(Kind::Deployment, "orders", |v| v["spec"]["replicas"] = json!(1));
    world.settle();
    assert_eq!(
        world.serving().values().sum::<usize>(),
        3,
        "{}",
        world.last_steps()
    );
    world.edit(|spec| spec.replicas = 4);
    world.settle();
    assert_eq!(
        world.serving().values().sum::<usize>(),
        4,
        "{}",
        world.last_steps()
    );

    world.edit(|spec| spec.server = None);
    world.settle();
    assert_eq!(ready(&world).0, "AsDeclared");
}

#[test]
fn a_job_that_is_not_taken_is_told_and_holds_up_promotion_only() {
    let mut world = complete();
    world.fate.untaken.insert((Kind::Job, BAD.into()));
    world.edit(|spec| {
        spec.migration = serde_json::from_value(json!({"env": [{"name": "A", "value": BAD}]})).unwrap();
    });
    world.settle();
    let (reason, message) = ready(&world);
    assert_eq!(reason, "WriteRefused");
    assert!(
        message.contains("refuses Job orders-migrate-") && message.contains("env"),
        "{message}"
    );
    let before = world.writes;
    world.pass();
    assert_eq!(world.writes, before, "it isn't sent again");
    world.edit(|spec| spec.replicas = 5);
    world.settle();
    assert_eq!(
        world.serving().values().sum::<usize>(),
        5,
        "{}",
        world.last_steps()
    );
}

#[test]
fn a_volume_that_cannot_grow_holds_up_nothing() {
    let mut world = complete();
    world
        .fate
        .untaken
        .insert((Kind::PersistentVolumeClaim, "2Gi".into()));
    world.edit(|spec| {
        spec.database = serde_json::from_value(json!({"managed": {"storage": {"size": "2Gi"}}})).unwrap();
        spec.replicas = 4;
    });
    world.settle();
    assert_eq!(ready(&world).0, "WriteRefused");
    assert_eq!(
        world.serving().values().sum::<usize>(),
        4,
        "{}",
        world.last_steps()
    );
}

#[test]
fn the_first_declaration_says_what_is_not_taken() {
    let mut world = World::new();
    world.fate.untaken.insert((Kind::Deployment, BAD.into()));
    let mut spec = orders();
    spec.server =
        serde_json::from_value(json!({"podTemplate": {"spec": {"nodeSelector": {BAD: "x"}}}})).unwrap();
    world.create(spec);
    world.settle();
    assert_eq!(ready(&world).0, "WriteRefused");
}

#[test]
fn a_long_annotation_is_cut() {
    let mut world = complete();
    world.annotate("accord.dev/retry", &"\u{1f680}".repeat(50_000));
    world.fate.fail("migration", "registry.example/orders:2", 1);
    world.edit(|spec| spec.image = "registry.example/orders:2".into());
    world.settle();
    let service = world.service.as_ref().unwrap();
    let status = serde_json::to_vec(&service.status).unwrap();
    assert!(status.len() < 16 * 1024, "{}", status.len());
}
