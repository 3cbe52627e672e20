//! What must hold at every write, and at every step of the cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use accord_crds::Verdict;
use accord_crds::meta::{GATE_AGREES, LABEL_ROLE};
use accord_plan::outcome::GatePatch;
use accord_plan::{Kind, Object};

use super::super::api::array;
use super::super::controllers;
use super::{SERVICE, World, container_ids};

impl World {
    /// The images of the pods that get new connections.
    pub(crate) fn endpoints(&self) -> BTreeSet<String> {
        let pods = self.servers();
        let ready = pods
            .iter()
            .filter(|p| controllers::is_true(&p.value, "Ready") && self.is_selected(p));
        let image = |p: &Arc<Object>| {
            p.value["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        ready.map(image).collect()
    }

    /// True when the Service's selector is a pod's.
    pub(super) fn is_selected(&self, pod: &Object) -> bool {
        let service = self.api.get(Kind::Service, SERVICE);
        let selector = service.and_then(|s| s["spec"]["selector"].as_object());
        selector.is_some_and(|s| s.iter().all(|(k, v)| pod.label(k) == v.as_str()))
    }

    /// Users never meet two images that don't honour each other's sessions, and, where nothing else fails, never nobody.
    pub(super) fn check_service(&self) {
        let images = self.endpoints();
        let foreign = images.iter().any(|i| self.fate.foreign.contains(i));
        assert!(
            !foreign || images.len() == 1,
            "users meet {images:?}\n{}",
            self.last_steps()
        );
        assert!(
            !self.always_served || !images.is_empty(),
            "users meet nobody\n{}",
            self.last_steps()
        );
    }

    /// No server starts before the ledger holds migration and seeds of its image.
    pub(super) fn check_ledger(&mut self, object: &Object) {
        let spec = &self.service.as_ref().unwrap().spec;
        if object.key.kind != Kind::Deployment || spec.database.is_none() {
            return;
        }
        let image = object.value["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap();
        let live = self.api.get(Kind::Deployment, &object.key.name);
        if live.is_some_and(|l| l["spec"]["template"]["spec"]["containers"][0]["image"] == *image) {
            return;
        }
        assert!(
            !self.fate.refused.contains(image),
            "servers of {image}, which preflight refuses\n{}",
            self.last_steps()
        );
        let done = |kind: &str, name: Option<&str>| {
            let mut databases = self.stores.databases.values().chain(&self.stores.external);
            databases.any(|d| {
                d.done
                    .iter()
                    .any(|(k, n, i)| k == kind && name.map_or(i == image, |name| n == name))
            })
        };
        assert!(
            done("migration", None),
            "servers of {image} before its migration\n{}",
            self.last_steps()
        );
        for seed in spec.seeds.iter().filter(|_| spec.image == image) {
            let name = &seed.name;
            assert!(
                done("seed", Some(name)),
                "servers of {image} before seed {name}\n{}",
                self.last_steps()
            );
        }
    }

    /// The pods that take traffic, were proved, and aren't contradicted, except for one.
    pub(super) fn relied_upon(&self, except: &str) -> usize {
        let bound = |p: &Object| self.opened.get(p.uid()) == Some(&container_ids(&p.value));
        let contradicted = |p: &Object| {
            self.memory
                .proofs
                .get(p.uid())
                .is_some_and(|proof| proof.verdict == Verdict::Diverges)
        };
        self.servers()
            .iter()
            .filter(|p| p.key.name != except && bound(p) && !contradicted(p) && self.is_selected(p))
            .filter(|p| controllers::is_true(&p.value, "Ready"))
            .count()
    }

    pub(super) fn min_available(&self) -> usize {
        let verification = self.service.as_ref().unwrap().spec.verification.clone();
        let declared = verification.and_then(|v| v.isolation?.min_available);
        declared.map_or(1, |n| usize::try_from(n).unwrap())
    }

    /// A gate closes for divergence only while enough are left. Where one serves alone, it is there before.
    pub(super) fn check_isolation(&self, patch: &GatePatch) {
        if patch.open || patch.reason == "Pending" || self.lagging {
            return;
        }
        let others = self.servers();
        // Who isn't behind the Service leaves nobody with less.
        if others
            .iter()
            .any(|p| p.key.name == patch.pod && !self.is_selected(p))
        {
            return;
        }
        let mut others = others.iter().filter(|p| p.key.name != patch.pod);
        let alone = others.any(|p| {
            controllers::is_true(&p.value, "Ready")
                && array(&p.value["status"]["conditions"])
                    .iter()
                    .any(|c| c["type"] == GATE_AGREES && c["reason"] == "ServesAlone")
        });
        assert!(
            alone || self.relied_upon(&patch.pod) >= self.min_available(),
            "{} is isolated and too few are left\n{}",
            patch.pod,
            self.last_steps()
        );
    }

    /// Nobody is evicted while another one goes, while too few are left, or while it takes traffic.
    pub(super) fn check_eviction(&self, pod: &str) {
        let going = self.api.of(Kind::Pod);
        let going = going
            .iter()
            .find(|p| p.label(LABEL_ROLE) == Some("server") && p.is_deleting());
        assert!(
            going.is_none() || self.lagging,
            "{pod} is evicted while another one goes\n{}",
            self.last_steps()
        );
        // Its successor has come and was examined.
        let unexamined: Vec<_> = self
            .servers()
            .iter()
            .filter(|p| !self.opened.contains_key(p.uid()) && !self.memory.proofs.contains_key(p.uid()))
            .map(|p| p.key.name.clone())
            .collect();
        let declared = self.service.as_ref().unwrap().spec.replicas;
        let there = i32::try_from(self.servers().len()).unwrap() >= declared;
        assert!(
            self.lagging || unexamined.is_empty() && there,
            "{pod} is evicted before the one before it was replaced: {unexamined:?}\n{}",
            self.last_steps()
        );
        let value = self.api.get(Kind::Pod, pod).unwrap();
        assert!(
            !controllers::is_true(value, GATE_AGREES),
            "{pod} is evicted from traffic"
        );
        assert!(
            self.lagging || self.relied_upon(pod) >= self.min_available(),
            "{pod} is evicted and too few are left\n{}",
            self.last_steps()
        );
    }

    /// No gate is open for other containers than those that were proved.
    pub(super) fn check_gates(&self) {
        for pod in self
            .servers()
            .iter()
            .filter(|p| controllers::is_true(&p.value, GATE_AGREES))
        {
            let now = container_ids(&pod.value);
            assert_eq!(
                self.opened.get(pod.uid()),
                Some(&now),
                "the gate of {} is open for other containers\n{}",
                pod.key.name,
                self.last_steps()
            );
        }
    }
}
