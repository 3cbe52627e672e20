//! What becomes of images in the fake: which ones fail, crash or diverge.

use std::collections::{BTreeMap, BTreeSet};

use accord_crds::{PodReason, Verdict};
use accord_plan::{Kind, Object};

use super::facts::Told;

/// By image, and for runs by kind too.
#[derive(Clone, Default)]
pub(crate) struct Fate {
    failing: BTreeMap<(String, String), i32>,
    pub(crate) crashing: BTreeSet<String>,
    pub(crate) diverging: BTreeSet<String>,
    /// Images that no node can get for its servers.
    pub(crate) out_of_reach: BTreeSet<String>,
    /// Images whose pods keep their state to themselves: one alone looks right, two never agree.
    pub(crate) lonely: BTreeSet<String>,
    /// Images whose pods honour each other's sessions and no other image's.
    pub(crate) foreign: BTreeSet<String>,
    /// Images whose pods aren't what was declared, which shows only beside one that is.
    pub(crate) unanchored: BTreeSet<String>,
    /// What is found out about a pod, by its name, whatever its image.
    pub(crate) pods: BTreeMap<String, (Verdict, PodReason)>,
    /// What is found out about every pod: the canary is locked, or the recipe is wrong.
    pub(crate) every_pod: Option<(Verdict, PodReason)>,
    /// What is found out about pods that were never proved.
    pub(crate) fails_when_new: Option<(Verdict, PodReason)>,
    /// Evictions are refused: somebody's budget forbids them.
    pub(crate) budget_forbids: bool,
    /// What images print when they are asked what their servers would use; the others print what is right.
    pub(crate) told: BTreeMap<String, Told>,
    /// Images that must never get a server.
    pub(crate) refused: BTreeSet<String>,
    /// Objects that the API server doesn't take: of a kind, with this text in them.
    pub(crate) untaken: BTreeSet<(Kind, String)>,
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

    /// True when the API server takes no such object.
    pub(crate) fn refuses(&self, object: &Object) -> bool {
        let text = object.value.to_string();
        let mut all = self.untaken.iter();
        all.any(|(kind, part)| *kind == object.key.kind && text.contains(part))
    }

    pub(crate) fn crashes(&self, image: &str) -> bool {
        self.crashing.contains(image)
    }

    /// What the prober finds out about a pod of an image.
    pub(crate) fn verdict(&self, pod: &str, image: &str, proved: bool) -> (Verdict, PodReason) {
        let new = self.fails_when_new.filter(|_| !proved);
        let found = self.every_pod.or(self.pods.get(pod).copied()).or(new);
        found.unwrap_or(if self.diverging.contains(image) {
            (Verdict::Diverges, PodReason::LocalDatabase)
        } else {
            (Verdict::Agrees, PodReason::Verified)
        })
    }
}
