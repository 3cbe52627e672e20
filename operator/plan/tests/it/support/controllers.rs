//! Kubernetes' own controllers, one step at a time: Deployments roll with maxUnavailable 0 and their maxSurge, `StatefulSets` have one pod and
//! one claim, kubelet starts containers and judges readiness, Jobs run what the application does.

use accord_crds::meta::{GATE_AGREES, LABEL_ROLE};
use accord_plan::observed::LedgerRow;
use accord_plan::{Kind, Object, ObjectKey};
use serde_json::{Value, json};

use super::api::{Api, array};
use super::facts;
use super::fate::Fate;
use super::stores::Stores;

/// One step of every controller.
pub(crate) fn step(api: &mut Api, stores: &mut Stores, fate: &Fate, service_uid: Option<&str>) {
    api.collect_garbage(service_uid);
    // Somebody else's objects do nothing.
    let made = |api: &Api, kind: Kind| {
        let mut objects = api.of(kind);
        objects.retain(|o| o.value["spec"]["template"]["spec"]["containers"].is_array());
        objects
    };
    for deployment in made(api, Kind::Deployment) {
        roll(api, &deployment);
    }
    for set in made(api, Kind::ReplicaSet) {
        replicate(api, &set);
    }
    for set in made(api, Kind::StatefulSet) {
        keep_one(api, &set);
    }
    for job in made(api, Kind::Job) {
        work(api, stores, fate, &job);
    }
    for pod in api.of(Kind::Pod) {
        kubelet(api, stores, fate, &pod);
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn owner(object: &Object) -> Value {
    json!([{"apiVersion": object.key.kind.api_version(), "kind": object.key.kind.as_str(), "name": object.key.name,
        "uid": object.uid(), "controller": true}])
}

/// An object of a controller, from a template.
fn child(parent: &Object, kind: Kind, name: &str, labels: &Value, spec: &Value) -> Object {
    Object {
        key: ObjectKey::new(kind, name),
        value: json!({
            "apiVersion": kind.api_version(), "kind": kind.as_str(),
            "metadata": {"name": name, "labels": labels, "ownerReferences": owner(parent)},
            "spec": spec,
        }),
    }
}

/// A pod's name: no two pods have the same, and what follows the last dash is five digits.
fn pod_name(api: &mut Api, parent: &str) -> String {
    let uid = api.next_uid("PodName", parent);
    let nth = uid.rsplit('.').next().unwrap();
    format!("{parent}-{nth:0>5}")
}

pub(crate) fn is_true(pod: &Value, condition: &str) -> bool {
    array(&pod["status"]["conditions"])
        .iter()
        .any(|c| c["type"] == condition && c["status"] == "True")
}

fn roll(api: &mut Api, deployment: &Object) {
    let template = &deployment.value["spec"]["template"];
    let hash = accord_plan::digest::short(template.to_string().as_bytes());
    let newest = format!("{}-{hash}", deployment.key.name);
    if api.get(Kind::ReplicaSet, &newest).is_none() {
        let mut template = template.clone();
        template["metadata"]["labels"]["pod-template-hash"] = hash.into();
        let labels = template["metadata"]["labels"].clone();
        let spec = json!({"replicas": 0, "template": template});
        api.create(&child(deployment, Kind::ReplicaSet, &newest, &labels, &spec))
            .unwrap();
    }
    let declared = number(&deployment.value["spec"]["replicas"]);
    let strategy = &deployment.value["spec"]["strategy"]["rollingUpdate"];
    let percent = strategy["maxSurge"].as_str().unwrap().trim_end_matches('%');
    let surge = (declared * percent.parse::<i64>().unwrap() + 99) / 100;
    let sets = api.owned(Kind::ReplicaSet, deployment.uid());
    let (new, old): (Vec<_>, Vec<_>) = sets.iter().partition(|s| s.key.name == newest);
    let wanted = |s: &Object| number(&s.value["spec"]["replicas"]);
    // What has to be ready for long before it counts never does here: nothing may rest on how long that is.
    let held = number(&deployment.value["spec"]["minReadySeconds"]) > 0;
    let available = |s: &Object| {
        let counts = !held || s.key.name != newest;
        if counts {
            number(&s.value["status"]["readyReplicas"])
        } else {
            0
        }
    };
    let total: i64 = sets.iter().map(|s| wanted(s)).sum();
    let scale = |api: &mut Api, set: &Object, to: i64| {
        api.set(&set.key, "/spec/replicas", to.into());
    };
    let new = new[0];
    let goal = if wanted(new) > declared {
        declared
    } else {
        wanted(new) + (declared + surge - total).clamp(0, declared - wanted(new))
    };
    scale(api, new, goal);
    let spare = total - declared - (wanted(new) - available(new)).max(0);
    let mut cleaned = 0;
    let mut healthy_spare = sets.iter().map(|s| available(s)).sum::<i64>() - declared;
    for set in old {
        let unhealthy = (wanted(set) - available(set)).clamp(0, (spare - cleaned).max(0));
        let healthy = (wanted(set) - unhealthy)
            .min(healthy_spare.max(0))
            .min((spare - cleaned - unhealthy).max(0));
        cleaned += unhealthy + healthy;
        healthy_spare -= healthy;
        scale(api, set, wanted(set) - unhealthy - healthy);
    }
    let sum = |field: &str| {
        sets.iter()
            .map(|s| number(&s.value["status"][field]))
            .sum::<i64>()
    };
    let status = json!({
        "observedGeneration": deployment.value["metadata"]["generation"],
        "replicas": sum("replicas"), "readyReplicas": sum("readyReplicas"),
        "updatedReplicas": number(&new.value["status"]["replicas"]),
    });
    api.set(&deployment.key, "/status", status);
}

fn replicate(api: &mut Api, set: &Object) {
    let wanted = usize::try_from(number(&set.value["spec"]["replicas"])).unwrap();
    let template = &set.value["spec"]["template"];
    let mut pods = api.owned(Kind::Pod, set.uid());
    pods.retain(|p| !p.is_deleting());
    for _ in pods.len()..wanted {
        let name = pod_name(api, &set.key.name);
        api.create(&child(
            set,
            Kind::Pod,
            &name,
            &template["metadata"]["labels"],
            &template["spec"],
        ))
        .unwrap();
    }
    // Those that aren't ready go first, then the youngest.
    pods.sort_by_key(|p| (is_true(&p.value, "Ready"), std::cmp::Reverse(p.key.name.clone())));
    for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
        api.edit(&pod.key, |v| {
            v["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z".into();
        });
    }
    let left = pods.len().min(wanted);
    let ready = pods
        .iter()
        .rev()
        .take(left)
        .filter(|p| is_true(&p.value, "Ready"))
        .count();
    let status = json!({"replicas": left, "readyReplicas": ready});
    api.set(&set.key, "/status", status);
}

fn keep_one(api: &mut Api, set: &Object) {
    let name = format!("{}-0", set.key.name);
    for claim in array(&set.value["spec"]["volumeClaimTemplates"]) {
        let claim_name = format!("{}-{name}", claim["metadata"]["name"].as_str().unwrap());
        let mut labels = claim["metadata"]["labels"].clone();
        labels["app"] = "claim".into();
        let object = Object {
            key: ObjectKey::new(Kind::PersistentVolumeClaim, claim_name.clone()),
            value: json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim_name, "labels": labels}, "spec": claim["spec"]}),
        };
        // One that is there is used as it is.
        api.create(&object).ok();
    }
    let template = &set.value["spec"]["template"];
    let hash = accord_plan::digest::short(template.to_string().as_bytes());
    let mut labels = template["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = hash.clone().into();
    match api.get(Kind::Pod, &name).cloned() {
        None => api
            .create(&child(set, Kind::Pod, &name, &labels, &template["spec"]))
            .unwrap(),
        Some(pod) if pod["metadata"]["labels"]["controller-revision-hash"] != *hash => {
            api.remove(&ObjectKey::new(Kind::Pod, name));
        }
        Some(_) => {}
    }
    let generation = set.value["metadata"]["generation"].clone();
    let status = json!({"observedGeneration": generation, "replicas": 1});
    api.set(&set.key, "/status", status);
}

/// The value after an argument of a container's command.
fn argument(pod: &Value, name: &str) -> String {
    let command = array(&pod["spec"]["containers"][0]["command"]);
    let at = command.iter().position(|a| a == name).unwrap_or(usize::MAX - 1);
    command
        .get(at + 1)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// A Job's pod, and, once it runs, what the runner does: ledger, command, ledger.
fn work(api: &mut Api, stores: &mut Stores, fate: &Fate, job: &Object) {
    if !array(&job.value["status"]["conditions"]).is_empty() {
        return;
    }
    let template = &job.value["spec"]["template"];
    let Some(pod) = api.owned(Kind::Pod, job.uid()).pop() else {
        let name = pod_name(api, &job.key.name);
        let mut labels = template["metadata"]["labels"].clone();
        labels["job-name"] = job.key.name.clone().into();
        return api
            .create(&child(job, Kind::Pod, &name, &labels, &template["spec"]))
            .unwrap();
    };
    if pod.value["status"]["phase"] != "Running" {
        return;
    }
    let kind = job.label(LABEL_ROLE).unwrap_or_default().to_owned();
    let entry = argument(&pod.value, "--name");
    let revision = argument(&pod.value, "--revision");
    let image = pod.value["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap()
        .to_owned();
    if kind == "preflight" {
        let (message, code) = facts::answer(api, fate.told.get(&image));
        return end(api, job, &pod, code, &message);
    }
    let in_ledger = kind != "canary";
    let Some(database) = stores.reachable(api) else {
        return;
    };
    let row = |rows: &[LedgerRow]| {
        rows.iter()
            .position(|r| r.kind == kind && r.name == entry && r.revision == revision)
    };
    let before = row(&database.ledger);
    let recorded = before.is_some_and(|i| database.ledger[i].state == "succeeded");
    let code = if recorded {
        0
    } else {
        fate.exit_code(&kind, &entry, &image)
    };
    if in_ledger && !recorded {
        let state = if code == 0 { "succeeded" } else { "failed" };
        let now = LedgerRow {
            kind: kind.clone(),
            name: entry.clone(),
            revision,
            state: state.into(),
            exit_code: Some(code),
            output_tail: if code == 0 {
                String::new()
            } else {
                "Traceback\nno such column".into()
            },
        };
        match before {
            Some(i) => database.ledger[i] = now,
            None => database.ledger.push(now),
        }
    }
    if code == 0 {
        database.done.insert((kind, entry, image));
    }
    end(
        api,
        job,
        &pod,
        code,
        &json!({"message": "no such column"}).to_string(),
    );
}

/// The end of a Job and of its pod.
fn end(api: &mut Api, job: &Object, pod: &Object, code: i32, message: &str) {
    let (phase, outcome, count) = if code == 0 {
        ("Succeeded", "Complete", "succeeded")
    } else {
        ("Failed", "Failed", "failed")
    };
    api.edit(&pod.key, |v| {
        v["status"]["phase"] = phase.into();
        v["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        v["status"]["containerStatuses"][0]["ready"] = false.into();
        v["status"]["containerStatuses"][0]["state"] =
            json!({"terminated": {"exitCode": code, "message": message}});
    });
    api.edit(&job.key, |v| {
        v["status"] = json!({count: 1, "conditions": [{"type": outcome, "status": "True"}]});
    });
}

fn kubelet(api: &mut Api, stores: &mut Stores, fate: &Fate, pod: &Object) {
    if pod.is_deleting() {
        return api.remove(&pod.key);
    }
    let status = &pod.value["status"];
    if matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return;
    }
    let role = pod.label(LABEL_ROLE).unwrap_or_default();
    let container = &pod.value["spec"]["containers"][0];
    let waiting = |reason: &str, message: String, restarts: i64| {
        json!([{"name": container["name"], "ready": false, "restartCount": restarts, "containerID": "",
            "state": {"waiting": {"reason": reason, "message": message}}}])
    };
    let ip = format!("10.0.0.{}", 1 + api.version() % 250);
    let running = status["phase"] == "Running";
    let missing = if running {
        None
    } else {
        missing_secret(api, &pod.value["spec"])
    };
    let blocked = if let Some(secret) = missing {
        Some(waiting(
            "CreateContainerConfigError",
            format!("secret {secret:?} not found"),
            0,
        ))
    } else if role == "server" && fate.crashes(container["image"].as_str().unwrap()) {
        Some(waiting("CrashLoopBackOff", "back-off".into(), 5))
    } else if role == "server" && fate.out_of_reach.contains(container["image"].as_str().unwrap()) {
        Some(waiting("ErrImagePull", "no such host".into(), 0))
    } else if role == "postgres" && !running {
        stores
            .initialise(api)
            .err()
            .map(|why| waiting("PodInitializing", why, 0))
    } else {
        None
    };
    let runs = blocked.is_none();
    let restarts = restarts(&pod.value);
    let id = format!("containerd://{}/{restarts}", pod.uid());
    // A container has started one step after it began to run, and is ready one step later.
    let before = &status["containerStatuses"][0];
    let started = runs && before["containerID"] == *id;
    let ready = started && before["started"] == true && role_serves(role);
    let gates_open = array(&pod.value["spec"]["readinessGates"])
        .iter()
        .all(|g| is_true(&pod.value, g["conditionType"].as_str().unwrap()));
    let condition =
        |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
    let mut conditions: Vec<Value> = array(&status["conditions"])
        .into_iter()
        .filter(|c| c["type"] == GATE_AGREES)
        .collect();
    conditions.push(condition("ContainersReady", ready));
    conditions.push(condition("Ready", ready && gates_open));
    let containers = blocked.unwrap_or_else(|| {
        json!([{"name": container["name"], "started": started, "ready": ready, "restartCount": restarts, "containerID": id,
            "imageID": format!("sha256:{}", container["image"].as_str().unwrap()), "state": {"running": {}}}])
    });
    let mut now = status.clone();
    now["phase"] = if runs { "Running" } else { "Pending" }.into();
    if now["podIP"].is_null() {
        now["podIP"] = ip.into();
    }
    now["conditions"] = conditions.into();
    now["containerStatuses"] = containers;
    api.set(&pod.key, "/status", now);
}

/// How often the container of a pod was started again.
pub(crate) fn restarts(pod: &Value) -> i64 {
    let text = pod["metadata"]["annotations"]["test/restarts"].as_str();
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn role_serves(role: &str) -> bool {
    matches!(role, "server" | "postgres" | "cache")
}

/// The first Secret that a pod names and that isn't there.
fn missing_secret(api: &Api, spec: &Value) -> Option<String> {
    let mut names = Vec::new();
    find(spec, &mut names);
    names
        .into_iter()
        .find(|name| name.starts_with("orders-") && api.get(Kind::Secret, name).is_none())
}

fn find(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let key = map.get("secretKeyRef").and_then(|r| r["name"].as_str());
            let volume = map.get("secret").and_then(|s| s["secretName"].as_str());
            names.extend(key.or(volume).map(str::to_owned));
            map.values().for_each(|v| find(v, names));
        }
        Value::Array(list) => list.iter().for_each(|v| find(v, names)),
        _ => {}
    }
}
