//! What users do to a service and its objects, and what they see of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use accord_crds::meta::LABEL_ROLE;
use accord_crds::{AuthService, AuthServiceSpec, PodReason, Verdict};
use accord_plan::{Kind, Object, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::super::controllers;
use super::{Memory, NAMESPACE, SERVICE, World, encode};

impl World {
    pub(crate) fn create(&mut self, spec: AuthServiceSpec) {
        self.say(format!(
            "user: create, image {}, {} replicas",
            spec.image, spec.replicas
        ));
        let mut service = AuthService::new(SERVICE, spec);
        service.metadata.namespace = Some(NAMESPACE.into());
        service.metadata.uid = Some(self.api.next_uid("AuthService", SERVICE));
        service.metadata.generation = Some(1);
        self.service = Some(service);
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut AuthServiceSpec)) {
        let service = self.service.as_mut().expect("there is a service");
        let before = service.spec.clone();
        change(&mut service.spec);
        if service.spec != before {
            *service.metadata.generation.as_mut().unwrap() += 1;
        }
        let (image, replicas) = (service.spec.image.clone(), service.spec.replicas);
        self.say(format!("user: edit, image {image}, {replicas} replicas"));
    }

    pub(crate) fn annotate(&mut self, name: &str, value: &str) {
        self.say(format!("user: annotate {name}={value}"));
        let service = self.service.as_mut().expect("there is a service");
        service
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(name.into(), value.into());
    }

    pub(crate) fn delete(&mut self) {
        self.say("user: delete".into());
        let service = self.service.as_mut().expect("there is a service");
        if service.metadata.finalizers.iter().flatten().next().is_none() {
            self.service = None;
        } else {
            service.metadata.deletion_timestamp = Some(Time(self.now));
        }
    }

    /// Somebody takes an object away.
    pub(crate) fn remove(&mut self, kind: Kind, name: &str) {
        self.say(format!("user: delete {kind:?}/{name}"));
        self.api.remove(&ObjectKey::new(kind, name));
    }

    /// Somebody changes an object.
    pub(crate) fn meddle(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        self.say(format!("user: edit {kind:?}/{name}"));
        self.api.edit(&ObjectKey::new(kind, name), change);
    }

    /// Somebody else's object.
    pub(crate) fn occupy(&mut self, kind: Kind, name: &str) {
        let value = json!({"apiVersion": kind.api_version(), "kind": kind.as_str(),
            "metadata": {"name": name, "labels": {"team": "somebody-else"}}, "data": {"theirs": "dGhlaXJz"}});
        self.api
            .create(&Object {
                key: ObjectKey::new(kind, name),
                value,
            })
            .unwrap();
    }

    /// A Secret of a user's own.
    pub(crate) fn secret(&mut self, name: &str, data: &[(&str, &str)]) {
        let mut value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        for (key, text) in data {
            value["data"][*key] = encode(text).into();
        }
        let key = ObjectKey::new(Kind::Secret, name);
        self.api.create(&Object { key, value }).unwrap();
    }

    /// The container of a pod ends and is started again.
    pub(crate) fn restart(&mut self, pod: &str) {
        self.say(format!("container restart in {pod}"));
        self.api.edit(&ObjectKey::new(Kind::Pod, pod), |v| {
            let count = controllers::restarts(v);
            v["metadata"]["annotations"]["test/restarts"] = (count + 1).to_string().into();
            let id = format!(
                "containerd://{}/{}",
                v["metadata"]["uid"].as_str().unwrap(),
                count + 1
            );
            v["status"]["containerStatuses"][0]["containerID"] = id.into();
            v["status"]["containerStatuses"][0]["started"] = false.into();
        });
    }

    /// Pods are found otherwise from now on: what was known about them is out of date.
    pub(crate) fn turn(&mut self, pods: &[String], verdict: Verdict, reason: PodReason) {
        self.say(format!("{pods:?} turn: {verdict:?} {reason:?}"));
        for pod in pods {
            self.fate.pods.insert(pod.clone(), (verdict, reason));
        }
        self.memory.proofs.clear();
    }

    /// The operator is started anew and knows nothing.
    pub(crate) fn forget(&mut self) {
        self.say("operator restart".into());
        self.memory = Memory::default();
    }

    /// Time goes by and nothing else happens.
    pub(crate) fn sleep(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
    }

    /// The server pods that aren't terminating.
    pub(crate) fn servers(&self) -> Vec<Arc<Object>> {
        let mut pods = self.api.of(Kind::Pod);
        pods.retain(|p| p.label(LABEL_ROLE) == Some("server") && !p.is_deleting());
        pods
    }

    /// The image that takes traffic and how many pods of it do.
    pub(crate) fn serving(&self) -> BTreeMap<String, usize> {
        let mut images = BTreeMap::new();
        for pod in self
            .servers()
            .iter()
            .filter(|p| controllers::is_true(&p.value, "Ready"))
        {
            let image = pod.value["spec"]["containers"][0]["image"].as_str().unwrap();
            *images.entry(image.to_owned()).or_default() += 1;
        }
        images
    }
}
