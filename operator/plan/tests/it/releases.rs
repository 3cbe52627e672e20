//! The record of releases, seen too late or not at all: which revision serves never hangs on that.

use accord_plan::{Kind, Object, ObjectKey};
use serde_json::Value;

use crate::support::{World, complete};

const SECOND: &str = "registry.example/orders:2";
const FAILING: &str = "registry.example/orders:3";

/// Releases an image.
fn release(world: &mut World, image: &str) {
    world.edit(|spec| image.clone_into(&mut spec.image));
    world.settle();
}

/// The records by name, with their numbers.
fn numbers(world: &World) -> Vec<(String, i64)> {
    let records = world.api.of(Kind::ControllerRevision);
    let number = |o: &Object| o.value["revision"].as_i64().unwrap();
    records.iter().map(|o| (o.key.name.clone(), number(o))).collect()
}

/// The record with the highest number is out of sight, as in a list of before it was written.
fn hide_the_last(world: &mut World) -> (String, Value) {
    let (name, _) = numbers(world)
        .into_iter()
        .max_by_key(|(_, number)| *number)
        .unwrap();
    let value = world.api.get(Kind::ControllerRevision, &name).unwrap().clone();
    world.remove(Kind::ControllerRevision, &name);
    (name, value)
}

fn show(world: &mut World, (name, value): (String, Value)) {
    let key = ObjectKey::new(Kind::ControllerRevision, name);
    world.api.create(&Object { key, value }).unwrap();
}

/// The next image can't be released: what was released last has to serve on.
fn next_one_fails(world: &mut World) {
    world.fate.fail("migration", FAILING, 1);
    release(world, FAILING);
}

fn serves(world: &World, image: &str) {
    let serving = world.serving();
    assert_eq!(
        serving.keys().collect::<Vec<_>>(),
        [image],
        "{}",
        world.last_steps()
    );
}

fn has_numbers(world: &World, expected: [i64; 2]) {
    let mut given: Vec<i64> = numbers(world).into_iter().map(|(_, number)| number).collect();
    given.sort_unstable();
    assert_eq!(given, expected, "{}", world.last_steps());
}

#[test]
fn a_record_that_is_not_seen_doesnt_give_its_number_to_another() {
    let mut world = complete();
    let first = hide_the_last(&mut world);
    release(&mut world, SECOND);
    show(&mut world, first);
    next_one_fails(&mut world);
    serves(&world, SECOND);
    has_numbers(&world, [1, 2]);
}

#[test]
fn going_back_is_a_release_also_where_the_one_between_is_not_seen() {
    let mut world = complete();
    let first = world.service.as_ref().unwrap().spec.image.clone();
    release(&mut world, SECOND);
    let second = hide_the_last(&mut world);
    release(&mut world, &first);
    show(&mut world, second);
    next_one_fails(&mut world);
    serves(&world, &first);
    has_numbers(&world, [2, 3]);
}

#[test]
fn a_record_that_somebody_deleted_is_written_again() {
    let mut world = complete();
    release(&mut world, SECOND);
    let (name, _) = hide_the_last(&mut world);
    world.settle();
    assert!(
        numbers(&world).contains(&(name, 3)),
        "{:?}\n{}",
        numbers(&world),
        world.last_steps()
    );
    next_one_fails(&mut world);
    serves(&world, SECOND);
}

#[test]
fn two_records_of_one_number_are_told_apart() {
    let mut world = complete();
    release(&mut world, SECOND);
    let names = numbers(&world);
    for (name, _) in &names {
        world.meddle(Kind::ControllerRevision, name, |v| v["revision"] = 2.into());
    }
    world.settle();
    has_numbers(&world, [2, 3]);
    next_one_fails(&mut world);
    serves(&world, SECOND);
}
