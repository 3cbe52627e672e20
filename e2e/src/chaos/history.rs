//! What a user does to one service, in order: declares it, scales it, gives it another image, deletes it with its data.
//! After each step the service has to come to rest, whatever goes wrong between the operator and the API server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Lab;
use super::api::Api;
use super::canonical;
use super::node::{Node, Setting as NodeSetting};
use super::operator::{Operator, Setting as OperatorSetting};
use super::plan::Plan;
use super::proxy::{Proxy, Seen};
use super::until::until;
use crate::exec::last_lines;
use crate::paths;

/// The service's name.
pub(super) const NAME: &str = "login";
/// How long one step may take. Without faults it takes seconds.
const STEP: Duration = Duration::from_mins(6);

/// How long nothing may happen before a service counts as at rest. Its passes come within a second of each other.
const CALM: Duration = Duration::from_millis(1500);

/// A step, and what the service was like after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) step: &'static str,
    /// Every object of the service's, without what differs from run to run.
    pub(super) state: Value,
    /// The secrets: who they are and what they hold, as digests.
    pub(super) secrets: Vec<canonical::Secret>,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) rests: Vec<Rest>,
    /// The ledger's rows, one a line.
    pub(super) ledger: Vec<String>,
    /// How often a recorded command was run.
    pub(super) commands: usize,
    pub(super) seen: Vec<Seen>,
    /// Faults that happened.
    pub(super) happened: u32,
    /// How often the operator was killed, and ended by itself.
    pub(super) kills: u32,
    pub(super) deaths: u32,
    pub(super) took: Duration,
}

struct Run<'l> {
    api: Api,
    lab: &'l Lab,
    namespace: String,
    users: String,
    proxy: Proxy,
    operator: Arc<Operator>,
    _node: Node,
}

/// Goes through the whole history under a plan. The error of a failed run holds the end of the operator's log.
pub(super) fn go_through(lab: &Lab, namespace: &str, plan: &Plan) -> Result<Outcome> {
    let begun = Instant::now();
    let dir = paths::ensure(&Lab::runs().join(namespace))?;
    let run = Run::begin(lab, namespace, &dir, plan)?;
    let outcome = run.all().map(|(rests, ledger, commands)| Outcome {
        rests,
        ledger,
        commands,
        seen: run.proxy.seen(),
        happened: run.proxy.happened(),
        kills: run.operator.kills(),
        deaths: run.operator.deaths(),
        took: begun.elapsed(),
    });
    let outcome = outcome.with_context(|| run.report());
    run.operator.stop();
    let log = run.operator.log();
    drop(run);
    let cleaned = lab
        .api
        .delete(&format!("/api/v1/namespaces/{namespace}"), &json!({}))
        .and_then(|_| lab.postgres.take_back(namespace));
    if outcome.is_err() {
        // Kept beside the plan; the directory goes with the control plane.
        let _ = std::fs::copy(&log, lab.kept.join(format!("{}.log", plan.name)));
    }
    let outcome = outcome?;
    cleaned?;
    std::fs::remove_dir_all(dir)?;
    Ok(outcome)
}

impl<'l> Run<'l> {
    fn begin(lab: &'l Lab, namespace: &str, dir: &Path, plan: &Plan) -> Result<Self> {
        let api = lab.api;
        let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        api.create("/api/v1/namespaces", &made)?;
        let uri = lab.postgres.lend(namespace)?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "my-database"},
            "stringData": {"uri": uri, "users": dir.join("users").display().to_string()}});
        api.create(&format!("/api/v1/namespaces/{namespace}/secrets"), &secret)?;
        // Without a default account no pod is admitted.
        until("the default service account", STEP, || {
            let found = api.find(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/default"))?;
            Ok(found.map_or_else(|| Err("none".to_owned()), |_| Ok(())))
        })?;
        let node = Node::start(NodeSetting {
            api,
            namespace: namespace.to_owned(),
            dir: dir.to_owned(),
            runner: lab.runner.clone(),
        });
        let proxy = Proxy::start(super::control::Control::address(), plan.clone())?;
        let setting = OperatorSetting {
            program: lab.operator.clone(),
            state: Lab::state().to_owned(),
            namespace: namespace.to_owned(),
            dir: dir.to_owned(),
        };
        let operator = Operator::start(setting, &format!("http://{}", proxy.address()))?;
        proxy.kills(Arc::clone(&operator));
        Ok(Self {
            api,
            lab,
            namespace: namespace.to_owned(),
            users: dir.join("users").display().to_string(),
            proxy,
            operator,
            _node: node,
        })
    }

    fn all(&self) -> Result<(Vec<Rest>, Vec<String>, usize)> {
        let mut rests = Vec::new();
        self.api.create(&self.services(), &Self::declaration())?;
        rests.push(self.rest("create", 2, 1)?);
        self.change(&json!({"spec": {"replicas": 3}}))?;
        rests.push(self.rest("scale", 3, 1)?);
        self.change(&json!({"spec": {"image": image(2)}}))?;
        rests.push(self.rest("image", 3, 2)?);
        let ledger = self.ledger()?;
        let commands = std::fs::read_to_string(format!("{}.runs", self.users)).unwrap_or_default();
        self.change(&json!({"spec": {"deletionPolicy": "Delete"}}))?;
        // A declared policy is only as good as the finalizer that carries it out.
        until("the finalizer", STEP, || {
            let service = self.service()?;
            Ok(if service["metadata"]["finalizers"].is_array() {
                Ok(())
            } else {
                Err("none".to_owned())
            })
        })?;
        self.api
            .delete(&format!("{}/{NAME}", self.services()), &json!({}))?;
        rests.push(self.gone()?);
        Ok((rests, ledger, commands.lines().count()))
    }

    fn declaration() -> Value {
        // By reference: a path in the text would make another revision of each run.
        let users =
            json!({"name": "USERS", "valueFrom": {"secretKeyRef": {"name": "my-database", "key": "users"}}});
        let noted = |word: &str| json!(["/bin/sh", "-c", format!("echo {word} >> \"$USERS.runs\"")]);
        let canary = r#"printf '%s %s\n' "$ACCORD_CANARY_USERNAME" "$ACCORD_CANARY_PASSWORD" >> "$USERS""#;
        json!({
            "apiVersion": "accord.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": NAME},
            "spec": {
                "framework": "Custom", "image": image(1), "hostnames": ["login.example.com"], "replicas": 2,
                "database": {"external": {"secretRef": {"name": "my-database"}}},
                "server": {"port": super::app::PORT, "env": [users]},
                "bindings": [
                    {"env": "DATABASE_URL", "source": "database.uri"},
                    {"env": "SECRET_KEY", "source": "keys.active"},
                ],
                "migration": {"command": noted("migration")},
                "seeds": [{"name": "users", "command": noted("seed")}],
                "preflight": {"mode": "Skip"},
                "verification": {
                    "canary": {"command": ["/bin/sh", "-c", canary]},
                    "recipe": {
                        "login": {"path": "/login", "sessionCookie": "sid"},
                        "check": {"path": "/me", "username": "/username"},
                        "logout": {"path": "/logout"},
                    },
                },
            },
        })
    }

    fn services(&self) -> String {
        format!(
            "/apis/accord.dev/v1alpha1/namespaces/{}/authservices",
            self.namespace
        )
    }

    fn service(&self) -> Result<Value> {
        self.api.get(&format!("{}/{NAME}", self.services()))
    }

    fn change(&self, patch: &Value) -> Result<()> {
        self.api
            .merge(&format!("{}/{NAME}", self.services()), patch)
            .map(drop)
    }

    /// Waits until the service is ready as declared and nothing is on its way.
    fn rest(&self, step: &'static str, replicas: usize, version: u32) -> Result<Rest> {
        let pods = format!(
            "/api/v1/namespaces/{}/pods?labelSelector=accord.dev/role%3Dserver",
            self.namespace
        );
        until(step, STEP, || {
            let service = self.service()?;
            if let Some(why) = canonical::unsettled(&service, replicas) {
                return Ok(Err(why));
            }
            let pods = self.api.list(&pods)?;
            let there = pods.iter().all(|p| {
                p["metadata"]["deletionTimestamp"].is_null()
                    && p["spec"]["containers"][0]["image"] == image(version)
                    && super::node::is_true(p, "Ready")
            });
            Ok(if there && pods.len() == replicas {
                Ok(())
            } else {
                Err(format!("{} pods, ready and of the image: {there}", pods.len()))
            })
        })?;
        // The status comes before the last writes (the revision's record, say), and who is at rest writes nothing.
        let mut last = (Value::Null, 0);
        until(step, STEP, || {
            let (state, _) = canonical::state(self.api, &self.namespace)?;
            let now = (state, super::judge::writes(&self.proxy.seen()));
            let same = now == last;
            last = now;
            if same {
                return Ok(Ok(()));
            }
            std::thread::sleep(CALM);
            Ok(Err("it still changes, or is written to".to_owned()))
        })?;
        let (state, secrets) = canonical::state(self.api, &self.namespace)?;
        Ok(Rest { step, state, secrets })
    }

    fn gone(&self) -> Result<Rest> {
        until("delete", STEP, || {
            let (state, _) = canonical::state(self.api, &self.namespace)?;
            let left = state.as_object().map_or(0, serde_json::Map::len);
            Ok(if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} objects are left: {}", canonical::names(&state)))
            })
        })?;
        Ok(Rest {
            step: "delete",
            state: json!({}),
            secrets: Vec::new(),
        })
    }

    fn ledger(&self) -> Result<Vec<String>> {
        let rows = self.lab.postgres.sql(
            &self.namespace,
            "SELECT kind, name, revision, state FROM accord.ledger ORDER BY 1, 2, 3",
        )?;
        ensure!(!rows.is_empty(), "the ledger is empty");
        Ok(rows.lines().map(str::to_owned).collect())
    }

    fn report(&self) -> String {
        let service = self.service().unwrap_or_default();
        let log = std::fs::read_to_string(self.operator.log()).unwrap_or_default();
        let seen = self.proxy.seen();
        let writes: Vec<String> = seen
            .iter()
            .filter(|s| s.asked.is_write() && s.asked.resource != "leases" && s.asked.resource != "events")
            .map(|s| {
                format!(
                    "{} → {}{}",
                    s.asked,
                    s.code,
                    if s.fault.is_some() { " ⚡" } else { "" }
                )
            })
            .collect();
        format!(
            "status: {}\nThe last writes:\n{}\nThe end of the operator's log:\n{}",
            service["status"],
            writes[writes.len().saturating_sub(12)..].join("\n"),
            last_lines(&log, 15)
        )
    }
}

fn image(version: u32) -> String {
    format!("registry.invalid/login:{version}")
}
