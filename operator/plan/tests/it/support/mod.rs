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
