//! The four ways of one incident, in a namespace of its own that is left empty.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::load::{self, Tally};
use super::report::{Found, Row};
use super::visit::User;
use super::{Incident, Kind, Outcome, plain};
use crate::cluster::Cluster;
use crate::demo::orders::demo_users;
use crate::demo::service::{Service, current_condition};
use crate::http::PodHttp;
use crate::images::Image;
use crate::wait::{Seen, wait};
use crate::{paths, progress};

/// How long a service may take from nothing to what is waited for.
const COME_UP: Duration = Duration::from_mins(5);
/// How long one change may take.
const CHANGE: Duration = Duration::from_mins(4);

/// Runs an incident.
pub(super) fn run(cluster: &Cluster, incident: &Incident) -> Result<Row> {
    on(cluster, incident, four_ways)
}

/// Runs `story` in an empty namespace, and leaves nothing, also when it fails; then the error holds what was to be seen.
/// `ACCORD_KEEP=1` leaves what failed for a look.
pub(super) fn on<T>(
    cluster: &Cluster,
    incident: &Incident,
    story: impl FnOnce(&Stage<'_>) -> Result<T>,
) -> Result<T> {
    let namespace = format!("incident-{}", incident.name);
    cluster.delete_namespace(&namespace)?;
    cluster.namespace(&namespace)?;
    let stage = Stage {
        cluster,
        incident,
        service: Service::new(cluster, &namespace, incident.app.service),
        namespace,
    };
    let told = story(&stage).with_context(|| stage.seen());
    let keep = std::env::var_os("ACCORD_KEEP").is_some_and(|v| !v.is_empty());
    if told.is_ok() || !keep {
        cluster.delete_namespace(&stage.namespace)?;
    }
    told
}

/// What the spec holds besides: the recipe, where the preset's isn't enough.
fn besides(recipe: Option<&str>) -> String {
    recipe.map_or_else(String::new, |yaml| {
        let indented = yaml.trim_end().replace('\n', "\n      ");
        format!("  verification:\n    recipe:\n      {indented}\n")
    })
}

/// Declared first, mended, without Accord, and as an update.
fn four_ways(stage: &Stage<'_>) -> Result<Row> {
    let password = stage.declare(&besides(stage.incident.recipe))?;
    let user = stage.user(&password);
    let first = stage.first(&user)?;
    progress::say(&format!("   first declaration: {}", first.sentence()));
    let mended = stage.mended(&user)?;
    progress::say(&format!(
        "   mended: {} of {} users served right, from each replica to each",
        mended.right,
        mended.all()
    ));
    let plain = plain::run(stage.cluster, &stage.namespace, stage.incident, &user)?;
    progress::say(&format!(
        "   plain Deployment: {} of 3 ready to kubelet, {} of {} users served right, {} logins worked",
        plain.ready,
        plain.tally.right,
        plain.tally.all(),
        plain.tally.logins()
    ));
    let update = stage.update(&user)?;
    progress::say(&format!("   as an update: {}", update.sentence()));
    Ok(Row {
        name: stage.incident.name,
        reasons: stage.incident.reasons,
        plain,
        first,
        update,
        mended,
    })
}

/// One incident in a namespace of its own.
pub(super) struct Stage<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) incident: &'a Incident,
    pub(super) service: Service<'a>,
    pub(super) namespace: String,
}

impl Stage<'_> {
    /// Who visits.
    pub(super) fn user<'p>(&self, password: &'p str) -> User<'p> {
        User {
            app: self.incident.app,
            password,
            sessions_end: self.incident.sessions_end,
            turn: (self.incident.visit == Kind::Password).then(Mutex::default),
        }
    }

    /// Declares the application with its fault, and what else the spec is to hold. Returns the demo users' password.
    pub(super) fn declare(&self, besides: &str) -> Result<String> {
        let app = self.incident.app;
        let image = Image::example(app.example);
        let loaded = self
            .cluster
            .load(&image)?
            .context("an example's image is always built")?;
        demo_users(self.cluster, &self.namespace, app.users)?;
        let file = paths::checkout()
            .join("examples")
            .join(app.example)
            .join("authservice.yaml");
        let mut yaml = paths::read(&file)?.replace(&image.reference(), &loaded.reference);
        if let Some(stores) = self.incident.stores {
            yaml = stores(self.cluster, &self.namespace, &yaml)?;
        }
        ensure!(
            !yaml.contains("\n  server:"),
            "{}: the incidents add spec.server, and it has one already",
            file.display()
        );
        let fault = json!([{"name": app.fault, "value": self.incident.fault}]);
        self.cluster.apply_in(
            &self.namespace,
            // Preflight would refuse most faults before a pod starts: the incidents show what the pods' exchange finds.
            &format!(
                "{}\n  preflight: {{mode: Skip}}\n  server: {{env: {fault}}}\n{besides}",
                yaml.trim_end()
            ),
        )?;
        self.cluster.secret(&self.namespace, app.users, "password")
    }

    /// The fault in what is declared first: every replica is judged, and whom the Service lets users reach serves right.
    fn first(&self, user: &User<'_>) -> Result<Found> {
        let begun = Instant::now();
        let front = wait(
            self.cluster,
            &self.namespace,
            "the Service",
            COME_UP,
            || match self
                .cluster
                .find("service", &self.namespace, self.incident.app.service)?
            {
                Some(_) => Ok(Seen::Done(self.front()?)),
                None => Ok(Seen::NotYet(self.words()?)),
            },
        )?;
        let (named, users) = load::while_users_come(user, &front, || {
            wait(
                self.cluster,
                &self.namespace,
                "every replica to be judged",
                COME_UP,
                || {
                    let object = self.service.object()?;
                    match judged(&object) {
                        Some(reasons) if !reasons.is_empty() => Ok(Seen::Done(reasons)),
                        _ => Ok(Seen::NotYet(self.words()?)),
                    }
                },
            )
        })?;
        Ok(Found {
            reasons: named,
            users,
            took: begun.elapsed(),
        })
    }

    /// The fault taken out: from each replica to each.
    fn mended(&self, user: &User<'_>) -> Result<Tally> {
        self.set_fault(None)?;
        self.service.wait_until_ready(CHANGE)?;
        self.service.wait_for_replicas(3)?;
        let ways = self.service.ways(self.port()?)?;
        let mut tally = Tally::default();
        for home in &ways {
            for there in &ways {
                tally.count(user.visit(home, there));
            }
        }
        Ok(tally)
    }

    /// The fault as an update of a release that works: it is withdrawn or held with its reason, and no user notices.
    fn update(&self, user: &User<'_>) -> Result<Found> {
        let front = self.front()?;
        let ((reasons, took), users) = load::while_users_come(user, &front, || {
            let begun = Instant::now();
            self.set_fault(Some(self.incident.fault))?;
            let what = "the update to be withdrawn or held";
            let reasons = wait(self.cluster, &self.namespace, what, CHANGE, || {
                let object = self.service.object()?;
                let reasons = match self.incident.update {
                    Outcome::Withdrawn => withdrawn(&object),
                    Outcome::Held => held(&object),
                };
                Ok(match reasons {
                    Some(reasons) => Seen::Done(reasons),
                    None => Seen::NotYet(self.words()?),
                })
            })?;
            let took = begun.elapsed();
            self.set_fault(None)?;
            self.service.wait_for_replicas(3)?;
            Ok((reasons, took))
        })?;
        Ok(Found { reasons, users, took })
    }

    /// Another fault, or none, as an update.
    pub(super) fn set_fault(&self, fault: Option<&str>) -> Result<()> {
        let app = self.incident.app;
        let env = fault.map(|value| json!([{"name": app.fault, "value": value}]));
        let patch = json!({"spec": {"server": {"env": env}}}).to_string();
        self.cluster
            .kubectl(&[
                "patch",
                "authservice",
                app.service,
                "-n",
                &self.namespace,
                "--type=merge",
                "-p",
                &patch,
            ])
            .map(drop)
    }

    /// The Service, by its own address.
    pub(super) fn front(&self) -> Result<PodHttp> {
        self.cluster.front(&self.namespace, self.incident.app.service)
    }

    /// The port that the servers listen on.
    pub(super) fn port(&self) -> Result<u16> {
        let deployment = self
            .cluster
            .get("deployment", &self.namespace, self.incident.app.service)?;
        let port = deployment
            .pointer("/spec/template/spec/containers/0/ports/0/containerPort")
            .and_then(Value::as_u64)
            .context("the server has a port")?;
        Ok(u16::try_from(port)?)
    }

    /// Waits until the `AuthService` is as `accept` wants it.
    pub(super) fn until(&self, what: &str, mut accept: impl FnMut(&Value) -> bool) -> Result<Value> {
        wait(self.cluster, &self.namespace, what, CHANGE, || {
            let object = self.service.object()?;
            Ok(if accept(&object) {
                Seen::Done(object)
            } else {
                Seen::NotYet(self.words()?)
            })
        })
    }

    /// One line about the service as it is.
    pub(super) fn words(&self) -> Result<String> {
        let object = self.service.object()?;
        let ready = current_condition(&object, "Ready");
        let text = |field: &str| ready.and_then(|c| c[field].as_str()).unwrap_or("-").to_owned();
        Ok(format!("{}: {}", text("reason"), text("message")))
    }

    /// What is to be seen, for a failure's report.
    fn seen(&self) -> String {
        let status = match self.service.object() {
            Ok(object) => object["status"].to_string(),
            Err(error) => error.to_string(),
        };
        format!("status: {status}\n{}", self.cluster.recent(&self.namespace))
    }
}

/// What is said of the replicas that don't agree, once something is said of each of the three.
fn judged(object: &Value) -> Option<Vec<String>> {
    let replicas = object["status"]["consistency"]["replicas"].as_array()?;
    let settled = replicas.len() == 3 && replicas.iter().all(|r| r["reason"] != "Pending");
    let mut reasons: Vec<String> = replicas
        .iter()
        .filter(|r| r["verdict"] != "Agrees")
        .filter_map(|r| r["reason"].as_str().map(str::to_owned))
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    settled.then_some(reasons)
}

/// Why the update was withdrawn, once it was.
fn withdrawn(object: &Value) -> Option<Vec<String>> {
    let candidate = &object["status"]["candidate"];
    let current = current_condition(object, "Ready").is_some_and(|c| c["status"] == "False");
    let message = candidate["message"].as_str().unwrap_or_default();
    (current && candidate["state"] == "Withdrawn").then(|| reason_in(message).into_iter().collect())
}

/// What is said of the update's replicas while they wait, once something is: those before them agree.
fn held(object: &Value) -> Option<Vec<String>> {
    current_condition(object, "Ready").filter(|c| c["status"] == "False")?;
    let replicas = object["status"]["consistency"]["replicas"].as_array()?;
    let mut reasons: Vec<String> = replicas
        .iter()
        .filter(|r| r["verdict"] != "Agrees" && r["reason"] != "Pending")
        .filter_map(|r| r["reason"].as_str().map(str::to_owned))
        .collect();
    reasons.dedup();
    (!reasons.is_empty()).then_some(reasons)
}

/// The reason in a candidate's message: `… Pod NAME: REASON: …`.
fn reason_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("Pod ")?;
    rest.split(": ").nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_judged_before_something_is_said_of_each() {
        let replica = |verdict: &str, reason: &str| json!({"verdict": verdict, "reason": reason});
        let object = |replicas: &[Value]| json!({"status": {"consistency": {"replicas": replicas}}});
        let bad = replica("Diverges", "LocalSession");
        let good = replica("Agrees", "Verified");
        let pending = replica("Unknown", "Pending");
        assert_eq!(judged(&object(&[bad.clone(), good.clone()])), None);
        assert_eq!(judged(&object(&[bad.clone(), good.clone(), pending])), None);
        assert_eq!(
            judged(&object(&[bad.clone(), bad, good])),
            Some(vec!["LocalSession".to_owned()])
        );
    }

    #[test]
    fn a_candidate_names_its_reason() {
        let message =
            "0 of 3 replicas agree. Pod orders-abc: LocalDatabase: orders-abc at the canary's login.";
        assert_eq!(reason_in(message).as_deref(), Some("LocalDatabase"));
        assert_eq!(reason_in("ImagePullFailed"), None);
    }
}
