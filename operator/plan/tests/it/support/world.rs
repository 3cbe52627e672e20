//! One service in a fake cluster with its operator: observe, plan, carry out, tell; crashes and a lagging cache on request.
//! What must hold at every write is asserted here, so every scenario checks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accord_crds::edge::EdgeStatus;
use accord_crds::meta::{FINALIZER, GATE_AGREES, LABEL_ROLE, LABEL_SERVICE, MANAGER};
use accord_crds::{AuthService, AuthServiceSpec, PodReason, Verdict};
use accord_plan::agreement::{Basis, Grounds, Proof};
use accord_plan::observed::{Answer, CacheFacts, DatabaseFacts, Objects, RefusedWrite, Settings};
use accord_plan::outcome::{Action, GatePatch, Generate, Material};
use accord_plan::probe::{ProbeRequest, ProbeTarget};
use accord_plan::status::bounded;
use accord_plan::{Kind, Object, ObjectKey, Observed, Plan, contradiction, plan};
use base64::Engine as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::api::{Api, Refusal, array};
use super::controllers;
use super::fate::Fate;
use super::stores::Stores;

/// The service's name and namespace.
pub(crate) const SERVICE: &str = "orders";
pub(crate) const NAMESPACE: &str = "shop";
/// Passes after which something that hasn't settled never will.
const BOUND: usize = 400;

/// What the operator knows besides the cluster; a crash takes it.
#[derive(Clone, Default)]
struct Memory {
    foreign: BTreeSet<ObjectKey>,
    refused: BTreeMap<ObjectKey, (Option<i64>, RefusedWrite)>,
    database: Option<Answer<DatabaseFacts>>,
    cache: Option<Answer<CacheFacts>>,
    proofs: BTreeMap<String, Proof>,
    contradiction: Option<(Generation, Option<String>)>,
    retry: String,
}

/// UID and generation of a service.
type Generation = (Option<String>, Option<i64>);

/// What the operator looked at.
#[derive(Clone)]
struct View {
    service: AuthService,
    objects: Objects,
}

/// What a pod's witnesses show.
#[derive(Clone, Copy)]
enum Facing {
    Sound,
    Contradiction,
    /// They aren't what was declared, and the pod is.
    Unanchored,
}

/// When the operator dies.
#[derive(Clone, Copy)]
pub(crate) struct Crash {
    /// Before this write, counted from 0.
    pub(crate) before: usize,
    /// True when the cluster goes on for long while it is away.
    pub(crate) long: bool,
}

/// The fake cluster, its users and its operator.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) stores: Stores,
    pub(crate) fate: Fate,
    pub(crate) service: Option<AuthService>,
    pub(crate) crash: Option<Crash>,
    /// The cache shows each write one pass late.
    pub(crate) lagging: bool,
    /// Writes so far: actions, and the status.
    pub(crate) writes: usize,
    /// The last plan.
    pub(crate) plan: Plan,
    memory: Memory,
    view: Option<View>,
    wrote: bool,
    now: Timestamp,
    trace: Vec<String>,
    /// The containers that were proved when a gate was opened, by pod UID.
    opened: BTreeMap<String, Value>,
    /// The pods that were evicted, in order.
    pub(crate) evicted: Vec<String>,
    /// What the prober found on the way in from outside.
    pub(crate) edge: Option<EdgeStatus>,
    /// From now on users are never left with nothing.
    pub(crate) always_served: bool,
}

impl World {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        Self {
            api: Api::default(),
            stores: Stores::default(),
            fate: Fate::default(),
            service: None,
            crash: None,
            lagging: false,
            writes: 0,
            plan: Plan::default(),
            memory: Memory::default(),
            view: None,
            wrote: false,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            trace: Vec::new(),
            opened: BTreeMap::new(),
            evicted: Vec::new(),
            edge: None,
            always_served: false,
        }
    }

    // What users do.

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

    // What the operator does.

    /// Goes on until nothing changes. Fails with the trace when that never comes.
    pub(crate) fn settle(&mut self) -> &mut Self {
        for _ in 0..BOUND {
            let version = self.api.version();
            let busy = self.pass();
            self.tick();
            if busy || self.api.version() != version {
                continue;
            }
            // Nothing happens until it is time to look again.
            match self.plan.requeue.filter(|_| self.service.is_some()) {
                Some(wait) => self.now += jiff::SignedDuration::try_from(wait).unwrap(),
                None => return self,
            }
        }
        panic!(
            "not settled after {BOUND} passes; the last steps:\n{}",
            self.last_steps()
        );
    }

    /// One step of the cluster, without the operator.
    pub(crate) fn tick(&mut self) {
        self.now += jiff::SignedDuration::from_secs(1);
        self.api.now = self.now;
        let uid = self.service.as_ref().and_then(|s| s.metadata.uid.clone());
        controllers::step(&mut self.api, &mut self.stores, &self.fate, uid.as_deref());
        self.check_service();
    }

    /// One pass of the operator. True when there was something to do.
    pub(crate) fn pass(&mut self) -> bool {
        let Some((view, plan)) = self.planned() else {
            return false;
        };
        let busy = self.follow(&view, &plan);
        self.plan = plan;
        busy
    }

    /// What the operator looks at, and what it makes of it.
    fn planned(&mut self) -> Option<(View, Plan)> {
        let mut view = self.look()?;
        let observed = self.observed(&mut view);
        let plan = plan(&view.service, &observed);
        Some((view, plan))
    }

    /// Carries a plan out. True when there was something to do.
    fn follow(&mut self, view: &View, plan: &Plan) -> bool {
        self.wrote = !plan.actions.is_empty();
        let mut failed = false;
        for action in &plan.actions {
            if self.dies() {
                return true;
            }
            if let Err(refusal) = self.carry_out(view, action) {
                self.say(format!("  refused: {refusal:?}"));
                failed = true;
                break;
            }
            self.check_service();
        }
        if self.service.is_none() {
            return true;
        }
        if plan.finished && !failed && view.service.metadata.deletion_timestamp.is_some() {
            if self.dies() {
                return true;
            }
            self.say("remove the finalizer".into());
            self.service = None;
            return true;
        }
        if same_but_times(view.service.status.as_ref(), &plan.status) {
            self.check_gates();
        } else {
            if self.dies() {
                return true;
            }
            self.wrote = true;
            self.say(format!("status: {}", summary(plan)));
            self.service.as_mut().unwrap().status = Some(plan.status.clone());
        }
        let answered = self.ask(plan) | self.probe(plan.probe.as_ref());
        !plan.actions.is_empty() || self.wrote || answered
    }

    /// What the operator looks at: now, or, with a lagging cache, before the last write.
    fn look(&mut self) -> Option<View> {
        let service = self.service.clone()?;
        if self.lagging
            && self.wrote
            && let Some(view) = self
                .view
                .take()
                .filter(|v| v.service.metadata.uid == service.metadata.uid)
        {
            self.say("(lagging)".into());
            return Some(view);
        }
        let objects = self
            .api
            .iter()
            .filter(|o| o.label(LABEL_SERVICE) == Some(SERVICE))
            .cloned()
            .collect();
        let view = View { service, objects };
        self.view = self.lagging.then(|| view.clone());
        Some(view)
    }

    fn observed(&mut self, view: &mut View) -> Observed {
        // A name that isn't taken any more, or is ours now.
        let api = &self.api;
        self.memory.foreign.retain(|key| {
            api.get(key.kind, &key.name)
                .is_some_and(|v| v["metadata"]["labels"][LABEL_SERVICE] != *SERVICE)
        });
        Observed {
            now: self.now,
            settings: settings(),
            contradiction: self.contradiction(&view.service),
            objects: std::mem::take(&mut view.objects),
            foreign: self.memory.foreign.clone(),
            refused: self.refused(&view.service),
            referenced: self.referenced(&view.service.spec),
            edge: self.edge.clone(),
            watched: None,
            database: self.memory.database.clone(),
            cache: self.memory.cache.clone(),
            proofs: self.memory.proofs.clone(),
        }
    }

    /// Asked once for each generation, as the operator does.
    fn contradiction(&mut self, service: &AuthService) -> Option<String> {
        let of = (service.metadata.uid.clone(), service.metadata.generation);
        match &self.memory.contradiction {
            Some((known, found)) if *known == of => found.clone(),
            _ => {
                let found = contradiction(service);
                self.memory.contradiction = Some((of, found.clone()));
                found
            }
        }
    }

    /// What was refused of this declaration.
    fn refused(&mut self, service: &AuthService) -> BTreeMap<ObjectKey, RefusedWrite> {
        let current = service.metadata.generation;
        self.memory
            .refused
            .retain(|_, (generation, _)| *generation == current);
        let refused = self.memory.refused.iter();
        refused
            .map(|(key, (_, why))| (key.clone(), why.clone()))
            .collect()
    }

    /// The Secrets that a declaration names.
    fn referenced(&self, spec: &AuthServiceSpec) -> BTreeMap<String, Option<Object>> {
        let database = spec.database.as_ref().and_then(|d| d.external.as_ref());
        let cache = spec.cache.as_ref().and_then(|c| c.external.as_ref());
        let edge = spec.verification.as_ref().and_then(|v| v.edge.as_ref());
        let references = [
            database.map(|e| &e.secret_ref),
            cache.map(|e| &e.secret_ref),
            edge.and_then(|e| e.ca_secret_ref.as_ref()),
        ];
        let names = references.into_iter().flatten().map(|r| r.name.clone());
        let secrets = self.api.of(Kind::Secret);
        let found = |name: &str| {
            secrets
                .iter()
                .find(|s| s.key.name == name)
                .map(|s| Object::clone(s))
        };
        names.map(|name| (name.clone(), found(&name))).collect()
    }

    /// Counts a write; true when the operator dies before it.
    fn dies(&mut self) -> bool {
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

    fn carry_out(&mut self, view: &View, action: &Action) -> Result<(), Refusal> {
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

    /// The data stores answer what is asked anew, and what was answered with an error. True when an answer changed.
    fn ask(&mut self, plan: &Plan) -> bool {
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
    fn probe(&mut self, request: Option<&ProbeRequest>) -> bool {
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

    // What must always hold.

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
    fn is_selected(&self, pod: &Object) -> bool {
        let service = self.api.get(Kind::Service, SERVICE);
        let selector = service.and_then(|s| s["spec"]["selector"].as_object());
        selector.is_some_and(|s| s.iter().all(|(k, v)| pod.label(k) == v.as_str()))
    }

    /// Users never meet two images that don't honour each other's sessions, and, where nothing else fails, never nobody.
    fn check_service(&self) {
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
    fn check_ledger(&mut self, object: &Object) {
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
    fn relied_upon(&self, except: &str) -> usize {
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

    fn min_available(&self) -> usize {
        let verification = self.service.as_ref().unwrap().spec.verification.clone();
        let declared = verification.and_then(|v| v.isolation?.min_available);
        declared.map_or(1, |n| usize::try_from(n).unwrap())
    }

    /// A gate closes for divergence only while enough are left. Where one serves alone, it is there before.
    fn check_isolation(&self, patch: &GatePatch) {
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
    fn check_eviction(&self, pod: &str) {
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
    fn check_gates(&self) {
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

    fn say(&mut self, line: String) {
        self.trace.push(line);
    }

    /// The end of the trace, for messages of failed tests.
    pub(crate) fn last_steps(&self) -> String {
        let from = self.trace.len().saturating_sub(60);
        self.trace[from..].join("\n")
    }
}

/// Settings of the operator, in all tests.
pub(crate) fn settings() -> Settings {
    Settings {
        operator_image: "registry.example/accord:1".into(),
        operator_image_pull_policy: None,
        postgres_image: "registry.example/postgres:17".into(),
        valkey_image: "registry.example/valkey:8".into(),
        observe_only: false,
    }
}

pub(crate) fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn container_ids(pod: &Value) -> Value {
    array(&pod["status"]["containerStatuses"])
        .iter()
        .map(|c| c["containerID"].clone())
        .collect()
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

fn same_but_times(
    stored: Option<&accord_crds::AuthServiceStatus>,
    new: &accord_crds::AuthServiceStatus,
) -> bool {
    let Some(mut stored) = stored.cloned() else {
        return false;
    };
    for condition in &mut stored.conditions {
        if let Some(same) = new.conditions.iter().find(|c| c.type_ == condition.type_) {
            condition.last_transition_time = same.last_transition_time.clone();
        }
    }
    stored == *new
}

fn summary(plan: &Plan) -> String {
    let ready = plan.status.conditions.iter().find(|c| c.type_ == "Ready");
    ready.map_or_else(String::new, |c| {
        format!("Ready={} {}: {}", c.status, c.reason, c.message)
    })
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
