//! The phases, one file each: what a phase wants to be there, and when the next may begin.

pub mod claim;
pub mod credentials;
pub mod cutover;
pub mod data_stores;
pub mod edge;
pub mod isolation;
pub mod once;
pub mod preflight;
pub mod runs;
pub mod standing;
pub mod startup;
pub mod verification;
pub mod workload;

use crate::key::Object;
use crate::outcome::Generate;

/// What a phase wants to be there.
#[derive(Default)]
pub struct Draft {
    /// Objects, compared with what is there.
    pub desired: Vec<Object>,
    /// Secrets to be made, where none of the name exists.
    pub generate: Vec<Generate>,
    /// Objects to be deleted.
    pub delete: Vec<Object>,
}

impl Draft {
    /// Wants an object.
    pub fn want(&mut self, object: Object) {
        self.desired.push(object);
    }
}
