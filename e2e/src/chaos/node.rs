//! The node, played: it binds pods to itself, starts what they hold, and says in their status what a kubelet would. A
//! server is an [`App`] at an address of its own; a Job's container is a process. Readiness follows the gates.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::Api;
use super::app::{App, Sessions};
use super::container::Container;
use super::control::PLACE;
use super::follow::{Change, follow};
use super::job::{self, Ended, Process};
use super::pod::{conditions, drain, gates_are_open, is_true, uid_of};
use super::steps::NAME;
use super::traffic::Traffic;

const NODE: &str = "played";
/// When a pod that couldn't be started is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// The node of one namespace. Dropping it ends what it runs.
#[derive(Debug)]
pub(crate) struct Node {
    over: Arc<AtomicBool>,
}

/// Where a node finds what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) api: Api,
    pub(crate) namespace: String,
    /// The run's directory.
    pub(crate) dir: PathBuf,
    /// The program `accord-runner`.
    pub(crate) runner: PathBuf,
    /// Is told which pods are ready.
    pub(crate) traffic: Traffic,
}

enum News {
    Pod(Value),
    Gone(String),
    Ended(String, Ended),
}

#[derive(Debug)]
enum Runs {
    Server { _app: App },
    Job { _process: Process },
}

/// A pod whose container was started.
#[derive(Debug)]
struct Started {
    _runs: Runs,
    /// What is to be told of it, but for the conditions.
    status: Value,
    /// When it is told to end, once somebody wants it gone.
    ends: Option<Instant>,
}

impl Started {
    /// Its status, with the conditions that the pod's gates leave it.
    fn as_of(&self, pod: &Value) -> Value {
        let mut status = self.status.clone();
        let serves = status["containerStatuses"][0]["ready"] == true;
        status["conditions"] = conditions(serves, serves && gates_are_open(pod));
        status
    }
}

struct Player {
    setting: Setting,
    sessions: Sessions,
    pods: BTreeMap<String, Value>,
    started: BTreeMap<String, Started>,
    news: Sender<News>,
}

impl Node {
    pub(crate) fn start(setting: Setting) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = channel();
        let player = Player {
            setting: setting.clone(),
            sessions: Sessions::default(),
            pods: BTreeMap::new(),
            started: BTreeMap::new(),
            news: sender.clone(),
        };
        let ending = Arc::clone(&over);
        std::thread::spawn(move || player.play(&receiver, &ending));
        let below = |kind: &str| format!("/api/v1/namespaces/{}/{kind}", setting.namespace);
        let (api, pods, services) = (setting.api, below("pods"), below("services"));
        let ending = Arc::clone(&over);
        std::thread::spawn(move || {
            follow(api, &pods, &ending, |change| {
                let news = match change {
                    Change::Is(pod) => News::Pod(pod),
                    Change::Gone(pod) => News::Gone(uid_of(&pod)),
                };
                sender.send(news).is_ok()
            });
        });
        let (ending, traffic) = (Arc::clone(&over), setting.traffic);
        std::thread::spawn(move || {
            follow(api, &services, &ending, |change| {
                match change {
                    Change::Is(service) if service["metadata"]["name"] == NAME => {
                        traffic.service(Some(&service));
                    }
                    Change::Gone(service) if service["metadata"]["name"] == NAME => traffic.service(None),
                    _ => {}
                }
                true
            });
        });
        Self { over }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Player {
    fn play(mut self, news: &Receiver<News>, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            match news.recv_timeout(AGAIN) {
                Ok(News::Pod(pod)) => {
                    let uid = uid_of(&pod);
                    self.setting.traffic.pod(&pod);
                    self.pods.insert(uid.clone(), pod);
                    self.look_at(&uid);
                }
                Ok(News::Gone(uid)) => {
                    self.setting.traffic.gone(&uid);
                    self.pods.remove(&uid);
                    self.started.remove(&uid);
                }
                Ok(News::Ended(uid, ended)) => self.ended(&uid, &ended),
                Err(RecvTimeoutError::Timeout) => {
                    let waits = |uid: &&String| self.started.get(*uid).is_none_or(|s| s.ends.is_some());
                    let waiting: Vec<String> = self.pods.keys().filter(waits).cloned().collect();
                    for uid in waiting {
                        self.look_at(&uid);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One step for one pod. What fails is tried again with the next news.
    fn look_at(&mut self, uid: &str) {
        let Some(pod) = self.pods.get(uid).cloned() else {
            return;
        };
        let path = self.path(&pod);
        let meta = &pod["metadata"];
        if meta["deletionTimestamp"].is_string() {
            if self.is_draining(&pod) {
                return;
            }
            self.started.remove(uid);
            let at_once = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
            let _ = self.setting.api.delete(&path, &at_once);
            // A finalizer may keep it; there is nothing left to do here.
            self.pods.remove(uid);
            return;
        }
        if pod["spec"]["nodeName"].is_null() {
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}});
            let _ = self.setting.api.create(&format!("{path}/binding"), &binding);
            return;
        }
        if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            return;
        }
        if let Some(started) = self.started.get(uid) {
            let status = started.as_of(&pod);
            let is_ready = |pod: &Value| is_true(pod, "Ready");
            // What was told may not have arrived: an API server that starts anew takes nothing for a while.
            let is_told = pod["status"]["phase"] == status["phase"];
            if !is_told || is_ready(&pod) != is_ready(&json!({"status": status})) {
                let _ = self.tell(&pod, &status);
            }
            return;
        }
        match self.begin(&pod) {
            Ok(started) => {
                let _ = self.tell(&pod, &started.as_of(&pod));
                self.started.insert(uid.to_owned(), started);
            }
            Err(error) => {
                let name = pod["spec"]["containers"][0]["name"].clone();
                let waiting =
                    json!({"reason": "CreateContainerConfigError", "message": format!("{error:#}")});
                let status = json!({"phase": "Pending", "containerStatuses": [{"name": name, "image": "", "imageID": "",
                    "ready": false, "restartCount": 0, "state": {"waiting": waiting}}]});
                if pod["status"]["containerStatuses"][0]["state"]["waiting"] != waiting {
                    let _ = self.tell(&pod, &status);
                }
            }
        }
    }

    /// Starts a pod's container.
    fn begin(&self, pod: &Value) -> anyhow::Result<Started> {
        let Setting { api, dir, runner, .. } = &self.setting;
        let uid = uid_of(pod);
        let ip = next_address();
        let container = Container::of(*api, pod, &ip.to_string(), &job::dir(dir, &uid), runner)?;
        let image = &pod["spec"]["containers"][0]["image"];
        let is_server = pod["metadata"]["labels"]["accord.dev/role"] == "server";
        let runs = if is_server {
            let of = |name: &str| container.env.get(name).cloned().unwrap_or_default();
            let app = App::serve(
                ip,
                Arc::clone(&self.sessions),
                of("USERS").into(),
                of("SECRET_KEY"),
            )?;
            Runs::Server { _app: app }
        } else {
            let (news, pod) = (self.news.clone(), uid.clone());
            let state = std::path::Path::new(PLACE.state);
            let process = Process::start(&container, state, move |ended| {
                // Nobody listens any more when the run is over.
                let _ = news.send(News::Ended(pod, ended));
            })?;
            Runs::Job { _process: process }
        };
        let status = json!({
            "phase": "Running", "podIP": ip.to_string(), "podIPs": [{"ip": ip.to_string()}], "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "containerStatuses": [{"name": container.name, "image": image, "imageID": format!("played@{image}"),
                "containerID": format!("played://{uid}/0"), "started": true, "ready": is_server, "restartCount": 0,
                "state": {"running": {}}}],
        });
        Ok(Started {
            _runs: runs,
            status,
            ends: None,
        })
    }

    /// True while a pod that is to go still does what it did: until its hook has ended.
    fn is_draining(&mut self, pod: &Value) -> bool {
        let Some(started) = self.started.get_mut(&uid_of(pod)) else {
            return false;
        };
        let now = Instant::now();
        let ends = *started.ends.get_or_insert_with(|| now + drain(pod));
        now < ends
    }

    fn ended(&mut self, uid: &str, ended: &Ended) {
        let (Some(pod), Some(started)) = (self.pods.get(uid), self.started.get_mut(uid)) else {
            return;
        };
        let status = &mut started.status;
        status["phase"] = if ended.code == 0 { "Succeeded" } else { "Failed" }.into();
        let container = &mut status["containerStatuses"][0];
        container["ready"] = false.into();
        container["started"] = false.into();
        container["state"] = json!({"terminated": {"exitCode": ended.code, "message": ended.message,
            "reason": if ended.code == 0 { "Completed" } else { "Error" }, "containerID": container["containerID"]}});
        let status = started.as_of(pod);
        let mut tries = 0;
        while self.tell(pod, &status).is_err() && tries < 10 {
            tries += 1;
            std::thread::sleep(AGAIN);
        }
    }

    fn tell(&self, pod: &Value, status: &Value) -> anyhow::Result<()> {
        let path = format!("{}/status", self.path(pod));
        let body = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": status});
        self.setting.api.merge_strategically(&path, &body).map(drop)
    }

    fn path(&self, pod: &Value) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        format!("/api/v1/namespaces/{}/pods/{name}", self.setting.namespace)
    }
}

/// An address of loopback that no other pod of this process had.
fn next_address() -> IpAddr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let n = LAST.fetch_add(1, Ordering::Relaxed);
    IpAddr::V4(Ipv4Addr::from(0x7f64_0001 + n))
}
