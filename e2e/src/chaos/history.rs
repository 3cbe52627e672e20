//! One service gone through all steps of its life. After each it has to come to rest, whatever goes wrong between the
//! operator and the API server.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Lab;
use super::api::Api;
use super::canonical;
use super::control::Control;
use super::logins::{Counts, Logins};
use super::node::{Node, Setting as NodeSetting};
use super::operator::{Operator, Setting as OperatorSetting};
use super::outcome::{Outcome, Rest};
use super::plan::Plan;
use super::pod::is_true;
use super::proxy::{Proxy, Seen};
use super::random::seed_of;
use super::request::Verb;
use super::steps::{self, CHANGES, DELETE, FIRST, NAME, Step, image};
use super::traffic::Traffic;
use super::until::until;
use super::visit;
use super::watch_faults::BLIND;
use super::{clock, judge};
use crate::exec::last_lines;
use crate::paths;

/// How long one step may take. Without faults it takes seconds.
const STEP: Duration = Duration::from_mins(6);
/// How long nothing may happen before a service counts as at rest. Its passes come within a second of each other.
const CALM: Duration = Duration::from_millis(1500);
/// What stands still and is otherwise than it is to be has so long to be mended: an operator that is told nothing knows of
/// nothing to mend, and after `BLIND` it is told everything.
const TOLD_AGAIN: Duration = BLIND.saturating_mul(2);

struct Run<'l> {
    api: Api,
    lab: &'l Lab,
    namespace: String,
    users: String,
    plan: &'l Plan,
    /// How it is after each step without faults; empty in the life that shows it.
    wanted: &'l [Rest],
    proxy: Proxy,
    operators: Vec<Arc<Operator>>,
    traffic: Traffic,
    logins: Logins,
    _node: Node,
}

/// What only a whole run shows.
struct Whole {
    rests: Vec<Rest>,
    ledger: Vec<String>,
    commands: usize,
    unserved: Duration,
    logins: Counts,
}

/// Goes through the whole history under a plan; `wanted` is how it is after each step without faults. The error of a failed
/// run holds the end of the operator's log.
pub(super) fn go_through(lab: &Lab, namespace: &str, plan: &Plan, wanted: &[Rest]) -> Result<Outcome> {
    let begun = Instant::now();
    let dir = paths::ensure(&Lab::runs().join(namespace))?;
    let run = Run::begin(lab, namespace, &dir, plan, wanted)?;
    let whole = run.all().with_context(|| run.report());
    let logs: Vec<PathBuf> = run.operators.iter().map(|o| o.log()).collect();
    for operator in &run.operators {
        operator.stop();
    }
    let outcome = whole.map(|whole| Outcome {
        rests: whole.rests,
        ledger: whole.ledger,
        commands: whole.commands,
        unserved: whole.unserved,
        logins: whole.logins,
        kills: run.kills(),
        deaths: run.operators.iter().map(|o| o.deaths()).sum(),
        seen: run.proxy.seen(),
        told: run.proxy.told(),
        came: run.proxy.came(),
        took: begun.elapsed(),
    });
    drop(run);
    let cleaned = lab
        .api
        .delete(&format!("/api/v1/namespaces/{namespace}"), &json!({}))
        .and_then(|_| lab.postgres.take_back(namespace));
    if outcome.is_err() {
        // Kept beside the plan; the directory goes with the control plane.
        for (number, log) in logs.iter().enumerate() {
            let _ = std::fs::copy(log, lab.kept.join(format!("{}-{number}.log", plan.name)));
        }
    }
    let outcome = outcome?;
    cleaned?;
    std::fs::remove_dir_all(dir)?;
    Ok(outcome)
}

impl<'l> Run<'l> {
    fn begin(lab: &'l Lab, namespace: &str, dir: &Path, plan: &'l Plan, wanted: &'l [Rest]) -> Result<Self> {
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
        let user = format!("{} {}\n", visit::USER, visit::PASSWORD);
        paths::write(&dir.join("users"), user)?;
        let traffic = Traffic::default();
        let node = Node::start(NodeSetting {
            api,
            namespace: namespace.to_owned(),
            dir: dir.to_owned(),
            runner: lab.runner.clone(),
            traffic: traffic.clone(),
        });
        let proxy = Proxy::start(Control::address(), plan.clone(), lab.control.restarter())?;
        let mut operators = Vec::new();
        for (number, (copy, address)) in plan.copies().into_iter().zip(proxy.addresses()).enumerate() {
            let setting = OperatorSetting {
                program: lab.operator.clone(),
                state: Lab::state().to_owned(),
                namespace: namespace.to_owned(),
                dir: dir.to_owned(),
                number,
                copy,
            };
            operators.push(Operator::start(setting, &format!("http://{address}"))?);
        }
        proxy.knows(&operators);
        Ok(Self {
            api,
            lab,
            namespace: namespace.to_owned(),
            users: dir.join("users").display().to_string(),
            plan,
            wanted,
            proxy,
            operators,
            logins: Logins::start(traffic.clone(), seed_of(&plan.name)),
            traffic,
            _node: node,
        })
    }

    fn all(&self) -> Result<Whole> {
        // What is asked in a step isn't to hang on how fast the operator started.
        until("the operator", STEP, || {
            let watches = |s: &Seen| s.asked.verb == Verb::Watch && s.asked.resource == "authservices";
            let watched = self.proxy.seen().iter().any(watches);
            Ok(if watched {
                Ok(())
            } else {
                Err("it watches nothing".to_owned())
            })
        })?;
        let mut rests = Vec::new();
        self.proxy.begin(FIRST.name);
        self.api.create(&self.services(), &steps::declaration())?;
        rests.push(self.rest(&FIRST)?);
        clock::check(self.api, &self.namespace, &self.plan.copies())?;
        for step in CHANGES {
            self.proxy.begin(step.name);
            self.change(&step.change())?;
            rests.push(self.rest(&step)?);
        }
        let ledger = self.ledger()?;
        let commands = std::fs::read_to_string(format!("{}.runs", self.users)).unwrap_or_default();
        let logins = self.logins.end();
        let unserved = self.traffic.end();
        self.proxy.begin(DELETE);
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
        Ok(Whole {
            rests,
            ledger,
            commands: commands.lines().count(),
            unserved,
            logins,
        })
    }

    /// How often the operator was killed: at the end of a life a kill may just be going on.
    fn kills(&self) -> u32 {
        let kills = || self.operators.iter().map(|o| o.kills()).sum();
        let _ = until("the last kill", CALM, || {
            let came = self.plan.faults.iter().zip(self.proxy.came());
            let ordered: u32 = came.filter(|(f, _)| f.action.kills()).map(|(_, n)| n).sum();
            Ok(if kills() == ordered {
                Ok(())
            } else {
                Err(String::new())
            })
        });
        kills()
    }

    fn services(&self) -> String {
        format!(
            "/apis/accord.dev/v1alpha1/namespaces/{}/authservices",
            self.namespace
        )
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    fn service(&self) -> Result<Value> {
        self.api.get(&format!("{}/{NAME}", self.services()))
    }

    fn change(&self, patch: &Value) -> Result<()> {
        self.api
            .merge(&format!("{}/{NAME}", self.services()), patch)
            .map(drop)
    }

    /// Waits until the service is as declared, or held as it is to be, and nothing is on its way.
    fn rest(&self, step: &Step) -> Result<Rest> {
        let pods = format!("{}?labelSelector=accord.dev/role%3Dserver", self.pods());
        // The status comes before the last writes (the revision's record, say), and who is at rest writes nothing. Nor does
        // an operator that is misled: what stands still has to be what is to be.
        let mut last = ((Value::Null, Vec::new()), 0);
        let mut still = Instant::now();
        until(step.name, STEP, || {
            if let Some(why) = self.unsettled(step, &pods)? {
                return Ok(Err(why));
            }
            let state = canonical::state(self.api, &self.namespace)?;
            let now = (state, judge::writes(&self.proxy.seen()));
            if now != last {
                still = Instant::now();
            } else if self.is_wanted(step, &now.0.0) || still.elapsed() > TOLD_AGAIN {
                return Ok(Ok(()));
            }
            last = now;
            std::thread::sleep(CALM);
            Ok(Err("it still changes, or is written to".to_owned()))
        })?;
        let ((state, secrets), _) = last;
        Ok(Rest {
            step: step.name,
            state,
            secrets,
        })
    }

    /// True when everything is as it is without faults.
    fn is_wanted(&self, step: &Step, state: &Value) -> bool {
        let mut of_step = self.wanted.iter().filter(|rest| rest.step == step.name);
        self.wanted.is_empty() || of_step.any(|rest| rest.state == *state)
    }

    /// Why the service, or one of its pods, isn't yet as it is to be after a step.
    fn unsettled(&self, step: &Step, pods: &str) -> Result<Option<String>> {
        if let Some(why) = step.unsettled(&self.service()?) {
            return Ok(Some(why));
        }
        let pods = self.api.list(pods)?;
        let there = pods.iter().all(|p| {
            p["metadata"]["deletionTimestamp"].is_null()
                && p["spec"]["containers"][0]["image"] == image(step.image)
                && is_true(p, "Ready")
        });
        let as_wanted = there && pods.len() == step.replicas;
        Ok((!as_wanted).then(|| format!("{} pods, ready and of the image: {there}", pods.len())))
    }

    fn gone(&self) -> Result<Rest> {
        until(DELETE, STEP, || {
            let (state, _) = canonical::state(self.api, &self.namespace)?;
            let left = state.as_object().map_or(0, serde_json::Map::len);
            // The node has to be there for as long as they are.
            let pods = self.api.list(&self.pods())?.len();
            Ok(if left + pods == 0 {
                Ok(())
            } else {
                let names = canonical::names(&state);
                Err(format!("{left} objects and {pods} pods are left: {names}"))
            })
        })?;
        Ok(Rest {
            step: DELETE,
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
        let logs = self.operators.iter().map(|operator| {
            let log = std::fs::read_to_string(operator.log()).unwrap_or_default();
            last_lines(&log, 15)
        });
        let seen = self.proxy.seen();
        let writes = seen.iter().filter(|s| judge::is_write(s)).map(|s| {
            let fault = if s.fault.is_some() { " ⚡" } else { "" };
            format!("{} {} → {}{fault}", s.step, s.asked, s.code)
        });
        let writes: Vec<String> = writes.collect();
        format!(
            "status: {}\nThe last writes:\n{}\nThe end of the operator's log:\n{}",
            service["status"],
            writes[writes.len().saturating_sub(12)..].join("\n"),
            logs.collect::<Vec<_>>().join("\n— and of the other's:\n")
        )
    }
}
