//! A real cluster for the demo and the tests, and the scenarios that run on it. The cluster is either the embedded
//! one, which this crate brings up on the machine itself, or one that the user has and names by its context.
//!
//! Everything here runs other programs (kubectl, helm, buildah) rather than linking a client: `cargo xtask` compiles
//! in seconds, and what it does can be repeated by hand.

mod api;
mod audit;
pub mod chaos;
pub mod cluster;
pub mod demo;
pub mod digest;
pub mod embedded;
pub mod exec;
pub mod http;
pub mod images;
pub mod incidents;
mod leaks;
mod machine;
pub mod mutations;
pub mod paths;
mod process;
pub mod progress;
mod rights;
pub mod sbom;
pub mod scenarios;
pub mod testing;
pub mod wait;
mod watch;
