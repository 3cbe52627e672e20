//! Who may say something about whom: the witness of an examination, and the pods that one sweep joins.

use std::collections::BTreeSet;

use accord_plan::agreement::Basis;
use accord_plan::probe::ProbeTarget;

use super::{Entry, Schedule};

impl Schedule {
    /// The proved pods that the next sweep is made over. Revisions that are apart take turns.
    pub(super) fn sweepable(&self) -> Vec<ProbeTarget> {
        let proved = || self.entries.values().filter(|e| e.proved()).map(|e| &e.target);
        let revisions: BTreeSet<&str> = proved().map(|t| t.revision.as_str()).collect();
        let turn = self.sweeps.checked_rem(revisions.len()).unwrap_or_default();
        let only = revisions.into_iter().nth(turn).filter(|_| self.apart);
        proved()
            .filter(|t| only.is_none_or(|revision| t.revision == revision))
            .cloned()
            .collect()
    }

    /// The proved pods that may be asked about another one.
    fn witnesses(&self, subject: &Entry) -> impl Iterator<Item = &Entry> {
        let (uid, revision) = (subject.target.uid.clone(), subject.target.revision.clone());
        self.entries.values().filter(move |e| {
            let like = !self.apart || e.target.revision == revision;
            e.target.uid != uid && like && e.proved()
        })
    }

    /// A proved pod that isn't suspected itself, if there is one; after a failure another one. A witness that failed faces
    /// the pod that it failed with: among its like it might pass for ever.
    pub(super) fn witness(&self, subject: &Entry) -> Option<ProbeTarget> {
        let accuser = subject.accuser.as_ref().and_then(|uid| self.entries.get(uid));
        let mut candidates: Vec<&Entry> = self.witnesses(subject).collect();
        if let Some(accuser) = accuser.filter(|a| candidates.iter().any(|c| c.target.uid == a.target.uid)) {
            return Some(accuser.target.clone());
        }
        if candidates.iter().any(|e| e.due.is_none()) {
            candidates.retain(|e| e.due.is_none());
        }
        let turn = usize::try_from(subject.failures)
            .unwrap_or_default()
            .checked_rem(candidates.len())?;
        candidates.get(turn).map(|e| e.target.clone())
    }

    /// Keeps in mind that the witness of an anchored pod isn't anchored. True when that is so for all that could be asked.
    pub(super) fn note_unanchored(&mut self, uid: &str, witness: Option<&str>, basis: Basis) -> bool {
        let unanchored = witness.filter(|_| basis == Basis::Witness);
        if let Some(entry) = self.entries.get_mut(uid) {
            match unanchored {
                Some(witness) => drop(entry.unanchored.insert(witness.to_owned())),
                None => entry.unanchored.clear(),
            }
        }
        let Some(entry) = self.entries.get(uid).filter(|_| unanchored.is_some()) else {
            return false;
        };
        self.witnesses(entry)
            .all(|w| entry.unanchored.contains(&w.target.uid))
    }
}
