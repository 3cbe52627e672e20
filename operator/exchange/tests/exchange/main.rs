//! The exchange against small servers on loopback: from what they do wrong to the verdict that names it.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

#[path = "../fake/mod.rs"]
mod fake;
mod setup;

mod alone;
mod blame;
mod edge;
mod hostnames;
mod pairs;
mod passwords;
mod robust;
mod sweeps;
mod vendors;
