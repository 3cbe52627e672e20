//! What is secret stays in Secrets: after a migration that prints its database's URL, a service that works and a candidate
//! that diverges, no value of any Secret of the namespace stands in a log, an event, a status, an object, a metric or on a
//! command line.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, name_of};
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::images::Image;
use crate::leaks::{self, Text, Values};
use crate::watch::Watch;

/// Prints what it was given: the URL, its password alone, and the user's own password.
const TALKS: &str = "echo \"asked to migrate $DATABASE_URL\"; p=${DATABASE_URL#*//*:}; echo \"its password is ${p%%@*}\"; \
                     echo \"can't reach $DATABASE_URL\" >&2; exit 3";
/// The first words of it: what shows that its output is among what is searched.
const SAID: &str = "asked to migrate";
/// A binding Secret holds these beside what is secret: they are declared, or public.
const OPEN: &[&str] = &["ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DJANGO_ENV"];
/// What Accord makes, and what is made of that. Secrets are what must not stand in them.
const OBJECTS: &str = "pods,jobs,deployments,statefulsets,replicasets,controllerrevisions,configmaps,services,\
                       poddisruptionbudgets,persistentvolumeclaims,endpointslices";
/// Between two looks at the machine's processes.
const LOOK: Duration = Duration::from_millis(150);

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-secrets", "orders", |kit| {
        let begun = Instant::now();
        let pods = Watch::start(cluster, "pods", kit.namespace, "")?;
        let services = Watch::start(cluster, "authservices.accord.dev", kit.namespace, "")?;
        let mut seen = Seen::default();
        let lines = while_looking(|| a_life(kit, &mut seen))?;

        let mut texts = vec![
            text("the operator's logs", "scenario-secrets", operators(kit, begun)?),
            text("the pods' logs", SAID, seen.logs),
            text("the events", "MigrationFailed", seen.events),
            text("the objects", "accord-runner", seen.objects),
            text("the pods, in each state", "accord-runner", all(&pods)),
            text(
                "the AuthService, in each state",
                "CandidateWithdrawn",
                all(&services),
            ),
            text("the metrics", "accord_", metrics(kit)?),
        ];
        // A pod's processes are the machine's own on the embedded cluster only.
        if cluster.is_embedded() {
            texts.push(text("the command lines", "accord-operator", lines));
        }
        judged(&texts, &seen.values, &seen.secrets)
    })
}

/// What a life leaves to be searched.
#[derive(Default)]
struct Seen {
    /// Every Secret that there was.
    values: Values,
    /// The same as the API server gives them.
    secrets: String,
    logs: String,
    events: String,
    objects: String,
}

/// A migration fails and talks, it is mended, and an update diverges.
fn a_life(kit: &Kit<'_>, seen: &mut Seen) -> Result<()> {
    let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
    let command = Value::from(TALKS);
    kit.declare(&format!("{yaml}  migration: {{command: [sh, -c, {command}]}}\n"))?;
    kit.until_reason("MigrationFailed", COME_UP)?;
    seen.take_in(kit)?;
    kit.patch(&json!({"spec": {"migration": null}}))?;
    kit.ready(COME_UP)?;
    seen.take_in(kit)?;
    // Preflight would see it before a pod starts.
    kit.patch(&json!({"spec": {
        "preflight": {"mode": "Skip"},
        "server": {"env": [{"name": "ORDERS_FAULT", "value": "local-session"}]}
    }}))?;
    kit.until_reason("CandidateWithdrawn", CHANGE)?;
    seen.take_in(kit)
}

impl Seen {
    fn take_in(&mut self, kit: &Kit<'_>) -> Result<()> {
        for secret in kit.cluster.list("secrets", kit.namespace, "")? {
            self.secrets.push_str(&secret.to_string());
            for (key, value) in secret["data"].as_object().into_iter().flatten() {
                let decoded = STANDARD.decode(value.as_str().unwrap_or_default())?;
                let of = (name_of(&secret).to_owned(), key.clone());
                self.values.insert(of, String::from_utf8(decoded)?);
            }
        }
        self.events
            .push_str(&kit.kubectl(&["get", "events.events.k8s.io", "-o", "json"])?);
        self.objects
            .push_str(&kit.kubectl(&["get", OBJECTS, "-o", "json"])?);
        for pod in kit.cluster.list("pods", kit.namespace, "")? {
            self.logs.push_str(&logs(kit, kit.namespace, &pod, &[]));
        }
        Ok(())
    }
}

/// What a pod's containers have written, those before a restart too. One that hasn't begun has written nothing.
fn logs(kit: &Kit<'_>, namespace: &str, pod: &Value, more: &[&str]) -> String {
    let name = name_of(pod);
    let mut written = String::new();
    let spec = &pod["spec"];
    let containers = [&spec["initContainers"], &spec["containers"]];
    for container in containers.into_iter().filter_map(|c| c.as_array()).flatten() {
        let container = container["name"].as_str().unwrap_or_default();
        for previous in ["--previous=false", "--previous"] {
            let mut arguments = vec!["logs", "-n", namespace, name, "-c", container, previous];
            arguments.extend_from_slice(more);
            written.push_str(&kit.cluster.kubectl(&arguments).unwrap_or_default());
        }
    }
    written
}

fn operators(kit: &Kit<'_>, begun: Instant) -> Result<String> {
    let since = format!("--since={}s", begun.elapsed().as_secs() + 5);
    let pods = kit
        .cluster
        .list("pods", SYSTEM, "app.kubernetes.io/name=accord")?;
    Ok(pods.iter().map(|p| logs(kit, SYSTEM, p, &[&since])).collect())
}

fn metrics(kit: &Kit<'_>) -> Result<String> {
    let pods = kit
        .cluster
        .list("pods", SYSTEM, "app.kubernetes.io/component=operator")?;
    let paths = pods.iter().map(|pod| {
        format!(
            "/api/v1/namespaces/{SYSTEM}/pods/{}:8080/proxy/metrics",
            name_of(pod)
        )
    });
    paths
        .map(|path| kit.cluster.kubectl(&["get", "--raw", &path]))
        .collect()
}

/// What a watch has shown.
fn all(watch: &Watch) -> String {
    let states = watch.seen();
    let states: Vec<String> = states.iter().map(|s| s.object.to_string()).collect();
    states.join("\n")
}

/// Looks at the command lines of all processes again and again while `body` runs, and returns each that there was.
fn while_looking(body: impl FnOnce() -> Result<()>) -> Result<String> {
    let over = AtomicBool::new(false);
    let (done, lines) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut lines = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                lines.extend(command_lines());
                std::thread::sleep(LOOK);
            }
            lines
        });
        let done = body();
        over.store(true, Ordering::Relaxed);
        (done, looking.join().unwrap_or_default())
    });
    done?;
    Ok(lines.into_iter().collect::<Vec<_>>().join("\n"))
}

fn command_lines() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

fn text(what: &str, holds: &'static str, written: String) -> Text {
    Text {
        what: what.to_owned(),
        holds,
        written,
    }
}

/// No value is found in the texts; each is where it belongs, so that the search is seen to find.
fn judged(texts: &[Text], values: &Values, secrets: &str) -> Result<String> {
    let (open, secret): (Values, Values) = values
        .clone()
        .into_iter()
        .partition(|((_, key), value)| OPEN.contains(&key.as_str()) || value.contains("BEGIN CERTIFICATE"));
    let needles = leaks::needles(&secret);
    let known = leaks::known_in(secrets, &needles);
    let looked_for: BTreeSet<_> = secret.iter().filter(|(_, v)| v.trim().len() >= 8).collect();
    ensure!(
        known.len() == looked_for.len() && known.len() >= 10,
        "{} of {} values are found in the Secrets themselves: the search finds too little",
        known.len(),
        looked_for.len()
    );
    let service = texts.iter().find(|t| t.holds == "CandidateWithdrawn");
    let service = &service.context("the AuthService is searched")?.written;
    ensure!(
        !leaks::known_in(service, &leaks::needles(&open)).is_empty(),
        "the declared hostnames aren't found in the AuthService: the search finds too little"
    );
    let found = leaks::found(texts, &needles);
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(format!(
        "{} values of {} Secrets, in {} forms, stand nowhere in {} KiB of {}",
        looked_for.len(),
        secret.keys().map(|(name, _)| name).collect::<BTreeSet<_>>().len(),
        needles.len(),
        texts.iter().map(|t| t.written.len()).sum::<usize>() / 1024,
        texts
            .iter()
            .map(|t| t.what.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    ))
}
