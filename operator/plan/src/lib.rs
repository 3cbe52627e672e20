//! The pure core of Accord: [`plan`] maps a declaration and what is observed to the writes that are missing and the
//! status that is true. No I/O, no clock, no randomness; the crate's dependencies keep it so.
//!
//! Data goes one way: cluster → [`Observed`] → [`Plan`] → cluster.

pub mod agreement;
pub mod key;
pub mod observed;
pub mod outcome;
pub mod probe;

pub use key::{Kind, Object, ObjectKey};
pub use observed::Observed;
pub use outcome::Plan;
