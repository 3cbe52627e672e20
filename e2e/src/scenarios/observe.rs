//! `mode: Observe`: a Deployment that somebody else made is judged and not touched. Three replicas with sessions of their
//! own are told; without the fault they agree.
//!
//! A managed service beside it lends its database and its container: what is observed is a plain Deployment.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, Kit, name_of, seconds};
use crate::audit::Mark;
use crate::cluster::Cluster;
use crate::demo::orders;
use crate::demo::service::{Service, current_condition};
use crate::incidents::plain;
use crate::wait::{Seen, wait};

const NAME: &str = "shop";
const ACCOUNT: &str = "accord-probe";

/// The page's declaration, for the example application.
const DECLARATION: &str = "apiVersion: accord.dev/v1alpha1
kind: AuthService
metadata: {name: shop}
spec:
  mode: Observe
  selector: {matchLabels: {app: plain}}
  framework: Django
  hostnames: [orders.example.com]
  verification:
    intervalSeconds: 10
    canary: {secretRef: {name: shop-canary}}
";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-observe", "orders", |kit| {
        kit.bring_up(1)?;
        let deployment = cluster.get("deployment", kit.namespace, "orders")?;
        kit.declare(&plain::manifests(&deployment, ("ORDERS_FAULT", "local-session"))?)?;
        let pods = plain::ready_pods(cluster, kit.namespace)?;
        make_account(kit, pods.first().context("three are ready")?)?;

        let mark = cluster.is_embedded().then(Mark::now).transpose()?;
        let before = cluster.list("pods", kit.namespace, "app=plain")?;
        let begun = Instant::now();
        kit.declare(DECLARATION)?;
        until(kit, "the replicas to be told apart", |object| {
            current_condition(object, "Ready").is_some_and(|c| c["reason"] == "ReplicasDiverge")
                && accused(object) > 0
        })?;
        let told = begun.elapsed();
        ensure!(
            same(&before, &cluster.list("pods", kit.namespace, "app=plain")?),
            "a pod was changed or replaced"
        );

        let begun = Instant::now();
        kit.kubectl(&["set", "env", "deployment/plain", "ORDERS_FAULT-"])?;
        let object = until(kit, "three replicas that agree", |object| {
            let consistency = &object["status"]["consistency"];
            current_condition(object, "Ready").is_some_and(|c| c["status"] == "True")
                && consistency["agreeing"] == 3
                && consistency["total"] == 3
        })?;
        ensure!(accused(&object) == 0, "{}", object["status"]);
        let agreed = begun.elapsed();
        let written = mark.map(|mark| only_status(kit, &mark)).transpose()?;
        Ok(format!(
            "told after {}, agreed {} after it was mended; nothing but its status and events was written{}",
            seconds(told),
            seconds(agreed),
            written.map_or_else(String::new, |n| format!(" ({n} writes)"))
        ))
    })
}

/// An account without rights, as the page asks for, and the Secret with it.
fn make_account(kit: &Kit<'_>, pod: &str) -> Result<()> {
    let password = kit.cluster.secret(kit.namespace, orders::USERS, "password")?;
    let script = format!(
        "export PASSWORD=\"$(cat)\"; exec python manage.py shell -c \
         'import os; from django.contrib.auth import get_user_model; get_user_model().objects.create_user(\"{ACCOUNT}\", password=os.environ[\"PASSWORD\"])'"
    );
    // The password comes over standard input: it is on no command line.
    kit.cluster
        .kubectl_cmd()
        .args(["exec", "-i", "-n", kit.namespace, pod, "--", "sh", "-c", &script])
        .stdin(password.clone())
        .run()?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-canary"},
        "stringData": {"username": ACCOUNT, "password": password}
    });
    kit.declare(&secret.to_string())
}

fn until(kit: &Kit<'_>, what: &str, mut accept: impl FnMut(&Value) -> bool) -> Result<Value> {
    let service = Service::new(kit.cluster, kit.namespace, NAME);
    wait(kit.cluster, kit.namespace, what, CHANGE, || {
        let object = service.object()?;
        Ok(if accept(&object) {
            Seen::Done(object)
        } else {
            let consistency = &object["status"]["consistency"];
            Seen::NotYet(format!("{} {}", consistency["summary"], consistency["reason"]))
        })
    })
}

/// How many replicas something is said against.
fn accused(object: &Value) -> usize {
    let replicas = object["status"]["consistency"]["replicas"].as_array();
    let accused = |r: &&Value| r["reason"] == "LocalSession" || r["reason"] == "Ambiguous";
    replicas.map_or(0, |all| all.iter().filter(accused).count())
}

/// The same pods, with nothing added to them.
fn same(before: &[Value], now: &[Value]) -> bool {
    let of = |pods: &[Value]| -> Vec<Value> {
        let mut all: Vec<&Value> = pods.iter().collect();
        all.sort_by_key(|p| name_of(p));
        let shown = |p: &&Value| {
            let metadata = &p["metadata"];
            let conditions = p["status"]["conditions"].as_array();
            let conditions: Vec<_> = conditions.into_iter().flatten().map(|c| &c["type"]).collect();
            json!([
                metadata["uid"],
                metadata["labels"],
                metadata["annotations"],
                p["spec"],
                conditions
            ])
        };
        all.iter().map(shown).collect()
    };
    of(before) == of(now)
}

/// How much was written for it. An error when anything else was written than its status and events.
fn only_status(kit: &Kit<'_>, since: &Mark) -> Result<usize> {
    let mut writes = kit.writes(since)?;
    // The managed service's status tells of its own sweeps.
    writes.retain(|w| !(w.resource == "authservices/status" && w.name == "orders"));
    let other: Vec<String> = writes
        .iter()
        .filter(|w| !(w.resource == "events" || (w.resource == "authservices/status" && w.name == NAME)))
        .map(ToString::to_string)
        .collect();
    ensure!(other.is_empty(), "Accord wrote: {}", other.join("; "));
    Ok(writes.len())
}
