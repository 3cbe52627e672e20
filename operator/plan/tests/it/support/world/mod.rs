//! One service in a fake cluster with its operator: observe, plan, carry out, tell; crashes and a lagging cache on request.
//! What must hold at every write is asserted here, so every scenario checks it.

mod invariants;
mod look;
mod prober;
mod users;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use accord_crds::AuthService;
use accord_crds::edge::EdgeStatus;
use accord_plan::agreement::Proof;
use accord_plan::observed::{Answer, CacheFacts, DatabaseFacts, Objects, RefusedWrite, Settings};
use accord_plan::{ObjectKey, Plan, plan};
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value;

use super::api::{Api, array};
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
