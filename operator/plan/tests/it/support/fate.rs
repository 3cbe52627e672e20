//! What becomes of images in the fake: which ones fail, crash or diverge.

use std::collections::{BTreeMap, BTreeSet};

/// By image, and for runs by kind too.
#[derive(Clone, Default)]
pub(crate) struct Fate {
    failing: BTreeMap<(String, String), i32>,
    pub(crate) crashing: BTreeSet<String>,
    pub(crate) diverging: BTreeSet<String>,
    /// What the prober says of a diverging pod.
    pub(crate) evidence: String,
}

impl Fate {
    /// Runs of a kind (`migration`, `seed`, `canary`) of an image end with this exit code.
    pub(crate) fn fail(&mut self, kind: &str, image: &str, code: i32) {
        self.failing.insert((kind.to_owned(), image.to_owned()), code);
    }

    /// They succeed again.
    pub(crate) fn mend(&mut self, kind: &str, image: &str) {
        self.failing.remove(&(kind.to_owned(), image.to_owned()));
    }

    pub(crate) fn exit_code(&self, kind: &str, _entry: &str, image: &str) -> i32 {
        self.failing
            .get(&(kind.to_owned(), image.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn crashes(&self, image: &str) -> bool {
        self.crashing.contains(image)
    }

    pub(crate) fn diverges(&self, image: &str) -> bool {
        self.diverging.contains(image)
    }
}
