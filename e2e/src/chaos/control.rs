//! A control plane and nothing else: etcd, API server and controller manager, on loopback, beside whatever cluster the
//! machine runs. It is made anew for each run and removed with it; what a crash left is removed by the next.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::api::Api;
use crate::embedded::components::ControlPlane;
use crate::embedded::settings::Place;
use crate::embedded::{binaries, files, pki};
use crate::exec::Cmd;
use crate::process::{self, Component, Record};
use crate::{paths, progress};

/// Where it is. Its numbers keep away from the embedded cluster's.
pub(crate) const PLACE: Place = Place {
    state: "/var/lib/accord-chaos",
    address: "127.0.0.1",
    api_port: 17443,
    etcd_port: 24790,
    etcd_peer_port: 24800,
    controller_port: 21257,
};
/// `kubectl proxy`: the API server as an administrator, by plain HTTP.
const PROXY_PORT: u16 = 17080;
const LOCK: &str = "/var/lib/accord-chaos.lock";
/// What an `AuthService` rests on. Nobody is there to look after nodes, so nobody may miss them.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,\
    disruption-controller,garbage-collector-controller,namespace-controller,serviceaccount-controller";

/// A control plane that runs. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Control {
    kubectl: PathBuf,
    restarter: Restarter,
    guard: Child,
    _lock: File,
}

/// Starts the API server anew, as an upgrade of the control plane does.
#[derive(Debug, Clone)]
pub(crate) struct Restarter(Component);

impl Control {
    /// Starts one, in place of what an earlier run left.
    pub(crate) fn start() -> Result<Self> {
        let binaries = binaries::build()?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(LOCK)
            .with_context(|| format!("can't open {LOCK}; `cargo xtask chaos` has to be run as root"))?;
        if lock.try_lock().is_err() {
            bail!("another `cargo xtask chaos` runs on this machine: wait for its end");
        }
        remove()?;
        let mut parts = ControlPlane::new(&binaries, &PLACE);
        // An address of loopback can't be the endpoint of a Service; nobody here asks for it.
        let alone = "--endpoint-reconciler-type=none".to_owned();
        parts.apiserver.args.push(alone);
        let control = Self {
            kubectl: binaries.join("kubectl"),
            restarter: Restarter(parts.apiserver.clone()),
            guard: guard()?,
            _lock: lock,
        };
        control.up(parts)?;
        Ok(control)
    }

    fn up(&self, parts: ControlPlane) -> Result<()> {
        let state = Path::new(PLACE.state);
        for dir in ["log", "runs"] {
            paths::ensure(&state.join(dir))?;
        }
        paths::write(&state.join("audit-policy.yaml"), files::AUDIT_POLICY)?;
        let ControlPlane {
            etcd,
            apiserver,
            mut controller_manager,
        } = parts;
        controller_manager.args.extend(
            [
                &format!("--controllers={CONTROLLERS}"),
                // Runs wait for controllers: these aren't what is tried.
                "--kube-api-qps=200",
                "--kube-api-burst=400",
            ]
            .map(str::to_owned),
        );
        let proxy = Component {
            name: "kubectl",
            program: self.kubectl.clone(),
            args: vec![
                "proxy".into(),
                format!("--kubeconfig={}/admin.conf", PLACE.state),
                format!("--port={PROXY_PORT}"),
            ],
        };
        etcd.start(state)?;
        pki::make(&PLACE)?;
        apiserver.start(state)?;
        proxy.start(state)?;
        let api = Self::api();
        let all = [&etcd, &apiserver, &proxy];
        until_up("the API server", &all, || api.get("/readyz").map(drop))?;
        controller_manager.start(state)?;
        let crd = paths::checkout().join("crds/generated/authservices.accord.dev.yaml");
        self.kubectl(&["apply", "--server-side", "-f", &crd.to_string_lossy()])?;
        until_up("the CRD", &all, || {
            api.get("/apis/accord.dev/v1alpha1/authservices").map(drop)
        })?;
        until_up("the first service account", &[&controller_manager], || {
            api.get("/api/v1/namespaces/default/serviceaccounts/default")
                .map(drop)
        })
    }

    /// A client of it.
    pub(crate) fn api() -> Api {
        Api::new(Self::address())
    }

    /// Where its API server is asked without credentials.
    pub(crate) fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], PROXY_PORT))
    }

    /// Starts its API server anew.
    pub(crate) fn restarter(&self) -> Restarter {
        self.restarter.clone()
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        Cmd::new(&self.kubectl)
            .arg(format!("--kubeconfig={}/admin.conf", PLACE.state))
            .args(args)
            .output()
    }
}

impl Restarter {
    /// etcd forgets what was, the API server ends, and this returns when another one answers: whoever wants to go on
    /// with a watch from before is told that it is too old.
    pub(crate) fn restart(&self) -> Result<()> {
        let state = Path::new(PLACE.state);
        let etcd = Api::new(SocketAddr::from(([127, 0, 0, 1], PLACE.etcd_port)));
        let now = etcd.create("/v3/kv/range", &json!({"key": "AA=="}))?;
        let forget = json!({"revision": now["header"]["revision"], "physical": true});
        etcd.create("/v3/kv/compaction", &forget)?;
        if let Some(record) = Record::read(state, self.0.name) {
            record.stop(Duration::from_secs(3));
        }
        self.0.start(state)?;
        let api = Control::api();
        until_up("the API server again", &[&self.0], || {
            api.get("/readyz").map(drop)
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = remove() {
            progress::say(&format!("{error:#}"));
        }
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Ends every process that belongs to a run, and removes its files.
fn remove() -> Result<()> {
    let state = Path::new(PLACE.state);
    // The API server does not end by itself once etcd is gone: it goes first.
    for name in ["kube-controller-manager", "kube-apiserver", "etcd"] {
        if let Some(record) = Record::read(state, name) {
            record.stop(Duration::from_secs(3));
        }
    }
    process::end_marked(state);
    if state.exists() {
        std::fs::remove_dir_all(state).with_context(|| format!("can't remove {}", PLACE.state))?;
    }
    Ok(())
}

/// A process that outlives this one by the time that it takes to end what this one started: also after a Ctrl-C or a
/// kill, which close its standard input.
fn guard() -> Result<Child> {
    let (mark, value) = process::mark(Path::new(PLACE.state), "");
    let script = r#"cat >/dev/null
for round in 1 2 3; do
  for environment in /proc/[0-9]*/environ; do
    if grep -qza "^$1" "$environment" 2>/dev/null; then
      pid=${environment#/proc/}
      kill -KILL "${pid%/environ}" 2>/dev/null
    fi
  done
done"#;
    let mut guard = Command::new("sh")
        .args(["-c", script, "accord-chaos-guard", &format!("{mark}={value}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Not in this one's group: Ctrl-C goes to the whole of it.
        .process_group(0)
        .spawn()
        .context("can't start the guard")?;
    if let Some(stdin) = &mut guard.stdin {
        stdin.flush()?;
    }
    Ok(guard)
}

fn until_up(what: &str, components: &[&Component], mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let Err(error) = attempt() else { return Ok(()) };
        for component in components {
            if let Some(obituary) = component.obituary(Path::new(PLACE.state)) {
                bail!("waiting for {what}: {obituary}");
            }
        }
        if begun.elapsed() > Duration::from_mins(1) {
            bail!("gave up waiting for {what}: {error:#}\nLogs: {}/log", PLACE.state);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
