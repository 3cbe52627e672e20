//! What the data stores answer, and how replicas are found by the prober.

use std::collections::BTreeSet;

use accord_crds::{PodReason, Verdict};
use accord_plan::agreement::{Basis, Grounds, Proof};
use accord_plan::observed::Answer;
use accord_plan::probe::{ProbeRequest, ProbeTarget};
use accord_plan::status::bounded;
use accord_plan::{Kind, Plan};

use super::World;

/// What a pod's witnesses show.
#[derive(Clone, Copy)]
enum Facing {
    Sound,
    Contradiction,
    /// They aren't what was declared, and the pod is.
    Unanchored,
}

impl World {
    /// The data stores answer what is asked anew, and what was answered with an error. True when an answer changed.
    pub(super) fn ask(&mut self, plan: &Plan) -> bool {
        let database = plan.checks.database.as_ref().map(|check| {
            let known = self
                .memory
                .database
                .clone()
                .filter(|a| a.trigger == check.trigger && a.facts.is_ok());
            known.unwrap_or_else(|| Answer {
                trigger: check.trigger.clone(),
                facts: self.stores.database(&self.api),
            })
        });
        let cache = plan.checks.cache.as_ref().map(|check| {
            let known = self
                .memory
                .cache
                .clone()
                .filter(|a| a.trigger == check.trigger && a.facts.is_ok());
            known.unwrap_or_else(|| Answer {
                trigger: check.trigger.clone(),
                facts: self.stores.cache(&self.api),
            })
        });
        let changed = database != self.memory.database || cache != self.memory.cache;
        self.memory.database = database;
        self.memory.cache = cache;
        changed
    }

    /// The prober proves containers that it hasn't proved yet. True when there is a new proof.
    pub(super) fn probe(&mut self, request: Option<&ProbeRequest>) -> bool {
        let before = self.memory.proofs.clone();
        let Some(request) = request else {
            self.memory.proofs.clear();
            return !before.is_empty();
        };
        if std::mem::replace(&mut self.memory.retry, request.retry.clone()) != request.retry {
            self.memory.proofs.clear();
        }
        for target in &request.targets {
            let known = self.memory.proofs.get(&target.uid).is_some_and(|p| {
                let asked = target.proved || p.grounds.apart == request.apart;
                p.containers == target.containers && asked
            });
            let Some(pod) = self.api.get(Kind::Pod, &target.pod).filter(|_| !known) else {
                continue;
            };
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
            let alone = self.fate.verdict(&target.pod, image, target.proved);
            let ((verdict, reason), basis) = match self.facing(request, target, image) {
                Facing::Sound => (alone, Basis::Subject),
                _ if alone.0 == Verdict::Diverges => (alone, Basis::Subject),
                Facing::Unanchored => ((Verdict::Unknown, PodReason::Pending), Basis::Witness),
                Facing::Contradiction => ((Verdict::Diverges, PodReason::LocalSession), Basis::Pair),
            };
            let witness = self.witnesses(request, target).next().map(|w| w.revision.clone());
            let message = match verdict {
                Verdict::Agrees => String::new(),
                _ => bounded(&format!(
                    "login answered 401, expected 200 {}",
                    self.fate.evidence
                )),
            };
            let containers = target.containers.clone();
            self.memory.proofs.insert(
                target.uid.clone(),
                Proof {
                    containers,
                    verdict,
                    reason,
                    message,
                    grounds: Grounds {
                        basis,
                        witness,
                        apart: request.apart,
                    },
                },
            );
        }
        let targets: BTreeSet<&String> = request.targets.iter().map(|t| &t.uid).collect();
        self.memory.proofs.retain(|uid, _| targets.contains(uid));
        before != self.memory.proofs
    }

    /// The pods that are asked about another one.
    fn witnesses<'a>(
        &'a self,
        request: &'a ProbeRequest,
        target: &'a ProbeTarget,
    ) -> impl Iterator<Item = &'a ProbeTarget> {
        let agrees = |t: &ProbeTarget| {
            let proof = self.memory.proofs.get(&t.uid);
            let fresh = proof.filter(|p| p.grounds.apart == request.apart);
            t.proved || fresh.is_some_and(|p| p.verdict == Verdict::Agrees)
        };
        request.targets.iter().filter(move |t| {
            let like = !request.apart || t.revision == target.revision;
            t.uid != target.uid && like && agrees(t)
        })
    }

    /// What a pod's witnesses show: one that keeps its state to itself, or honours only its like, contradicts.
    fn facing(&self, request: &ProbeRequest, target: &ProbeTarget, image: &str) -> Facing {
        let of = |witness: &ProbeTarget| {
            let pod = self.api.get(Kind::Pod, &witness.pod).unwrap();
            pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
        };
        let images: Vec<String> = self.witnesses(request, target).map(of).collect();
        let fits = |other: &String| {
            let lonely = [image, other].iter().any(|i| self.fate.lonely.contains(*i));
            let foreign = [image, other].iter().any(|i| self.fate.foreign.contains(*i));
            !lonely && (!foreign || image == other)
        };
        let unanchored = |image: &str| self.fate.unanchored.contains(image);
        if !images.is_empty() && !unanchored(image) && images.iter().all(|i| unanchored(i)) {
            Facing::Unanchored
        } else if images
            .iter()
            .filter(|i| unanchored(image) || !unanchored(i))
            .all(fits)
        {
            Facing::Sound
        } else {
            Facing::Contradiction
        }
    }
}
