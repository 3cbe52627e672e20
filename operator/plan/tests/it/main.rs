//! The core against a fake cluster: golden files, convergence after a crash at every write, histories at random, validation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod calm;
mod convergence;
mod cutover;
mod edge;
mod golden;
mod hostnames;
mod initdb;
mod isolation;
mod kept;
mod lost;
mod observe;
mod preflight;
mod properties;
mod refused;
mod releases;
mod repair;
mod request;
mod support;
mod validation;
