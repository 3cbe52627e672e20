//! A fake cluster: an API server in memory, Kubernetes' controllers, data stores, a prober, and users who meddle.

pub(crate) mod api;
pub(crate) mod controllers;
pub(crate) mod end;
pub(crate) mod facts;
pub(crate) mod fate;
pub(crate) mod fixtures;
pub(crate) mod stores;
pub(crate) mod world;

pub(crate) use world::World;

/// The example, declared and come to rest.
pub(crate) fn complete() -> World {
    let mut world = World::new();
    world.create(fixtures::orders());
    world.settle();
    world
}

/// Reason and message of `Ready`.
pub(crate) fn ready(world: &World) -> (String, String) {
    let status = world.service.as_ref().unwrap().status.as_ref().unwrap();
    let ready = &status.conditions[0];
    (ready.reason.clone(), ready.message.clone())
}
