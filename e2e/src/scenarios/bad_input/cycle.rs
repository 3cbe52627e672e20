//! One change that the API server takes, carried out: the operator has to come to rest and say how it stands, nothing may
//! come to harm, and once the change is taken back everything has to be as it was before.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::mutation::Mutation;
use super::snapshot::Snapshot;
use crate::api::{Api, JSON_PATCH, Reply};
use crate::audit::Mark;
use crate::demo::SYSTEM;
use crate::demo::service::current_condition;
use crate::scenarios::kit::{CHANGE, Kit};
use crate::wait::{Seen, wait};

/// Without a write for so long the operator is at rest: it waits for somebody.
const QUIET: Duration = Duration::from_secs(5);
/// Writes for a change and for taking it back, two rollouts of two replicas at most. A loop makes more in seconds.
const WRITES: usize = 150;
/// Of them those that the API server refuses for what is in them: each is tried again seldom.
const REFUSED: usize = 12;
/// The operator's pods.
const OPERATOR: &str = "app.kubernetes.io/name=accord";

/// The service that all of it is done to.
pub(super) struct Subject<'a> {
    pub(super) kit: &'a Kit<'a>,
    pub(super) api: Api,
    pub(super) before: Snapshot,
    /// The spec as it should be.
    pub(super) spec: Value,
}

/// How the operator stood with a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
    /// It was carried out.
    AsDeclared,
    /// It wasn't, for this reason.
    Said { reason: String, message: String },
}

impl Rest {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::AsDeclared => "as declared",
            Self::Said { reason, .. } => reason,
        }
    }
}

impl std::fmt::Display for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsDeclared => f.write_str("carried out"),
            Self::Said { reason, message } => write!(f, "{reason}: {message}"),
        }
    }
}

impl Subject<'_> {
    pub(super) fn path(&self) -> String {
        format!(
            "/apis/accord.dev/v1alpha1/namespaces/{}/authservices/{}",
            self.kit.namespace, self.kit.service.name
        )
    }

    /// Replaces the spec; with `query` as in `?dryRun=All`.
    pub(super) fn declare(&self, spec: &Value, query: &str) -> Result<Reply> {
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        self.api
            .patch(&format!("{}{query}", self.path()), JSON_PATCH, &patch)
    }

    /// As `kubectl replace` does: only who asks for it is told of a field that doesn't exist. Nothing is stored.
    pub(super) fn replace_strictly(&self, spec: &Value) -> Result<Reply> {
        let mut object = self.api.get(&self.path())?;
        object["spec"] = spec.clone();
        let path = format!("{}?dryRun=All&fieldValidation=Strict", self.path());
        self.api
            .send("PUT", &path, "application/json", object.to_string().into_bytes())
    }

    /// Carries out a change and takes it back.
    pub(super) fn carry_out(&self, mutation: &Mutation) -> Result<Rest> {
        let mark = self.kit.cluster.is_embedded().then(Mark::now).transpose()?;
        let (begun, lives) = (Instant::now(), self.lives()?);
        let changed = self
            .declare(&mutation.spec, "")?
            .object("a change that the API server would have taken")?;
        let rest = self.rest(&changed);
        let back = self.declare(&self.spec, "")?.object("taking it back")?;
        let rest = rest?;
        self.as_before(&back)?;
        ensure!(self.lives()? == lives, "the operator was started anew");
        let broken = self.broken_off(begun)?;
        ensure!(broken.is_empty(), "a pass of the operator broke off: {broken}");
        if let Some(mark) = mark {
            let writes = self.kit.writes(&mark)?;
            let refused = writes
                .iter()
                .filter(|w| matches!(w.code, 400 | 403 | 422))
                .count();
            ensure!(
                writes.len() <= WRITES && refused <= REFUSED,
                "{} writes, of which {refused} were refused: a loop",
                writes.len()
            );
        }
        Ok(rest)
    }

    /// Waits until the operator has looked at a generation and does nothing more about it.
    fn rest(&self, changed: &Value) -> Result<Rest> {
        let generation = &changed["metadata"]["generation"];
        let (mut last, mut since) = (String::new(), Instant::now());
        let what = "the operator to come to rest";
        wait(self.kit.cluster, self.kit.namespace, what, CHANGE, || {
            let object = self.api.get(&self.path())?;
            // Who isn't embedded shows no log: there rest is a status that stays.
            let now = format!("{}", object["metadata"]["resourceVersion"]);
            if now != last || !self.jobs_rest()? {
                (last, since) = (now, Instant::now());
            }
            if &object["status"]["observedGeneration"] != generation {
                return Ok(Seen::NotYet("it hasn't looked".to_owned()));
            }
            let Some(ready) = current_condition(&object, "Ready") else {
                bail!("there is no condition Ready")
            };
            if ready["status"] == "True" {
                return Ok(Seen::Done(Rest::AsDeclared));
            }
            let word = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
            let stalled = current_condition(&object, "Stalled").is_some_and(|c| c["status"] == "True");
            if !stalled && since.elapsed() < QUIET {
                return Ok(Seen::NotYet(word("reason")));
            }
            ensure!(!word("message").is_empty(), "{} without a word", word("reason"));
            Ok(Seen::Done(Rest::Said {
                reason: word("reason"),
                message: word("message"),
            }))
        })
    }

    /// True while no Job is at work that could still come to an end: the operator waits for it, and that is no rest.
    fn jobs_rest(&self) -> Result<bool> {
        let namespace = self.kit.namespace;
        let pods = self.api.get(&format!("/api/v1/namespaces/{namespace}/pods"))?;
        let runs = |pod: &Value| {
            let of_job = pod["metadata"]["labels"]["job-name"].is_string();
            let statuses = ["initContainerStatuses", "containerStatuses"];
            let stuck = statuses.iter().any(|list| {
                let all = pod["status"][list].as_array();
                all.into_iter().flatten().any(|c| {
                    let why = c["state"]["waiting"]["reason"].as_str();
                    why.is_some_and(|w| !matches!(w, "PodInitializing" | "ContainerCreating"))
                })
            });
            of_job && !stuck && matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Running"))
        };
        Ok(!pods["items"].as_array().into_iter().flatten().any(runs))
    }

    /// Waits until everything is as it was.
    pub(super) fn as_before(&self, back: &Value) -> Result<()> {
        let generation = &back["metadata"]["generation"];
        let what = "everything to be as it was";
        wait(self.kit.cluster, self.kit.namespace, what, CHANGE, || {
            let object = self.api.get(&self.path())?;
            if &object["status"]["observedGeneration"] != generation {
                return Ok(Seen::NotYet("the operator hasn't looked".to_owned()));
            }
            let different = self.before.differences(&Snapshot::take(self.kit, &self.api)?);
            Ok(if different.is_empty() {
                Seen::Done(())
            } else {
                Seen::NotYet(different.join("; "))
            })
        })
        .context("after the change was taken back")
    }

    /// Which pods the operator has, and how often each was started.
    fn lives(&self) -> Result<Vec<String>> {
        let pods = self.kit.cluster.list("pods", SYSTEM, OPERATOR)?;
        Ok(pods
            .iter()
            .map(|pod| {
                let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
                format!("{} {restarts}", pod["metadata"]["uid"])
            })
            .collect())
    }

    /// What the operator says of passes over this service that broke off.
    fn broken_off(&self, since: Instant) -> Result<String> {
        let since = format!("--since={}s", since.elapsed().as_secs() + 1);
        let log = self
            .kit
            .cluster
            .kubectl(&["logs", "-n", SYSTEM, "-l", OPERATOR, "--tail=-1", &since])?;
        let broken = |line: &&str| line.contains("defect of Accord") && line.contains(self.kit.namespace);
        Ok(log.lines().filter(broken).take(2).collect::<Vec<_>>().join("; "))
    }
}
