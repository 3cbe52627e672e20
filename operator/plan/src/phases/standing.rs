//! How each replica stands: whether its gate is open, for which containers and why, and what was found out about them.
//!
//! Proof belongs to containers: the gate of a pod survives a restart of its container, so an open gate that names other
//! containers counts as none.

use accord_crds::meta::{GATE_AGREES, GATE_ALONE, GATE_UNPROVED};
use accord_crds::{PodReason, Verdict};
use jiff::Timestamp;

use crate::agreement::Proof;
use crate::context::Context;
use crate::digest;
use crate::key::Object;
use crate::phases::workload::{condition, containers_ready, has_started, runs, servers};

/// One replica as it stands.
pub struct Standing<'a> {
    /// Its pod.
    pub pod: &'a Object,
    /// A digest of the containers that run now.
    pub containers: String,
    /// Its gate.
    door: Door,
    /// What was found out about these containers.
    pub proof: Option<&'a Proof>,
    /// True when it is no witness any more and is to leave traffic: users were switched to another revision, or nothing was
    /// ever released and a newer one is declared, of which it says nothing.
    pub superseded: bool,
    /// True when it is behind the Service, once it is ready.
    pub selected: bool,
    /// True when it is of the revision that users are to be switched to.
    pub newcomer: bool,
}

/// A readiness gate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    /// Closed, or not there yet.
    Closed,
    /// Open for containers that run no more.
    Stale,
    /// Open for these containers, unproved.
    Admitted,
    /// Open for these containers, because they were proved.
    Proved,
}

/// How an open gate names the containers that it belongs to.
pub fn binding_message(containers: &str) -> String {
    format!("containers {containers}")
}

/// The replicas that aren't being deleted: see [`Context::standings`].
pub fn standings<'a>(context: &Context<'a>) -> Vec<Standing<'a>> {
    let cutover = context.cutover();
    let candidate = Some(context.declared())
        .filter(|d| context.released().is_some_and(|r| r.digest != d.digest))
        .map(|d| d.digest.as_str());
    servers(context)
        .map(|pod| {
            let containers = containers(pod);
            let gate = condition(pod, GATE_AGREES);
            let door = match gate.filter(|c| c["status"] == "True") {
                None => Door::Closed,
                Some(c) if c["message"] != *binding_message(&containers) => Door::Stale,
                Some(c) if c["reason"] == GATE_UNPROVED || c["reason"] == GATE_ALONE => Door::Admitted,
                Some(_) => Door::Proved,
            };
            // Among its like it was asked another question than with those of another revision.
            let counts = |p: &&Proof| door == Door::Proved || p.grounds.apart == cutover.is_apart();
            Standing {
                pod,
                door,
                proof: proof(context, pod).filter(counts),
                superseded: cutover.supersedes(context, pod),
                selected: cutover.selects(pod),
                newcomer: cutover.is_apart() && candidate.is_some_and(|c| runs(pod, c)),
                containers,
            }
        })
        .collect()
}

/// What was found out about the containers of a pod that run now.
pub fn proof<'a>(context: &Context<'a>, pod: &Object) -> Option<&'a Proof> {
    let found = context.observed.proofs.get(pod.uid())?;
    (found.containers == containers(pod)).then_some(found)
}

impl Standing<'_> {
    /// True when its gate is open, for whatever containers.
    pub fn is_open(&self) -> bool {
        self.door > Door::Closed
    }

    /// True when its gate is open for these containers, for whatever reason.
    pub fn is_admitted(&self) -> bool {
        self.door > Door::Stale
    }

    /// True when its gate is open for these containers because they were proved.
    pub fn is_bound(&self) -> bool {
        self.door == Door::Proved
    }

    /// The verdict about the containers that run now.
    pub fn verdict(&self) -> Option<Verdict> {
        self.proof.map(|p| p.verdict)
    }

    /// True when an exchange has contradicted it.
    pub fn diverges(&self) -> bool {
        self.verdict() == Some(Verdict::Diverges)
    }

    /// True when it was proved, now or before, and nothing contradicts that.
    pub fn is_proved(&self) -> bool {
        self.verdict() == Some(Verdict::Agrees) || self.is_bound() && !self.diverges()
    }

    /// True when it was examined and nothing can be said of it.
    pub fn is_unverifiable(&self) -> bool {
        let examined = |p: &Proof| p.verdict == Verdict::Unknown && p.reason != PodReason::Pending;
        has_started(self.pod) && self.proof.is_some_and(examined)
    }

    /// True when it takes traffic, as kubelet says too.
    pub fn serves(&self) -> bool {
        let ready = condition(self.pod, "Ready").is_some_and(|c| c["status"] == "True");
        self.is_admitted() && ready && containers_ready(self.pod)
    }

    /// True when users can rely on it: it takes traffic, was proved, and nothing contradicts that.
    pub fn stays(&self) -> bool {
        self.is_bound() && self.serves() && !self.diverges()
    }

    /// Since when its gate has been closed because it diverges, if it still does. One that never took traffic isn't
    /// isolated: to replace it would change nothing.
    pub fn isolated_since(&self) -> Option<Timestamp> {
        let gate = condition(self.pod, GATE_AGREES).filter(|c| c["status"] == "False")?;
        let restarted = gate["reason"] == PodReason::Pending.as_str();
        let since = gate["lastTransitionTime"].as_str()?.parse().ok()?;
        (self.diverges() && !restarted).then_some(since)
    }
}

/// A digest of the container IDs of a pod. One that has ended counts no more: its gate is closed before the next one runs,
/// so that kubelet has seen it closed when it first works on that one (ADR 3).
pub fn containers(pod: &Object) -> String {
    let over = |c: &serde_json::Value| {
        ["terminated", "waiting"]
            .iter()
            .any(|state| c["state"][*state].is_object())
    };
    let mut ids: Vec<String> = pod.value["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let id = if over(c) {
                ""
            } else {
                c["containerID"].as_str().unwrap_or_default()
            };
            format!("{}={:?}", c["name"], id)
        })
        .collect();
    ids.sort();
    digest::short(ids.join(" ").as_bytes())
}
