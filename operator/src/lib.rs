//! The operator's I/O: it watches, hands what it sees to the pure core, carries out what the core wants, and tells.
//! Decisions are in `accord-plan`.

mod apply;
pub mod check;
mod checks;
mod context;
mod contradictions;
mod controller;
mod error;
mod events;
mod fence;
mod http;
mod index;
mod leader;
mod lock;
mod material;
mod metrics;
mod observe;
pub mod prober;
mod queue;
mod reconcile;
pub mod run;
pub mod settings;
mod status;
pub mod telemetry;
mod watched;
