//! How the operator's plan is carried out: write by write, and it may die before each.

use accord_crds::meta::{FINALIZER, GATE_AGREES, LABEL_SERVICE, MANAGER};
use accord_plan::observed::RefusedWrite;
use accord_plan::outcome::{Action, GatePatch, Generate, Material};
use accord_plan::{Kind, Object, ObjectKey};
use serde_json::json;

use super::super::api::{Refusal, array};
use super::{BOUND, Memory, NAMESPACE, SERVICE, View, World, container_ids, encode};

impl World {
    /// Counts a write; true when the operator dies before it.
    pub(super) fn dies(&mut self) -> bool {
        let dies = self.crash.is_some_and(|c| c.before == self.writes);
        self.writes += 1;
        if let (true, Some(crash)) = (dies, self.crash) {
            self.say("CRASH".into());
            self.memory = Memory::default();
            self.view = None;
            self.wrote = false;
            if crash.long {
                self.go_on_alone();
            }
        }
        dies
    }

    /// The cluster without its operator, until nothing moves.
    fn go_on_alone(&mut self) {
        for _ in 0..BOUND {
            let version = self.api.version();
            self.tick();
            if self.api.version() == version {
                return;
            }
        }
    }

    pub(super) fn carry_out(&mut self, view: &View, action: &Action) -> Result<(), Refusal> {
        self.say(format!("  {}", describe(action)));
        if let Action::Create(object) | Action::Apply(object) | Action::Replace(object) = action
            && self.fate.refuses(object)
        {
            let why = RefusedWrite {
                revision: object.template_revision().map(str::to_owned),
                message: "spec is invalid.".into(),
            };
            let seen = (view.service.metadata.generation, why);
            self.memory.refused.insert(object.key.clone(), seen);
            return Ok(());
        }
        match action {
            Action::Create(object) => {
                check_new(object);
                self.check_ledger(object);
                self.make(object)
            }
            Action::Apply(object) => {
                self.check_ledger(object);
                self.api.apply(object)
            }
            Action::Replace(object) => {
                self.check_ledger(object);
                self.api.replace(object)
            }
            Action::Delete { key, uid } => {
                let data = matches!(key.kind, Kind::Secret | Kind::PersistentVolumeClaim);
                assert!(!data, "Accord deletes {key}\n{}", self.last_steps());
                // Gone, or another one of the name: what was to be deleted isn't there.
                self.api.delete(key, uid).or(Ok(()))
            }
            Action::Generate(generate) => {
                check_new(&generate.object);
                let mut object = generate.object.clone();
                for (name, value) in self.material(generate) {
                    object.value["data"][name] = encode(&value).into();
                }
                self.make(&object)
            }
            Action::Gate(patch) => {
                self.gate(patch);
                Ok(())
            }
            Action::Evict { pod, uid } => {
                self.evict(pod, uid);
                Ok(())
            }
            Action::Finalizer { present } => {
                let service = self.service.as_mut().unwrap();
                if service.metadata.resource_version == view.service.metadata.resource_version {
                    service.metadata.finalizers = present.then(|| vec![FINALIZER.to_owned()]);
                }
                Ok(())
            }
        }
    }

    /// Creates, and never overwrites: what is there is ours, and the cache lags, or somebody's.
    fn make(&mut self, object: &Object) -> Result<(), Refusal> {
        let Err(refusal) = self.api.create(object) else {
            return Ok(());
        };
        let there = self.api.get(object.key.kind, &object.key.name).unwrap();
        if there["metadata"]["labels"][LABEL_SERVICE] == *SERVICE {
            return Ok(());
        }
        self.memory.foreign.insert(object.key.clone());
        Err(refusal)
    }

    /// Material that tells how often it was made.
    fn material(&self, generate: &Generate) -> Vec<(String, String)> {
        let secret = &generate.object.key.name;
        let nth = self.api.births("Secret", secret) + 1;
        let value = |key: &str| (key.to_owned(), format!("secret-{secret}-{key}-{nth}"));
        match &generate.material {
            Material::Authority { .. } => vec![
                ("ca.crt".into(), format!("CA of {SERVICE} {nth}")),
                value("ca.key"),
            ],
            Material::Certificate {
                ca_certificate,
                ca_secret,
                ..
            } => {
                assert!(
                    self.api.get(Kind::Secret, ca_secret).is_some(),
                    "no authority to sign {secret} with"
                );
                let cert = format!("certificate for {secret} {nth}");
                vec![
                    ("ca.crt".into(), ca_certificate.clone()),
                    ("tls.crt".into(), cert),
                    value("tls.key"),
                ]
            }
            Material::KeyRing => vec![value("active"), ("fallbacks".into(), String::new())],
            Material::Passwords { names } => names.iter().map(|n| value(n)).collect(),
            Material::Canary => vec![
                ("username".into(), format!("accord-canary-{nth}")),
                ("email".into(), format!("accord-canary-{nth}@example.com")),
                value("password"),
            ],
        }
    }

    fn gate(&mut self, patch: &GatePatch) {
        let Some(pod) = self
            .api
            .get(Kind::Pod, &patch.pod)
            .filter(|p| p["metadata"]["uid"] == *patch.uid)
        else {
            return;
        };
        let containers = container_ids(pod);
        self.opened.remove(&patch.uid);
        if patch.open {
            self.opened.insert(patch.uid.clone(), containers);
        }
        self.check_isolation(patch);
        let status = if patch.open { "True" } else { "False" };
        let conditions = array(&self.api.get(Kind::Pod, &patch.pod).unwrap()["status"]["conditions"]);
        let before = conditions
            .iter()
            .find(|c| c["type"] == GATE_AGREES && c["status"] == status)
            .map(|c| c["lastTransitionTime"].clone());
        let since = before.unwrap_or_else(|| self.now.to_string().into());
        let condition = json!({"type": GATE_AGREES, "status": status, "reason": patch.reason,
            "message": patch.message, "lastTransitionTime": since});
        self.api.edit(&ObjectKey::new(Kind::Pod, patch.pod.clone()), |v| {
            let mut list = array(&v["status"]["conditions"]);
            list.retain(|c| c["type"] != GATE_AGREES);
            list.push(condition);
            v["status"]["conditions"] = list.into();
        });
    }

    fn evict(&mut self, pod: &str, uid: &str) {
        let key = ObjectKey::new(Kind::Pod, pod);
        if self.fate.budget_forbids
            || self
                .api
                .get(Kind::Pod, pod)
                .is_none_or(|p| p["metadata"]["uid"] != *uid)
        {
            return;
        }
        self.check_eviction(pod);
        self.evicted.push(pod.to_owned());
        self.api.edit(&key, |v| {
            v["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z".into();
        });
    }
}

/// Every created object says whose it is, and has a name that a label can hold.
fn check_new(object: &Object) {
    assert_eq!(
        object.label(LABEL_SERVICE),
        Some(SERVICE),
        "{} without the service's label",
        object.key
    );
    assert_eq!(
        object.label("app.kubernetes.io/managed-by"),
        Some(MANAGER),
        "{}",
        object.key
    );
    assert!(object.key.name.len() <= 63, "{}", object.key);
    assert_eq!(object.value["metadata"]["name"], *object.key.name);
    assert_eq!(object.value["metadata"]["namespace"], NAMESPACE);
}

fn describe(action: &Action) -> String {
    match action {
        Action::Create(o) => format!("create {}", o.key),
        Action::Apply(o) => format!("apply {}", o.key),
        Action::Replace(o) => format!("replace {}", o.key),
        Action::Delete { key, .. } => format!("delete {key}"),
        Action::Generate(g) => format!("generate {}", g.object.key),
        Action::Gate(p) => format!("gate of {} open={} {}", p.pod, p.open, p.reason),
        Action::Evict { pod, .. } => format!("evict {pod}"),
        Action::Finalizer { present } => format!("finalizer {present}"),
    }
}
