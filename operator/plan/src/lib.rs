//! The pure core of Accord: [`plan`] maps a declaration and what is observed to the writes that are missing and the
//! status that is true. No I/O, no clock, no randomness; the crate's dependencies keep it so.
//!
//! Data goes one way: cluster → [`Observed`] → [`Plan`] → cluster.

pub mod agreement;
pub mod binding;
pub mod build;
pub mod context;
pub mod diff;
pub mod digest;
pub mod endpoint;
pub mod gate;
pub mod hosts;
pub mod identity;
pub mod key;
pub mod labels;
pub mod names;
mod observe;
pub mod observed;
pub mod outcome;
pub mod phases;
pub mod plan;
pub mod preflight;
pub mod preset;
pub mod probe;
mod prune;
pub mod revision;
pub mod status;
mod validate;

pub use key::{Kind, Object, ObjectKey};
pub use observed::Observed;
pub use outcome::Plan;
pub use plan::plan;
pub use validate::contradiction;
