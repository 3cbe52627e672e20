//! Crash before every single write, and read from a cache that lags: the end is always the same.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use accord_crds::meta::ANNOTATION_RETRY;
use accord_crds::spec::DeletionPolicy;
use accord_crds::{PodReason, Verdict};
use accord_plan::Kind;
use rstest::rstest;

use crate::cutover;
use crate::support::World;
use crate::support::end;
use crate::support::fixtures::{alone, external, orders};
use crate::support::stores::Database;
use crate::support::world::Crash;

const FIRST: &str = "registry.example/orders:1";
const SECOND: &str = "registry.example/orders:2";
const THIRD: &str = "registry.example/orders:3";

/// Crash points of all stories.
static POINTS: AtomicUsize = AtomicUsize::new(0);

/// One thing that happens; the world settles after it.
type Step<'a> = &'a dyn Fn(&mut World);

/// Runs a story undisturbed, with a crash before each of its writes (every second one with the operator away for long), and
/// with a lagging cache: the end is the same. Returns that end, and prints the number of points.
#[allow(clippy::explicit_write, reason = "println! would be captured")]
fn converges(name: &str, before: Step, steps: &[Step]) -> World {
    let mut calm = World::new();
    before(&mut calm);
    calm.settle();
    calm.writes = 0;
    let mut chapters = Vec::new();
    for step in steps {
        chapters.push(calm.clone());
        step(&mut calm);
        calm.settle();
    }
    let expected = end::state(&calm);
    let same = |world: &World, how: &str| {
        let got = end::state(world);
        let missing: Vec<_> = expected.iter().filter(|l| !got.contains(l)).collect();
        let surplus: Vec<_> = got.iter().filter(|l| !expected.contains(l)).collect();
        let last = world.last_steps();
        assert!(
            got == expected,
            "{name}, {how}, ends otherwise.\nmissing: {missing:#?}\nsurplus: {surplus:#?}\nlast steps:\n{last}"
        );
    };
    let points = calm.writes;
    assert!(points > 0, "{name} writes nothing");
    for point in 0..points {
        // The story goes on from the step in which the crash is.
        let step = chapters.partition_point(|c| c.writes <= point) - 1;
        let mut world = chapters[step].clone();
        world.crash = Some(Crash {
            before: point,
            long: point % 2 == 1,
        });
        go_on(&mut world, &steps[step..]);
        same(&world, &format!("crash before write {point}"));
    }
    let mut world = chapters.swap_remove(0);
    world.lagging = true;
    go_on(&mut world, steps);
    same(&world, "with a lagging cache");
    let all = POINTS.fetch_add(points, Ordering::Relaxed) + points;
    // Past the capture of the test runner: the number of points belongs into its output.
    writeln!(std::io::stdout(), "| {name} | {points} points, {all} so far |").unwrap();
    calm
}

fn go_on(world: &mut World, steps: &[Step]) {
    for step in steps {
        step(world);
        world.settle();
    }
}

fn nothing(_: &mut World) {}

fn create_orders(world: &mut World) {
    world.create(orders());
}

fn second_image(world: &mut World) {
    world.edit(|s| s.image = SECOND.into());
}

fn condition(world: &World, kind: &str) -> (String, String) {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let condition = status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

/// Asserts which images take traffic, and how many pods of each.
fn serves(world: &World, image: &str, pods: usize) {
    let expected = if pods == 0 {
        [].into()
    } else {
        [(image.to_owned(), pods)].into()
    };
    assert_eq!(world.serving(), expected, "{}", world.last_steps());
}

fn ready(world: &World) {
    assert_eq!(
        condition(world, "Ready"),
        ("True".into(), "AsDeclared".into()),
        "{}",
        world.last_steps()
    );
}

fn stalled(world: &World, reason: &str) {
    assert_eq!(
        condition(world, "Ready"),
        ("False".into(), reason.into()),
        "{}",
        world.last_steps()
    );
    assert_eq!(condition(world, "Stalled").0, "True");
}

#[test]
fn create() {
    let end = converges("create", &nothing, &[&create_orders]);
    serves(&end, FIRST, 3);
    ready(&end);
}

#[test]
fn create_with_stores_of_somebody_else() {
    let theirs = |world: &mut World| {
        world.secret(
            "their-database",
            &[(
                "uri",
                "postgres://app:pw-of-theirs@db.example:5432/app?sslmode=require",
            )],
        );
        world.secret(
            "their-cache",
            &[("uri", "rediss://:pw-of-theirs@cache.example:6379/0")],
        );
        let identifier = "theirs".to_owned();
        world.stores.external = Some(Database {
            identifier,
            ..Database::default()
        });
    };
    let create = |world: &mut World| world.create(external());
    let end = converges("create with external stores", &theirs, &[&create]);
    serves(&end, FIRST, 3);
    ready(&end);
    assert!(end.api.of(Kind::StatefulSet).is_empty());
}

#[test]
fn create_and_restart_alone() {
    let create = |world: &mut World| world.create(alone());
    let restart = |world: &mut World| {
        let pod = world.servers()[0].key.name.clone();
        world.restart(&pod);
    };
    let end = converges(
        "one replica without stores, restarted",
        &nothing,
        &[&create, &restart],
    );
    serves(&end, FIRST, 1);
    ready(&end);
}

#[test]
fn scale() {
    let one = |world: &mut World| {
        let mut spec = orders();
        spec.replicas = 1;
        world.create(spec);
    };
    let to = |from: usize, to: i32| {
        move |world: &mut World| {
            serves(world, FIRST, from);
            world.edit(|s| s.replicas = to);
        }
    };
    let end = converges(
        "scale 1→3→5→2→0→3",
        &one,
        &[&to(1, 3), &to(3, 5), &to(5, 2), &to(2, 0), &to(0, 3)],
    );
    serves(&end, FIRST, 3);
    ready(&end);
}

#[test]
fn image_change() {
    let end = converges("image change", &create_orders, &[&second_image]);
    serves(&end, SECOND, 3);
    ready(&end);
}

#[test]
fn failed_migration_then_a_mended_image() {
    let fails = |world: &mut World| {
        world.fate.fail("migration", SECOND, 1);
        second_image(world);
    };
    let scaled = |world: &mut World| {
        stalled(world, "MigrationFailed");
        serves(world, FIRST, 3);
        world.edit(|s| s.replicas = 4);
    };
    let mended = |world: &mut World| {
        serves(world, FIRST, 4);
        world.edit(|s| s.image = THIRD.into());
    };
    let end = converges(
        "failed migration, mended image",
        &create_orders,
        &[&fails, &scaled, &mended],
    );
    serves(&end, THIRD, 4);
    ready(&end);
}

#[test]
fn failed_migration_then_retried() {
    let fails = |world: &mut World| {
        world.fate.fail("migration", SECOND, 1);
        second_image(world);
    };
    let retried = |world: &mut World| {
        stalled(world, "MigrationFailed");
        world.fate.mend("migration", SECOND);
        world.annotate(ANNOTATION_RETRY, "1");
    };
    let end = converges("failed migration, retried", &create_orders, &[&fails, &retried]);
    serves(&end, SECOND, 3);
    ready(&end);
}

#[test]
fn first_migration_fails_and_is_retried() {
    let fails = |world: &mut World| {
        world.fate.fail("migration", FIRST, 1);
        create_orders(world);
    };
    let retried = |world: &mut World| {
        stalled(world, "MigrationFailed");
        assert!(world.servers().is_empty());
        world.fate.mend("migration", FIRST);
        world.annotate(ANNOTATION_RETRY, "1");
    };
    let end = converges("first migration fails, retried", &nothing, &[&fails, &retried]);
    serves(&end, FIRST, 3);
    ready(&end);
}

#[test]
fn diverging_candidate() {
    let diverges = |world: &mut World| {
        world.fate.diverging.insert(SECOND.into());
        second_image(world);
    };
    let scaled = |world: &mut World| {
        stalled(world, "CandidateWithdrawn");
        serves(world, FIRST, 3);
        world.edit(|s| s.replicas = 5);
    };
    let end = converges("diverging candidate", &create_orders, &[&diverges, &scaled]);
    serves(&end, FIRST, 5);
    stalled(&end, "CandidateWithdrawn");
    assert_eq!(end.servers().len(), 5, "none of the candidate is left");
}

#[test]
fn diverging_replica() {
    let diverges = |world: &mut World| {
        let odd = world.servers()[0].key.name.clone();
        world.turn(&[odd], Verdict::Diverges, PodReason::LocalSession);
    };
    let end = converges("diverging replica, replaced", &create_orders, &[&diverges]);
    serves(&end, FIRST, 3);
    ready(&end);
    assert_eq!(end.evicted.len(), 1);
}

#[test]
fn crashing_candidate() {
    let crashes = |world: &mut World| {
        world.fate.crashing.insert(SECOND.into());
        second_image(world);
    };
    let end = converges("crashing candidate", &create_orders, &[&crashes]);
    serves(&end, FIRST, 3);
    stalled(&end, "CandidateWithdrawn");
}

#[test]
fn rollback() {
    let both = |world: &mut World| {
        create_orders(world);
        second_image(world.settle());
    };
    let back = |world: &mut World| world.edit(|s| s.image = FIRST.into());
    let end = converges("rollback", &both, &[&back]);
    serves(&end, FIRST, 3);
    ready(&end);
    assert_eq!(
        end.service.unwrap().status.unwrap().released.unwrap().image,
        FIRST
    );
}

#[test]
fn container_restart() {
    let restart = |world: &mut World| {
        let pod = world.servers()[0].key.name.clone();
        world.restart(&pod);
    };
    let end = converges("container restart", &create_orders, &[&restart]);
    serves(&end, FIRST, 3);
    ready(&end);
}

#[test]
fn database_restart_in_a_rollout() {
    let restart = |world: &mut World| {
        second_image(world);
        while !world
            .servers()
            .iter()
            .any(|p| p.value["spec"]["containers"][0]["image"] == SECOND)
        {
            world.pass();
            world.tick();
        }
        world.restart("orders-postgres-0");
        world.pass();
        let template = &world.api.get(Kind::Deployment, "orders").unwrap()["spec"]["template"];
        assert_eq!(
            template["spec"]["containers"][0]["image"], SECOND,
            "a blip turns no rollout back"
        );
    };
    let end = converges("database restart in a rollout", &create_orders, &[&restart]);
    serves(&end, SECOND, 3);
    ready(&end);
}

#[test]
fn delete_and_adopt() {
    let delete = |world: &mut World| world.delete();
    let again = |world: &mut World| {
        assert!(world.api.of(Kind::Deployment).is_empty() && world.api.of(Kind::Pod).is_empty());
        create_orders(world);
    };
    let end = converges(
        "delete with Retain, create again",
        &create_orders,
        &[&delete, &again],
    );
    serves(&end, FIRST, 3);
    ready(&end);
    assert_eq!(end.api.births("Secret", "orders-keys"), 1, "the same key ring");
    for claim in ["data-orders-postgres-0", "data-orders-cache-0"] {
        assert_eq!(
            end.api.births("PersistentVolumeClaim", claim),
            1,
            "the same volume"
        );
    }
}

#[test]
fn delete_with_its_data() {
    let create = |world: &mut World| {
        let mut spec = orders();
        spec.deletion_policy = DeletionPolicy::Delete;
        world.create(spec);
    };
    let end = converges(
        "delete with Delete",
        &create,
        &[&|world: &mut World| world.delete()],
    );
    let left: Vec<String> = end.api.iter().map(|o| o.key.to_string()).collect();
    assert!(left.is_empty(), "left: {left:?}");
}

/// The objects that the core makes itself.
fn children() -> Vec<(Kind, String)> {
    let mut world = World::new();
    create_orders(&mut world);
    world.settle();
    let by_others = [Kind::Pod, Kind::ReplicaSet, Kind::PersistentVolumeClaim];
    world
        .api
        .iter()
        .map(|o| (o.key.kind, o.key.name.clone()))
        .filter(|(kind, _)| !by_others.contains(kind))
        .collect()
}

/// With somebody else's object in the way: it is left alone, and the status says so.
fn yields(kind: Kind, name: &str, end: &World) {
    let theirs = end.api.get(kind, name).unwrap();
    assert_eq!(
        theirs["metadata"]["labels"],
        serde_json::json!({"team": "somebody-else"})
    );
    assert_eq!(
        theirs["data"]["theirs"], "dGhlaXJz",
        "{kind:?}/{name} is left alone"
    );
    stalled(end, "Conflict");
}

#[rstest]
#[case(Kind::Secret, "orders-keys")]
#[case(Kind::ConfigMap, "orders-identity")]
#[case(Kind::Service, "orders")]
#[case(Kind::Deployment, "orders")]
#[case(Kind::StatefulSet, "orders-postgres")]
#[case(Kind::PodDisruptionBudget, "orders")]
fn conflict(#[case] kind: Kind, #[case] name: &str) {
    let occupied = |world: &mut World| world.occupy(kind, name);
    let end = converges(
        &format!("{kind:?}/{name} is somebody else's"),
        &occupied,
        &[&create_orders],
    );
    yields(kind, name, &end);
}

#[test]
fn conflict_with_any_child() {
    for (kind, name) in children() {
        let mut world = World::new();
        world.occupy(kind, &name);
        create_orders(&mut world);
        world.settle();
        yields(kind, &name, &world);
    }
}

#[test]
fn cutover_of_an_accepted_revision() {
    let withdrawn = |world: &mut World| {
        *world = cutover::released();
        cutover::declare(world, SECOND);
    };
    let end = converges("cutover, accepted", &withdrawn, &[&cutover::accept]);
    serves(&end, SECOND, 3);
    ready(&end);
}

#[test]
fn cutover_from_a_revision_that_is_not_anchored() {
    let unanchored = |world: &mut World| {
        *world = cutover::released();
        world.fate.unanchored.insert(FIRST.into());
    };
    let end = converges("cutover from an unanchored one", &unanchored, &[&second_image]);
    serves(&end, SECOND, 3);
    ready(&end);
}
