//! An API server in memory: objects as JSON with what the real one fills in. Pure and deterministic: UIDs are made from the
//! name and how often it was created, so that an object that was made anew shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accord_plan::{Kind, Object, ObjectKey};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Why a write was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    AlreadyExists,
    NotFound,
    /// The resource version or the UID is another one.
    Conflict,
    /// What a real API server answers 422 to.
    Invalid(String),
}

/// The objects of one namespace.
#[derive(Clone, Default)]
pub(crate) struct Api {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    born: BTreeMap<String, u32>,
    version: u64,
    /// The time at which objects are made.
    pub(crate) now: Timestamp,
}

impl Api {
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.objects.get(&ObjectKey::new(kind, name)).map(|o| &o.value)
    }

    pub(crate) fn of(&self, kind: Kind) -> Vec<Arc<Object>> {
        self.iter().filter(|o| o.key.kind == kind).cloned().collect()
    }

    /// The objects of a kind with an owner.
    pub(crate) fn owned(&self, kind: Kind, owner: &str) -> Vec<Arc<Object>> {
        let owned = |object: &Object| {
            let owners = object.value["metadata"]["ownerReferences"].as_array();
            owners.into_iter().flatten().any(|o| o["uid"] == *owner)
        };
        let mut objects = self.of(kind);
        objects.retain(|o| owned(o));
        objects
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// How often an object of this name was created.
    pub(crate) fn births(&self, kind: &str, name: &str) -> u32 {
        self.born.get(&format!("{kind}.{name}")).copied().unwrap_or(0)
    }

    /// The UID of the next object of this name.
    pub(crate) fn next_uid(&mut self, kind: &str, name: &str) -> String {
        let key = format!("{kind}.{name}");
        let nth = self.born.entry(key.clone()).or_default();
        *nth += 1;
        format!("{key}.{nth}")
    }

    /// Now, and no two at the same time.
    fn born_at(&self) -> String {
        let seconds = self.now.strftime("%Y-%m-%dT%H:%M:%S");
        format!("{seconds}.{:09}Z", self.version)
    }

    pub(crate) fn create(&mut self, object: &Object) -> Result<(), Refusal> {
        if self.objects.contains_key(&object.key) {
            return Err(Refusal::AlreadyExists);
        }
        let mut value = object.value.clone();
        let uid = self.next_uid(object.key.kind.as_str(), &object.key.name);
        value["metadata"]["name"] = object.key.name.clone().into();
        value["metadata"]["uid"] = uid.into();
        value["metadata"]["generation"] = 1.into();
        value["metadata"]["creationTimestamp"] = self.born_at().into();
        defaults(object.key.kind, &mut value);
        check(&value, None)?;
        self.put(&object.key, value);
        Ok(())
    }

    /// Server-side apply, forced. Objects are first created by POST, whose owner keeps every field of theirs: so a later
    /// apply never takes a field away.
    pub(crate) fn apply(&mut self, object: &Object) -> Result<(), Refusal> {
        let Some(live) = self.objects.get(&object.key) else {
            return self.create(object);
        };
        let mut value = live.value.clone();
        merge(&mut value, &object.value);
        self.change(&object.key, value)
    }

    /// PUT.
    pub(crate) fn replace(&mut self, object: &Object) -> Result<(), Refusal> {
        let live = &self.objects.get(&object.key).ok_or(Refusal::NotFound)?.value;
        let meta = |v: &Value, field: &str| v["metadata"][field].clone();
        for field in ["resourceVersion", "uid"] {
            let sent = meta(&object.value, field);
            if !sent.is_null() && sent != meta(live, field) {
                return Err(Refusal::Conflict);
            }
        }
        let mut value = object.value.clone();
        for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp"] {
            value["metadata"][field] = meta(live, field);
        }
        value["status"] = live["status"].clone();
        self.change(&object.key, value)
    }

    pub(crate) fn delete(&mut self, key: &ObjectKey, uid: &str) -> Result<(), Refusal> {
        let live = self.objects.get(key).ok_or(Refusal::NotFound)?;
        if live.uid() != uid {
            return Err(Refusal::Conflict);
        }
        self.remove(key);
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        if self.objects.remove(key).is_some() {
            self.version += 1;
        }
    }

    /// A controller's or a user's change, past all rules.
    pub(crate) fn edit(&mut self, key: &ObjectKey, change: impl FnOnce(&mut Value)) {
        if let Some(live) = self.objects.get(key) {
            let mut value = live.value.clone();
            change(&mut value);
            self.put(key, value);
        }
    }

    /// The same for one field; costs nothing when it is so already.
    pub(crate) fn set(&mut self, key: &ObjectKey, pointer: &str, mut value: Value) {
        prune(&mut value);
        if self
            .objects
            .get(key)
            .is_some_and(|live| live.value.pointer(pointer) != Some(&value))
        {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            self.edit(key, |v| v.pointer_mut(parent).unwrap()[field] = value);
        }
    }

    fn change(&mut self, key: &ObjectKey, mut value: Value) -> Result<(), Refusal> {
        defaults(key.kind, &mut value);
        check(&value, self.objects.get(key).map(|o| &o.value))?;
        self.put(key, value);
        Ok(())
    }

    /// Stores a value; nothing changes when it is as it was.
    fn put(&mut self, key: &ObjectKey, mut value: Value) {
        prune(&mut value);
        if let Some(live) = self.objects.get(key).map(|o| &o.value) {
            for field in ["resourceVersion", "generation"] {
                value["metadata"][field] = live["metadata"][field].clone();
            }
            if *live == value {
                return;
            }
            let generation = live["metadata"]["generation"].as_i64().unwrap_or(1);
            let moved = i64::from(live["spec"] != value["spec"]);
            value["metadata"]["generation"] = (generation + moved).into();
        }
        self.version += 1;
        value["metadata"]["resourceVersion"] = self.version.to_string().into();
        let object = Object {
            key: key.clone(),
            value,
        };
        self.objects.insert(key.clone(), Arc::new(object));
    }

    /// Collects what has lost its owners, and the references to those that are gone.
    pub(crate) fn collect_garbage(&mut self, service_uid: Option<&str>) {
        let mut alive: BTreeSet<String> = self.iter().map(|o| o.uid().to_owned()).collect();
        alive.extend(service_uid.map(str::to_owned));
        let owned: Vec<(ObjectKey, Vec<Value>)> = self
            .iter()
            .map(|o| (o.key.clone(), array(&o.value["metadata"]["ownerReferences"])))
            .filter(|(_, owners)| !owners.is_empty())
            .collect();
        for (key, owners) in owned {
            let left: Vec<Value> = owners
                .iter()
                .filter(|o| alive.contains(o["uid"].as_str().unwrap_or_default()))
                .cloned()
                .collect();
            if left.is_empty() {
                self.remove(&key);
            } else if left.len() < owners.len() {
                self.edit(&key, |v| v["metadata"]["ownerReferences"] = left.into());
            }
        }
    }
}

pub(crate) fn array(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// A few of the rules of the real one.
fn check(value: &Value, before: Option<&Value>) -> Result<(), Refusal> {
    let invalid = |why: &str| Err(Refusal::Invalid(format!("{}: {why}", value["metadata"]["name"])));
    let owners = array(&value["metadata"]["ownerReferences"]);
    if owners.iter().filter(|o| o["controller"] == true).count() > 1 {
        return invalid("only one reference can have controller set to true");
    }
    let Some(before) = before else { return Ok(()) };
    let fixed: &[&str] = match value["kind"].as_str().unwrap_or_default() {
        "Deployment" => &["/spec/selector"],
        "StatefulSet" => &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/volumeClaimTemplates",
        ],
        "Job" => &["/spec"],
        "ControllerRevision" => &["/data"],
        "Secret" if before["immutable"] == true => &["/data", "/immutable"],
        _ => &[],
    };
    match fixed
        .iter()
        .find(|path| value.pointer(path) != before.pointer(path))
    {
        Some(path) => invalid(&format!("{path} is immutable")),
        None => Ok(()),
    }
}

/// Some fields that the API server fills in.
fn defaults(kind: Kind, value: &mut Value) {
    let set = |value: &mut Value, field: &str, default: Value| {
        if value[field].is_null() {
            value[field] = default;
        }
    };
    match kind {
        Kind::Service => {
            set(&mut value["spec"], "type", "ClusterIP".into());
            set(&mut value["spec"], "clusterIP", "10.96.0.7".into());
            set(&mut value["spec"], "sessionAffinity", "None".into());
        }
        Kind::Deployment | Kind::StatefulSet | Kind::Job => {
            let pod = &mut value["spec"]["template"]["spec"];
            set(pod, "restartPolicy", "Always".into());
            set(pod, "dnsPolicy", "ClusterFirst".into());
            set(pod, "schedulerName", "default-scheduler".into());
            // An empty list is not stored.
            for list in ["volumes", "initContainers"] {
                if pod[list] == json!([]) {
                    pod[list] = Value::Null;
                }
            }
            for list in ["containers", "initContainers"] {
                for container in pod[list].as_array_mut().into_iter().flatten() {
                    set(container, "terminationMessagePath", "/dev/termination-log".into());
                    set(container, "imagePullPolicy", "IfNotPresent".into());
                    canonical(&mut container["resources"]);
                    for list in ["env", "envFrom", "volumeMounts"] {
                        if container[list] == json!([]) {
                            container[list] = Value::Null;
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// Quantities read back otherwise than they were sent: `0.5` as `500m`.
fn canonical(resources: &mut Value) {
    for part in ["requests", "limits"] {
        for quantity in resources[part]
            .as_object_mut()
            .into_iter()
            .flat_map(Map::values_mut)
        {
            if let Some(cpu) = quantity.as_str().and_then(|q| q.parse::<f64>().ok())
                && cpu.fract() != 0.0
            {
                *quantity = format!("{}m", (cpu * 1000.0).round()).into();
            }
        }
    }
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(prune);
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Fields are merged, lists of named entries too; other lists are replaced.
fn merge(live: &mut Value, sent: &Value) {
    match (&mut *live, sent) {
        (Value::Object(l), Value::Object(s)) => {
            for (key, value) in s {
                merge(l.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(l), Value::Array(s)) => {
            let keyed = |key: &&str| l.iter().chain(s).all(|v| !v[*key].is_null());
            match ["mountPath", "uid", "name", "topologyKey", "conditionType"]
                .iter()
                .find(|k| keyed(k))
            {
                None => *live = sent.clone(),
                Some(key) => {
                    for value in s {
                        match l.iter_mut().find(|v| v[*key] == value[*key]) {
                            Some(entry) => merge(entry, value),
                            None => l.push(value.clone()),
                        }
                    }
                }
            }
        }
        _ => *live = sent.clone(),
    }
}
