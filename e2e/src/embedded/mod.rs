//! The embedded cluster: a real Kubernetes of one node on this machine, made of Go modules and Debian packages. It
//! needs no cluster image, no registry and no other virtual machine. There is one for each machine, whatever the
//! checkout; what it was made from is recorded, so that another checkout can take it over or end it.

pub(crate) mod binaries;
mod cgroup;
pub(crate) mod components;
pub(crate) mod files;
mod network;
pub(crate) mod pki;
mod remove;
pub(crate) mod settings;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::components::Components;
use self::settings::{NODE, PAUSE_IMAGE, SOCKET};
use crate::digest::Key;
use crate::exec::{Cmd, find, last_lines};
use crate::machine::{self, Machine};
use crate::paths::{self, LOCK, RUN, STATE};
use crate::process::{Component, Record};
use crate::progress;

/// What is known of the cluster that runs, or ran, on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Origin {
    /// The checkout that brought it up last.
    checkout: PathBuf,
    /// What it was made from: binaries, arguments, files. Equal fingerprints make equal clusters.
    fingerprint: String,
    /// True once it was up: a crash in between leaves false.
    complete: bool,
}

/// What `up` found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was running.
    Running,
    /// It had to be started.
    Started,
}

/// Where kubectl finds the cluster.
pub fn kubeconfig() -> PathBuf {
    Path::new(STATE).join("admin.conf")
}

/// The directory of `kubectl` and `helm`, for a PATH.
pub fn tools() -> PathBuf {
    Path::new(STATE).join("bin")
}

/// The log of what was asked of the API server, one JSON object a line.
pub fn audit_log() -> PathBuf {
    Path::new(STATE).join("log/audit.log")
}

/// The checkout that the running cluster belongs to, when there is one.
pub fn owner() -> Option<PathBuf> {
    Origin::read().map(|o| o.checkout)
}

/// Brings the cluster up, or finds that it is.
pub fn up() -> Result<Found> {
    let machine = Machine::detect()?;
    machine::install_packages()?;
    let binaries = binaries::build()?;
    let components = Components::new(
        &binaries,
        find("containerd").context("containerd was just installed")?,
    );
    let files = files::all(machine);
    let fingerprint = fingerprint(&components, &files, &binaries);
    let _lock = lock()?;

    let checkout = paths::checkout().to_owned();
    if let Some(origin) = Origin::read() {
        let elsewhere = origin.checkout != checkout;
        if origin.complete && origin.fingerprint == fingerprint && healthy(&components) {
            if elsewhere {
                progress::say(&format!(
                    "taking over the running cluster of {}: it is made of the same parts",
                    origin.checkout.display()
                ));
                Origin { checkout, ..origin }.write()?;
            }
            tools_ready()?;
            return Ok(Found::Running);
        }
        let why = if !origin.complete {
            "which was never finished"
        } else if origin.fingerprint == fingerprint {
            "which is no longer healthy"
        } else {
            "which is made of other parts than this checkout's"
        };
        let whose = if elsewhere {
            format!(" of {}", origin.checkout.display())
        } else {
            String::new()
        };
        progress::say(&format!("ending the cluster{whose}, {why}"));
        remove::everything()?;
    } else if remove::anything_left() {
        progress::say("removing what a crash left");
        remove::everything()?;
    }

    Origin {
        checkout,
        fingerprint,
        complete: false,
    }
    .write()?;
    if let Err(error) = start(machine, &components, &files) {
        // The logs stay for whoever looks for the reason; the next `up` or `down` removes them with everything else.
        return Err(error.context("the embedded cluster did not come up"));
    }
    tools_ready()?;
    if let Some(origin) = Origin::read() {
        Origin {
            complete: true,
            ..origin
        }
        .write()?;
    }
    Ok(Found::Started)
}

/// Takes the cluster down, whole. Returns false when there was none.
pub fn down() -> Result<bool> {
    Machine::detect()?;
    let _lock = lock()?;
    if !remove::anything_left() {
        return Ok(false);
    }
    if let Some(origin) = Origin::read().filter(|o| o.checkout != paths::checkout()) {
        progress::say(&format!(
            "ending the cluster that {} brought up",
            origin.checkout.display()
        ));
    }
    remove::everything()?;
    Ok(true)
}

/// Lines that say how the cluster is; the flag is true when it is well.
pub fn status() -> (bool, Vec<String>) {
    let Some(origin) = Origin::read() else {
        return (
            false,
            vec!["no embedded cluster on this machine; `cargo xtask cluster up` starts one".to_owned()],
        );
    };
    let mut lines = vec![format!("embedded cluster of {}", origin.checkout.display())];
    let mut records = Record::all(Path::new(STATE));
    records.sort_by(|a, b| a.name().cmp(b.name()));
    let mut well = origin.complete && !records.is_empty();
    for record in &records {
        let alive = record.is_alive();
        well &= alive;
        let state = if alive {
            format!("running, process {}", record.pid())
        } else {
            "ended".to_owned()
        };
        lines.push(format!("  {:<24} {state}", record.name()));
    }
    let answer = kubectl(&["get", "nodes", "--no-headers", "--request-timeout=3s"]);
    match answer {
        Ok(nodes) => {
            well &= nodes.contains(" Ready ");
            lines.push(format!(
                "  node {}",
                nodes.split_whitespace().collect::<Vec<_>>().join(" ")
            ));
        }
        Err(error) => {
            well = false;
            lines.push(format!(
                "  the API server doesn't answer: {}",
                last_lines(&error.to_string(), 1)
            ));
        }
    }
    (well, lines)
}

/// True when the cluster runs and its API server answers.
pub fn is_running() -> bool {
    Origin::read().is_some_and(|o| o.complete)
        && kubectl(&["get", "--raw", "/readyz", "--request-timeout=3s"]).is_ok()
}

/// Runs the container runtime's client against the cluster's own runtime.
pub(crate) fn ctr(args: &[&str]) -> Result<String> {
    Cmd::new("ctr")
        .args(["-a", SOCKET, "-n", "k8s.io"])
        .args(args)
        .output()
}

/// The path of Helm, built if need be: also good for another cluster.
pub(crate) fn helm() -> Result<PathBuf> {
    binaries::helm()
}

/// The path of kubectl, built if need be: also good for another cluster.
pub(crate) fn kubectl_binary() -> Result<PathBuf> {
    Ok(binaries::build()?.join("kubectl"))
}

fn start(machine: Machine, components: &Components, files: &[(&str, String)]) -> Result<()> {
    let state = Path::new(STATE);
    for dir in ["bin", "log", "volumes"] {
        paths::ensure(&state.join(dir))?;
    }
    paths::ensure(Path::new(RUN))?;
    for (name, content) in files {
        paths::write(&state.join(name), content)?;
    }
    network::up()?;
    cgroup::make(machine)?;

    components.etcd.start(state)?;
    components.containerd.start(state)?;
    pki::make(&settings::CLUSTER)?;
    binaries::link(
        &components.apiserver.program.with_file_name("kubectl"),
        &tools().join("kubectl"),
    )?;
    components.apiserver.start(state)?;
    progress::say("etcd, containerd and the API server are starting");
    let pause = pause_image(&components.apiserver.program.with_file_name("pause"))?;
    until(
        Duration::from_mins(1),
        &[&components.etcd, &components.apiserver],
        "the API server to be ready",
        || kubectl(&["get", "--raw", "/readyz", "--request-timeout=2s"]).map(drop),
    )?;
    progress::say("API server ready");

    kubectl(&["apply", "--server-side", "-f", &format!("{STATE}/manifests.yaml")])?;
    for component in &components.controllers {
        component.start(state)?;
    }
    until(
        Duration::from_secs(30),
        &[&components.containerd],
        "containerd to answer",
        || ctr(&["version"]).map(drop),
    )?;
    ctr(&["images", "import", &pause.to_string_lossy()])?;
    for component in &components.node {
        component.start(state)?;
    }
    let all: Vec<&Component> = components.all().collect();
    until(Duration::from_secs(90), &all, "the node to be ready", || {
        let ready = kubectl(&[
            "get",
            "node",
            NODE,
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].status} {.status.conditions[?(@.type==\"Ready\")].message}",
        ])?;
        if ready.starts_with("True") {
            Ok(())
        } else {
            bail!("{ready}")
        }
    })?;
    until(Duration::from_secs(30), &all, "the first service account", || {
        kubectl(&["get", "serviceaccount", "default", "-n", "default"]).map(drop)
    })?;
    until(Duration::from_secs(30), &all, "the cluster's DNS", || {
        dns_answers()
    })?;
    progress::say("node ready");
    Ok(())
}

/// Asks the DNS server for the API server's name, as pods do.
fn dns_answers() -> Result<()> {
    let health = ureq::get(format!("http://127.0.0.1:{}/health", settings::DNS_HEALTH_PORT))
        .config()
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .call()?;
    if health.status() == 200 {
        Ok(())
    } else {
        bail!("health answers {}", health.status())
    }
}

/// kubectl and Helm where `cluster env` says they are.
fn tools_ready() -> Result<()> {
    binaries::link(&binaries::helm()?, &tools().join("helm"))
}

fn pause_image(program: &Path) -> Result<PathBuf> {
    let archive = program.with_file_name("pause.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let unfinished = program.with_file_name(format!(".pause.{}.tar", std::process::id()));
    let recipe = "FROM scratch\nCOPY pause /pause\nENTRYPOINT [\"/pause\"]\n";
    crate::images::store::buildah()?
        .args(["bud", "--isolation", "chroot", "-q", "-f", "-", "-t", PAUSE_IMAGE])
        .arg(program.parent().context("a binary lies in a directory")?)
        .stdin(recipe)
        .run()?;
    crate::images::store::buildah()?
        .args([
            "push",
            "-q",
            PAUSE_IMAGE,
            &format!("docker-archive:{}:{PAUSE_IMAGE}", unfinished.display()),
        ])
        .run()?;
    std::fs::rename(&unfinished, &archive)?;
    Ok(archive)
}

/// Tries until it succeeds; gives up at the limit, or as soon as one of the components has ended.
fn until(
    limit: Duration,
    components: &[&Component],
    what: &str,
    mut attempt: impl FnMut() -> Result<()>,
) -> Result<()> {
    let begun = Instant::now();
    loop {
        let Err(error) = attempt() else { return Ok(()) };
        for component in components {
            if let Some(obituary) = component.obituary(Path::new(STATE)) {
                bail!("waiting for {what}: {obituary}");
            }
        }
        if begun.elapsed() > limit {
            bail!(
                "gave up waiting for {what} after {}: {error:#}\nLogs: {STATE}/log",
                progress::clock(begun.elapsed())
            );
        }
        progress::live_line(&format!("waiting for {what}"));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn healthy(components: &Components) -> bool {
    components.all().all(|c| c.obituary(Path::new(STATE)).is_none())
        && kubectl(&[
            "get",
            "node",
            NODE,
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
            "--request-timeout=5s",
        ])
        .is_ok_and(|ready| ready == "True")
}

fn kubectl(args: &[&str]) -> Result<String> {
    Cmd::new(tools().join("kubectl"))
        .arg("--kubeconfig")
        .arg(kubeconfig())
        .args(args)
        .output()
}

fn fingerprint(components: &Components, files: &[(&str, String)], binaries: &Path) -> String {
    let mut key = Key::default()
        // By its name, which is made from the content: where the cache lies makes no difference.
        .text(
            "binaries",
            &binaries.file_name().unwrap_or_default().to_string_lossy(),
        );
    for component in components.all() {
        key = key.text(component.name, &component.args.join("\n"));
    }
    for (name, content) in files {
        key = key.text(name, content);
    }
    key.finish()
}

/// Waits until nobody else brings the cluster up or down; held as long as the file is open.
fn lock() -> Result<File> {
    paths::ensure(Path::new("/var/lib"))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(LOCK)
        .with_context(|| format!("can't open {LOCK}"))?;
    if file.try_lock().is_err() {
        progress::say("another `cargo xtask cluster` is at work on this machine: waiting for it to finish");
        file.lock().with_context(|| format!("can't lock {LOCK}"))?;
    }
    Ok(file)
}

impl Origin {
    fn read() -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path()).ok()?).ok()
    }

    fn write(&self) -> Result<()> {
        paths::write(&Self::path(), serde_json::to_vec_pretty(self)?)
    }

    fn path() -> PathBuf {
        Path::new(STATE).join("cluster.json")
    }
}
