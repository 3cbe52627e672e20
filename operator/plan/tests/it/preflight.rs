//! Before the first server of a revision its image is asked what that would use: once, and not believed blindly.

use accord_crds::Verdict;
use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::preflight::{Preflight, PreflightMode, PreflightStatus};
use accord_plan::{Kind, ObjectKey};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::facts::Told;
use crate::support::fixtures::{alone, orders};

const FIRST: &str = "registry.example/orders:1";
const SECOND: &str = "registry.example/orders:2";

fn tells(world: &mut World, image: &str, facts: Value) {
    world
        .fate
        .told
        .insert(image.into(), Told::Facts(vec![facts.clone(), facts]));
}

fn mode(mode: PreflightMode) -> Preflight {
    Preflight {
        mode: Some(mode),
        command: Vec::new(),
    }
}

/// Status, reason and message of a condition.
fn condition(world: &World, kind: &str) -> (String, String, String) {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let c = status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    (c.status.clone(), c.reason.clone(), c.message.clone())
}

fn known(world: &World) -> Option<PreflightStatus> {
    world
        .service
        .as_ref()
        .unwrap()
        .status
        .as_ref()
        .unwrap()
        .preflight
        .clone()
}

fn jobs(world: &World) -> Vec<ObjectKey> {
    let mut keys: Vec<ObjectKey> = world.api.of(Kind::Job).iter().map(|j| j.key.clone()).collect();
    keys.retain(|k| k.name.starts_with("orders-preflight-"));
    keys
}

/// How often an image was asked.
fn asked(world: &World) -> u32 {
    jobs(world).iter().map(|j| world.api.births("Job", &j.name)).sum()
}

#[rstest]
#[case::sqlite(json!({"database": {"engine": "sqlite", "name": "db.sqlite3"}}), "LocalDatabase", "DATABASE_URL")]
#[case::another_server(json!({"database": {"engine": "postgresql", "host": "db.example", "name": "app"}}), "LocalDatabase", "db.example")]
#[case::memory(json!({"sessions": {"store": "locmem", "place": "memory"}}), "LocalSession", "REDIS_URL")]
#[case::key(json!({"keys": [{"name": "SECRET_KEY", "fingerprint": "00"}]}), "KeyMismatch", "SECRET_KEY")]
#[case::host(json!({"hosts": ["localhost"]}), "HostnameMismatch", "ALLOWED_HOSTS")]
fn a_refused_revision_never_gets_a_server(#[case] facts: Value, #[case] reason: &str, #[case] paste: &str) {
    let mut world = World::new();
    tells(&mut world, FIRST, facts);
    world.fate.refused.insert(FIRST.into());
    world.create(orders());
    world.settle();
    assert!(
        world.api.get(Kind::Deployment, "orders").is_none(),
        "{}",
        world.last_steps()
    );
    for kind in ["PreflightPassed", "Ready"] {
        let (status, found, message) = condition(&world, kind);
        assert_eq!((status.as_str(), found.as_str()), ("False", reason));
        assert!(
            message.contains(paste) && message.contains("mode: Report"),
            "{message}"
        );
    }
    assert_eq!(condition(&world, "Stalled").0, "True");
    // Mended, it is asked anew and goes on.
    world.edit(|s| s.image = SECOND.into());
    world.settle();
    assert_eq!(world.serving(), [(SECOND.to_owned(), 3)].into());
    assert_eq!(condition(&world, "PreflightPassed").0, "True");
}

#[test]
fn a_key_made_at_start_differs_between_the_two_runs() {
    let mut world = World::new();
    let made = |key: &str| json!({"keys": [{"name": "SECRET_KEY", "fingerprint": key}]});
    world
        .fate
        .told
        .insert(FIRST.into(), Told::Facts(vec![made("01"), made("02")]));
    world.create(orders());
    world.settle();
    let (_, reason, message) = condition(&world, "PreflightPassed");
    assert_eq!(reason, "KeyMismatch");
    assert!(message.contains("made at start"), "{message}");
    assert!(world.servers().is_empty());
}

#[test]
fn an_update_that_is_refused_leaves_the_released_one_alone() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    tells(&mut world, SECOND, json!({"database": {"engine": "sqlite"}}));
    world.fate.refused.insert(SECOND.into());
    world.edit(|s| s.image = SECOND.into());
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
    // Scaling goes on, of the released one.
    world.edit(|s| s.replicas = 5);
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 5)].into());
    assert_eq!(condition(&world, "Ready").1, "LocalDatabase");
}

#[rstest]
#[case(Told::Nothing, "ModuleNotFoundError")]
#[case(Told::Silence, "left no message")]
#[case(Told::Facts(vec![json!({"accordFacts": 7})]), "printed no line")]
fn no_answer_stops_nobody(#[case] told: Told, #[case] why: &str) {
    let mut world = World::new();
    world.fate.told.insert(FIRST.into(), told);
    world.create(orders());
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
    let (status, reason, message) = condition(&world, "PreflightPassed");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("Unknown", "FactsUnavailable")
    );
    assert!(
        message.contains(why) && message.contains("spec.preflight.command"),
        "{message}"
    );
    assert_eq!(condition(&world, "Ready").0, "True");
    assert_eq!(asked(&world), 1);
}

#[test]
fn an_answer_outlives_the_job_and_is_not_asked_for_again() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    assert_eq!(
        (asked(&world), known(&world).unwrap().verdict),
        (1, Verdict::Agrees)
    );
    let deployment = world.api.get(Kind::Deployment, "orders").unwrap().clone();
    for job in jobs(&world) {
        world.remove(job.kind, &job.name);
    }
    world.forget();
    world.settle();
    assert_eq!(jobs(&world), []);
    assert_eq!(world.api.get(Kind::Deployment, "orders"), Some(&deployment));
    assert_eq!(condition(&world, "PreflightPassed").0, "True");
    // Scaling and other fields that make no revision ask nothing.
    world.edit(|s| s.replicas = 4);
    world.settle();
    assert_eq!(jobs(&world), []);
}

#[test]
fn a_refusal_outlives_the_job_until_somebody_asks_again() {
    let mut world = World::new();
    tells(&mut world, FIRST, json!({"hosts": ["localhost"]}));
    world.create(orders());
    world.settle();
    for job in jobs(&world) {
        world.remove(job.kind, &job.name);
    }
    world.forget();
    world.settle();
    assert_eq!(
        (jobs(&world).len(), condition(&world, "Ready").1.as_str()),
        (0, "HostnameMismatch")
    );
    // What the declaration doesn't show was mended: a ConfigMap that the servers read.
    world.fate.told.remove(FIRST);
    world.annotate(ANNOTATION_RETRY, "1");
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
}

#[test]
fn report_tells_and_goes_on_and_skip_asks_nothing() {
    let facts = json!({"sessions": {"store": "locmem", "place": "memory"}});
    let mut world = World::new();
    tells(&mut world, FIRST, facts);
    let mut spec = orders();
    spec.preflight = Some(mode(PreflightMode::Report));
    world.create(spec);
    world.settle();
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
    let (status, reason, _) = condition(&world, "PreflightPassed");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "LocalSession"));
    assert_eq!(condition(&world, "Ready").0, "True");
    let pods: Vec<String> = world.servers().iter().map(|p| p.uid().to_owned()).collect();

    world.edit(|s| s.preflight = Some(mode(PreflightMode::Skip)));
    world.settle();
    let (status, _, message) = condition(&world, "PreflightPassed");
    assert_eq!(status, "True");
    assert!(message.contains("skipped"), "{message}");
    let same: Vec<String> = world.servers().iter().map(|p| p.uid().to_owned()).collect();
    assert_eq!(pods, same, "the mode is no part of a revision");

    let mut world = World::new();
    let mut spec = orders();
    spec.preflight = Some(mode(PreflightMode::Skip));
    world.create(spec);
    world.settle();
    assert_eq!((jobs(&world).len(), known(&world)), (0, None));
    assert_eq!(world.serving(), [(FIRST.to_owned(), 3)].into());
}

#[test]
fn the_image_is_asked_with_what_the_servers_get() {
    let mut world = World::new();
    let mut spec = orders();
    spec.server = serde_json::from_value(json!({
        "env": [{"name": "MODE", "value": "production"}],
        "podTemplate": {"spec": {
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
            "containers": [
                {"name": "server", "env": [{"name": "FROM_PATCH", "value": "1"}], "livenessProbe": {"periodSeconds": 1},
                    "command": ["sleep"], "volumeMounts": [{"name": "settings", "mountPath": "/settings"}]},
                {"name": "sidecar", "image": "registry.example/proxy:1"}]}}
    }))
    .unwrap();
    world.create(spec);
    world.settle();
    let job = world.api.get(Kind::Job, &jobs(&world)[0].name).unwrap();
    let server = world.api.get(Kind::Deployment, "orders").unwrap();
    let pod = |object: &Value| object["spec"]["template"]["spec"].clone();
    let containers = pod(job)["containers"].as_array().unwrap().clone();
    assert_eq!(containers.len(), 1, "a sidecar would keep the Job from ending");
    let container = &containers[0];
    let env = |container: &Value| container["env"].as_array().unwrap().clone();
    for variable in env(&pod(server)["containers"][0]) {
        assert!(env(container).contains(&variable), "{variable} is missing");
    }
    let command = container["command"].as_array().unwrap();
    assert!(
        command[0] == "/accord/bin/accord-runner" && command[1] == "facts",
        "{command:?}"
    );
    assert!(container["livenessProbe"].is_null());
    let mounted = |c: &Value| {
        c["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|m| m["name"] == "settings")
    };
    assert!(mounted(container) && pod(job)["volumes"].to_string().contains("configMap"));
    assert!(
        !pod(job).to_string().contains("accord-runner-uri"),
        "the ledger is no business of the application"
    );
}

#[test]
fn without_shared_stores_it_is_still_asked_for_hosts_and_keys() {
    let mut world = World::new();
    tells(
        &mut world,
        FIRST,
        json!({"database": {"engine": "sqlite"}, "sessions": {"place": "memory"}}),
    );
    world.create(alone());
    world.settle();
    assert_eq!(world.servers().len(), 1, "{}", world.last_steps());
    assert_eq!(condition(&world, "PreflightPassed").0, "True");
}
