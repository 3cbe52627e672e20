//! Objects of names that Accord needs are somebody else's, of every kind that it makes: each is left alone, status names
//! one after the other, and once they are gone everything goes on by itself.
//!
//! Names that hold a digest are known once the service has run: their part comes in its second life.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, NOTICE, name_of, seconds};
use crate::api::Api;
use crate::cluster::Cluster;
use crate::demo::service::current_condition;
use crate::images::Image;
use crate::wait::{Seen, wait};

/// Kind, plural, group, and what follows the service's name in the names of its objects.
const FIXED: &[(&str, &str, &str, &[&str])] = &[
    (
        "Secret",
        "secrets",
        "/api/v1",
        &[
            "-internal",
            "-keys",
            "-canary",
            "-ca",
            "-database",
            "-postgres-tls",
            "-cache-auth",
            "-cache-tls",
        ],
    ),
    (
        "ConfigMap",
        "configmaps",
        "/api/v1",
        &["-identity", "-cache-config"],
    ),
    ("Service", "services", "/api/v1", &["", "-postgres", "-cache"]),
    (
        "StatefulSet",
        "statefulsets",
        "/apis/apps/v1",
        &["-postgres", "-cache"],
    ),
    ("Deployment", "deployments", "/apis/apps/v1", &[""]),
    (
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        "/apis/policy/v1",
        &[""],
    ),
];

/// Kinds whose names hold a digest: those of a first life that a second one needs again.
const BY_DIGEST: &[(&str, &str, &str, &[&str])] = &[
    ("Job", "jobs", "/apis/batch/v1", &["canary", "preflight"]),
    (
        "ControllerRevision",
        "controllerrevisions",
        "/apis/apps/v1",
        &["server"],
    ),
];

/// Objects of somebody else: what status calls each, its path, and what it is.
type Foreign = BTreeMap<String, (String, Value)>;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-conflict", "orders", |kit| {
        let api = Api::of(cluster, kit.namespace)?;
        let mut names = Vec::new();
        for (kind, plural, group, suffixes) in FIXED {
            for suffix in *suffixes {
                let name = format!("{}{suffix}", kit.service.name);
                names.push((*kind, *plural, *group, name));
            }
        }
        let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
        let laid = lay(kit, &api, &names)?;
        kit.declare(&yaml)?;
        let first = give_way(kit, &api, laid)?;
        let begun = Instant::now();
        kit.ready(COME_UP)?;
        let ready = begun.elapsed();

        let names = made(kit)?;
        kit.kubectl(&["delete", "authservice", &kit.service.name, "--timeout=60s"])?;
        collected(kit, &names)?;
        let laid = lay(kit, &api, &names)?;
        kit.declare(&yaml)?;
        let second = give_way(kit, &api, laid)?;
        kit.ready(COME_UP)?;
        let orders = kit.orders()?;
        orders
            .ask_every_replica(&orders.first_session()?)?
            .ensure_perfect()?;
        Ok(format!(
            "{first} objects in the way of a new service and {second} of one that came back, each left alone and named; \
             ready {} after the last was gone",
            seconds(ready)
        ))
    })
}

/// Puts objects of these names there, and waits until their own controllers have had their say.
fn lay(kit: &Kit<'_>, api: &Api, names: &[(&str, &str, &str, String)]) -> Result<Foreign> {
    for (kind, _, group, name) in names {
        let version = group.trim_start_matches("/apis/").trim_start_matches("/api/");
        kit.declare(&foreign(kind, version, name).to_string())?;
    }
    let mut last = Foreign::new();
    let mut since = Instant::now();
    wait(
        kit.cluster,
        kit.namespace,
        "the objects of somebody else to rest",
        NOTICE,
        || {
            let mut now = Foreign::new();
            for (kind, plural, group, name) in names {
                let path = format!("{group}/namespaces/{}/{plural}/{name}", kit.namespace);
                let object = api.get(&path)?;
                now.insert(format!("{kind} {name}"), (path, object));
            }
            if now != last {
                (last, since) = (now, Instant::now());
            }
            Ok(if since.elapsed().as_secs() >= 2 {
                Seen::Done(last.clone())
            } else {
                Seen::NotYet("one of them changed".to_owned())
            })
        },
    )
}

/// An object that has nothing to do with the service, and does nothing.
fn foreign(kind: &str, version: &str, name: &str) -> Value {
    let pod = json!({"metadata": {"labels": {"app": "shop"}}, "spec": {
        "containers": [{"name": "shop", "image": "localhost/pause:1"}]}});
    let selector = json!({"matchLabels": {"app": "shop"}});
    let mut object = json!({"apiVersion": version, "kind": kind,
        "metadata": {"name": name, "labels": {"team": "shop"}}});
    match kind {
        "Secret" => object["stringData"] = json!({"shop": "open"}),
        "ConfigMap" => object["data"] = json!({"shop": "open"}),
        "Service" => object["spec"] = json!({"selector": {"app": "shop"}, "ports": [{"port": 80}]}),
        "StatefulSet" => {
            object["spec"] =
                json!({"replicas": 0, "serviceName": "shop", "selector": selector, "template": pod});
        }
        "Deployment" => object["spec"] = json!({"replicas": 0, "selector": selector, "template": pod}),
        "PodDisruptionBudget" => object["spec"] = json!({"maxUnavailable": 1, "selector": selector}),
        "Job" => {
            let mut pod = pod;
            pod["spec"]["restartPolicy"] = json!("Never");
            object["spec"] = json!({"suspend": true, "template": pod});
        }
        _ => {
            object["revision"] = json!(1);
            object["data"] = json!({"shop": "open"});
        }
    }
    object
}

/// Takes one object after the other away, each once status names it; until then it has to be as it was laid. Returns how
/// many there were.
fn give_way(kit: &Kit<'_>, api: &Api, mut laid: Foreign) -> Result<usize> {
    let count = laid.len();
    while !laid.is_empty() {
        let object = kit.until("a conflict to be named", COME_UP, |object| {
            named(object, &laid).is_some()
        })?;
        let what = named(&object, &laid).context("it was named a moment ago")?;
        for (what, (path, before)) in &laid {
            let now = api.get(path)?;
            ensure!(*before == now, "{what} was changed:\n{before}\n{now}");
        }
        let (path, _) = laid.remove(&what).context("it is one of them")?;
        api.send("DELETE", &path, "", Vec::new())?.object(&what)?;
        // The first and the last are found gone by looking again, the others are looked for at once.
        if !laid.is_empty() && laid.len() + 1 != count {
            let interval = 61 + laid.len();
            kit.patch(&json!({"spec": {"verification": {"intervalSeconds": interval}}}))?;
        }
    }
    Ok(count)
}

/// Which of them status names.
fn named(object: &Value, laid: &Foreign) -> Option<String> {
    let ready = current_condition(object, "Ready").filter(|c| c["reason"] == "Conflict")?;
    let message = ready["message"].as_str()?;
    laid.keys()
        .find(|what| message.starts_with(&format!("{what} ")))
        .cloned()
}

/// What the service made under names that hold a digest.
fn made(kit: &Kit<'_>) -> Result<Vec<(&'static str, &'static str, &'static str, String)>> {
    let mut names = Vec::new();
    for (kind, plural, group, roles) in BY_DIGEST {
        for role in *roles {
            let selector = format!("accord.dev/service={},accord.dev/role={role}", kit.service.name);
            let all = kit.cluster.list(plural, kit.namespace, &selector)?;
            let object = all
                .iter()
                .find(|o| o["metadata"]["ownerReferences"][0]["kind"] == "AuthService")
                .with_context(|| format!("there is no {kind} of {role}"))?;
            names.push((*kind, *plural, *group, name_of(object).to_owned()));
        }
    }
    Ok(names)
}

/// Waits until what the service made is collected with it.
fn collected(kit: &Kit<'_>, names: &[(&str, &str, &str, String)]) -> Result<()> {
    wait(
        kit.cluster,
        kit.namespace,
        "what it made to be gone",
        CHANGE,
        || {
            for (_, plural, _, name) in names {
                if kit.cluster.find(plural, kit.namespace, name)?.is_some() {
                    return Ok(Seen::NotYet(format!("{plural} {name}")));
                }
            }
            let pods = kit
                .cluster
                .list("pods", kit.namespace, "accord.dev/service")?
                .len();
            Ok(if pods == 0 {
                Seen::Done(())
            } else {
                Seen::NotYet(format!("{pods} pods"))
            })
        },
    )
}
