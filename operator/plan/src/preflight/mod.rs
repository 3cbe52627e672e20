//! Preflight: what an image prints about itself (`facts`), compared with the declaration (`judge`). Pure, and the only
//! place that knows what contradicts what; when it is asked is the business of `phases::preflight`.
//!
//! What isn't printed isn't claimed: a fact that is missing contradicts nothing.

mod advice;
mod facts;
mod judge;
#[cfg(test)]
mod tests;

pub use facts::{Cache, Cookie, Database, Facts, Key, Sessions, read};
pub use judge::{Contradiction, Declared, ExpectedDatabase, Judgement, judge};
