//! Every field that Accord applies, changed by hand, one of each object at a time. Which these are says the API server: it
//! records who applied what. Fields of others on the same objects stay as others set them.
//!
//! Two of these hold what is tried off the pods: a Deployment that is paused, and `StatefulSets` whose partition keeps their
//! pod, don't start anew for a template that is put right a moment later.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::leaves::{self, Leaf};
use super::{CONFLICT, REFUSED, REPAIRS};
use crate::api::{Api, JSON_PATCH, MERGE_PATCH};
use crate::audit::Mark;
use crate::digest::Key;
use crate::scenarios::kit::{self, CHANGE, Kit, NOTICE, name_of};
use crate::wait::{Seen, wait};

const MANAGER: &str = "accord";
/// How many fields of each object are changed in every run; with `ACCORD_LONG=1` all of them.
const EACH: usize = 12;
/// Every repair has to have been made by then. It takes a fraction of a second; a machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);
/// What somebody else put on every object.
const OTHERS: (&str, &str) = ("example.com/others", "kept");

/// The kinds, and where the API server has them.
const KINDS: &[(&str, &str)] = &[
    ("deployments", "/apis/apps/v1"),
    ("statefulsets", "/apis/apps/v1"),
    ("services", "/api/v1"),
    ("configmaps", "/api/v1"),
    ("poddisruptionbudgets", "/apis/policy/v1"),
];

/// An object with the fields that are still to be changed.
struct Target {
    kind: &'static str,
    name: String,
    path: String,
    leaves: Vec<Leaf>,
    /// What stands in these fields while nobody has changed them.
    right: Vec<Value>,
    next: usize,
}

/// An edit that the API server took.
struct Edit {
    target: usize,
    what: String,
    at: Instant,
}

/// What came of all edits.
#[derive(Default)]
struct Tally {
    times: Vec<Duration>,
    refused: usize,
    writes: usize,
}

pub(super) fn are_repaired(kit: &Kit<'_>) -> Result<String> {
    let api = Api::of(kit.cluster, kit.namespace)?;
    let paths = paths(kit)?;
    for (kind, path) in &paths {
        shield(&api, kind, path, true)?;
    }
    let mut targets = Vec::new();
    for (kind, path) in paths {
        targets.push(owned(kit, &api, kind, &path)?);
    }
    let each = kit::either(EACH, usize::MAX);
    let mut tally = Tally::default();
    loop {
        let mark = kit.cluster.is_embedded().then(Mark::now).transpose()?;
        let mut edits = Vec::new();
        for (index, target) in targets.iter_mut().enumerate() {
            edits.extend(target.edit(&api, index, each, &mut tally)?);
        }
        if edits.is_empty() {
            break;
        }
        let took = repaired(kit, &api, &targets, &edits)?;
        tally.times.extend(took);
        if let Some(mark) = mark {
            tally.writes += no_storm(kit, &mark, &targets, &edits)?;
        }
    }
    for target in &targets {
        others_stay(&api, target)?;
        shield(&api, target.kind, &target.path, false)?;
    }
    kit.ready(CHANGE)?;
    Ok(tally.told(targets.len()))
}

/// Every object of the service that is kept as it should be.
fn paths(kit: &Kit<'_>) -> Result<Vec<(&'static str, String)>> {
    let selector = format!("accord.dev/service={}", kit.service.name);
    let mut paths = Vec::new();
    for (kind, group) in KINDS {
        for object in kit.cluster.list(kind, kit.namespace, &selector)? {
            let path = format!("{group}/namespaces/{}/{kind}/{}", kit.namespace, name_of(&object));
            paths.push((*kind, path));
        }
    }
    Ok(paths)
}

/// What others own on an object, put there or taken away.
fn shield(api: &Api, kind: &str, path: &str, up: bool) -> Result<()> {
    let when = |value: Value| if up { value } else { Value::Null };
    let (name, value) = OTHERS;
    let mut patch = json!({"metadata": {"annotations": {name: when(json!(value))}, "labels": {name: when(json!(value))}}});
    match kind {
        "deployments" => patch["spec"] = json!({"paused": when(json!(true))}),
        "statefulsets" => {
            patch["spec"] = json!({"updateStrategy": {"rollingUpdate": {"partition": when(json!(1))}}});
        }
        _ => {}
    }
    api.patch(path, MERGE_PATCH, &patch)?.object(path).map(drop)
}

/// An error unless what others own is as they left it.
fn others_stay(api: &Api, target: &Target) -> Result<()> {
    let object = api.get(&target.path)?;
    let (name, value) = OTHERS;
    let spec = &object["spec"];
    let stays = object["metadata"]["annotations"][name] == value
        && object["metadata"]["labels"][name] == value
        && (target.kind != "deployments" || spec["paused"] == true)
        && (target.kind != "statefulsets" || spec["updateStrategy"]["rollingUpdate"]["partition"] == 1);
    ensure!(
        stays,
        "what others own on {} {} didn't stay: {} {} {}",
        target.kind,
        target.name,
        object["metadata"],
        spec["paused"],
        spec["updateStrategy"]
    );
    Ok(())
}

/// What Accord owns of an object. An object that was created by it carries the API server's defaults under its name too;
/// one that was applied tells them apart. So a label is changed first.
fn owned(kit: &Kit<'_>, api: &Api, kind: &'static str, path: &str) -> Result<Target> {
    let patch = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}});
    api.patch(path, MERGE_PATCH, &patch)?.object(path)?;
    let object = wait(kit.cluster, kit.namespace, path, NOTICE, || {
        let object = api.get(path)?;
        let is_right = object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == MANAGER;
        Ok(if is_right && !leaves::applied(&object, MANAGER).is_empty() {
            Seen::Done(object)
        } else {
            Seen::NotYet("the label is as the hand left it".to_owned())
        })
    })?;
    let name = name_of(&object).to_owned();
    let mut leaves = leaves::applied(&object, MANAGER);
    // An empty list is applied, and not stored.
    leaves.retain(|leaf| is_tried(leaf, &name) && leaf.pointer(&object).is_some());
    let drawn = |leaf: &Leaf| Key::default().text(&name, &leaf.shown()).finish();
    leaves.sort_by_cached_key(drawn);
    let mut target = Target {
        kind,
        name,
        path: path.to_owned(),
        leaves,
        right: Vec::new(),
        next: 0,
    };
    target.right = target.values(&object);
    Ok(target)
}

/// Left out: an owner that isn't there makes the collector delete the object, and recorded identities are evidence, not
/// configuration.
fn is_tried(leaf: &Leaf, name: &str) -> bool {
    let is_evidence = leaf.is_below(&["data"]) && name.ends_with("-identity");
    !is_evidence && !leaf.is_below(&["metadata", "ownerReferences"])
}

impl Target {
    fn values(&self, object: &Value) -> Vec<Value> {
        let at = |leaf: &Leaf| leaf.pointer(object).and_then(|p| object.pointer(&p)).cloned();
        self.leaves
            .iter()
            .map(|leaf| at(leaf).unwrap_or_default())
            .collect()
    }

    /// Changes the next field that can be changed.
    fn edit(&mut self, api: &Api, index: usize, each: usize, tally: &mut Tally) -> Result<Option<Edit>> {
        while self.next < self.leaves.len().min(each) {
            let leaf = &self.leaves[self.next];
            self.next += 1;
            let object = api.get(&self.path)?;
            let pointer = leaf
                .pointer(&object)
                .with_context(|| format!("{} {} has no {}", self.kind, self.name, leaf.shown()))?;
            let value = object.pointer(&pointer).cloned().unwrap_or_default();
            for other in leaves::instead_of(&value) {
                let step = match &other {
                    Some(other) => json!({"op": "replace", "path": pointer, "value": other}),
                    None => json!({"op": "remove", "path": pointer}),
                };
                let at = Instant::now();
                let reply = api.patch(&self.path, JSON_PATCH, &json!([step]))?;
                // Taken, and not filled in again by the API server itself.
                if reply.is_success() && self.values(&reply.body) != self.right {
                    return Ok(Some(Edit {
                        target: index,
                        what: format!("{} {}: {}", self.kind, self.name, leaf.shown()),
                        at,
                    }));
                }
            }
            tally.refused += 1;
        }
        Ok(None)
    }
}

/// Waits until every edit is put right, and returns how long each took.
fn repaired(kit: &Kit<'_>, api: &Api, targets: &[Target], edits: &[Edit]) -> Result<Vec<Duration>> {
    let mut times: Vec<Option<Duration>> = vec![None; edits.len()];
    let begun = Instant::now();
    loop {
        for (edit, time) in edits.iter().zip(&mut times).filter(|(_, time)| time.is_none()) {
            let target = &targets[edit.target];
            if target.values(&api.get(&target.path)?) == target.right {
                *time = Some(edit.at.elapsed());
            }
        }
        if times.iter().all(Option::is_some) {
            return Ok(times.into_iter().flatten().collect());
        }
        if begun.elapsed() > LIMIT {
            let left: Vec<&str> = edits
                .iter()
                .zip(&times)
                .filter(|(_, time)| time.is_none())
                .map(|(edit, _)| edit.what.as_str())
                .collect();
            let status = kit.service.object()?["status"]["conditions"].to_string();
            anyhow::bail!("not put right within {LIMIT:?}: {}\n{status}", left.join("; "));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many writes put it right; an error when there were more than it takes.
fn no_storm(kit: &Kit<'_>, mark: &Mark, targets: &[Target], edits: &[Edit]) -> Result<usize> {
    let writes = kit.writes(mark)?;
    for edit in edits {
        let target = &targets[edit.target];
        let of_it = writes
            .iter()
            .filter(|w| w.resource == target.kind && w.name == target.name);
        let (refused, repairs): (Vec<_>, Vec<_>) = of_it.partition(|w| w.code == CONFLICT);
        ensure!(
            repairs.len() <= REPAIRS && refused.len() <= REFUSED,
            "{}: {} writes to repair it and {} refused as too late, expected at most {REPAIRS} and {REFUSED}",
            edit.what,
            repairs.len(),
            refused.len()
        );
    }
    Ok(writes.len())
}

impl Tally {
    fn told(mut self, objects: usize) -> String {
        self.times.sort_unstable();
        let at = |share: usize| {
            let index = (self.times.len() * share / 100).min(self.times.len().saturating_sub(1));
            self.times.get(index).map_or(0, Duration::as_millis)
        };
        format!(
            "{} fields of {objects} objects changed by hand and put right in {} ms (median), {} ms (95 of 100), {} ms at \
             most, {} writes; {} fields that the API server lets nobody change",
            self.times.len(),
            at(50),
            at(95),
            at(100),
            self.writes,
            self.refused
        )
    }
}
