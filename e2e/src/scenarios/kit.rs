//! What the scenarios of the operator have in common: a namespace that begins empty and leaves nothing, the operator
//! installed, `django-orders` declared, and words for what is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::audit::{Mark, Request};
use crate::cluster::Cluster;
use crate::demo::orders::{self, Orders};
use crate::demo::service::{Service, current_condition};
use crate::demo::{self, SYSTEM};
use crate::http::PodHttp;
use crate::images::Image;
use crate::wait::{Seen, wait};
use crate::watch::Watch;
use crate::{paths, progress};

/// The account of the operator, as the API server names it.
pub(super) const ACCOUNT: &str = "system:serviceaccount:accord-system:accord";
/// How long a service may take from nothing to ready: Postgres, cache, Jobs and servers, with images on the node.
pub(super) const COME_UP: Duration = Duration::from_mins(4);
/// How long one change may take.
pub(super) const CHANGE: Duration = Duration::from_mins(3);
/// How long the operator may take to see and to answer.
pub(super) const NOTICE: Duration = Duration::from_mins(1);
/// Between two requests of a [`Loop`].
const PACE: Duration = Duration::from_millis(200);

/// A namespace with a service that is declared in it.
pub(super) struct Kit<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) namespace: &'static str,
    pub(super) service: Service<'a>,
}

/// Runs a scenario in an empty namespace with the operator installed, and leaves nothing, also when it fails; then the
/// error holds what was to be seen. `ACCORD_KEEP=1` leaves what failed for a look.
pub(super) fn with(
    cluster: &Cluster,
    namespace: &'static str,
    name: &str,
    scenario: impl FnOnce(&Kit<'_>) -> Result<String>,
) -> Result<()> {
    demo::install(cluster)?;
    cluster.delete_namespace(namespace)?;
    cluster.namespace(namespace)?;
    let kit = Kit {
        cluster,
        namespace,
        service: Service::new(cluster, namespace, name),
    };
    let result = scenario(&kit).with_context(|| kit.report());
    let keep = std::env::var_os("ACCORD_KEEP").is_some_and(|v| !v.is_empty());
    if result.is_ok() || !keep {
        cluster.delete_namespace(namespace)?;
    }
    progress::say(&format!("   {}", result?));
    Ok(())
}

impl Kit<'_> {
    /// The example's declaration with another image and number of replicas, and the Secret that it names.
    pub(super) fn orders_yaml(&self, image: &Image, replicas: u32) -> Result<String> {
        let reference = self.load(image)?;
        orders::demo_users(self.cluster, self.namespace, orders::USERS)?;
        let yaml = paths::read(&paths::checkout().join("examples/django-orders/authservice.yaml"))?;
        replaced(
            &replaced(&yaml, &Image::example("django-orders").reference(), &reference)?,
            "replicas: 3",
            &format!("replicas: {replicas}"),
        )
    }

    /// Declares the example as it should be, and waits until it is ready. Returns how long that took.
    pub(super) fn bring_up(&self, replicas: u32) -> Result<Duration> {
        let yaml = self.orders_yaml(&Image::example("django-orders"), replicas)?;
        let begun = Instant::now();
        self.declare(&yaml)?;
        self.ready(COME_UP)?;
        Ok(begun.elapsed())
    }

    /// Applies YAML to the namespace.
    pub(super) fn declare(&self, yaml: &str) -> Result<()> {
        self.cluster.apply_in(self.namespace, yaml).map(drop)
    }

    /// Brings an image to the cluster, and says by which name pods ask for it.
    pub(super) fn load(&self, image: &Image) -> Result<String> {
        let loaded = self.cluster.load(image)?;
        Ok(loaded.context("the image is built here, never pulled")?.reference)
    }

    /// kubectl in the namespace.
    pub(super) fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.namespace];
        all.extend_from_slice(args);
        self.cluster.kubectl(&all)
    }

    /// Changes the `AuthService` by a JSON merge patch.
    pub(super) fn patch(&self, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let name = &self.service.name;
        self.kubectl(&["patch", "authservice", name, "--type=merge", "-p", &patch])
            .map(drop)
    }

    /// `kubectl scale`, without waiting.
    pub(super) fn scale(&self, replicas: u32) -> Result<()> {
        let target = format!("authservice/{}", self.service.name);
        self.kubectl(&["scale", &target, &format!("--replicas={replicas}")])
            .map(drop)
    }

    /// Waits until the `AuthService` is as `accept` wants it.
    pub(super) fn until(
        &self,
        description: &str,
        limit: Duration,
        mut accept: impl FnMut(&Value) -> bool,
    ) -> Result<Value> {
        wait(self.cluster, self.namespace, description, limit, || {
            let object = self.service.object()?;
            Ok(if accept(&object) {
                Seen::Done(object)
            } else {
                Seen::NotYet(summary(&object))
            })
        })
    }

    /// Waits until so many released replicas agree, whatever is said of a candidate.
    pub(super) fn released(&self, replicas: u32) -> Result<()> {
        let what = format!("{replicas} released replicas to agree");
        self.until(&what, CHANGE, |object| {
            let status = &object["status"];
            status["consistency"]["agreeing"] == replicas
                && status["consistency"]["total"] == replicas
                && status["readyReplicas"] == replicas
        })
        .map(drop)
    }

    /// Waits for `Ready`, with exactly as many agreeing replicas as are declared.
    pub(super) fn ready(&self, limit: Duration) -> Result<Value> {
        self.until("the service to be ready", limit, |object| {
            let declared = object["spec"]["replicas"].as_i64().unwrap_or(1);
            let consistency = &object["status"]["consistency"];
            current_condition(object, "Ready").is_some_and(|c| c["status"] == "True")
                && consistency["agreeing"] == declared
                && consistency["total"] == declared
        })
    }

    /// Waits until `Ready` is false for a reason.
    pub(super) fn until_reason(&self, reason: &str, limit: Duration) -> Result<Value> {
        self.until(&format!("the reason {reason}"), limit, |object| {
            current_condition(object, "Ready")
                .is_some_and(|c| c["status"] == "False" && c["reason"] == reason)
        })
    }

    /// The example's users.
    pub(super) fn orders(&self) -> Result<Orders<'_>> {
        Orders::new(self.cluster, self.namespace, &self.service)
    }

    /// A watch of the server pods.
    pub(super) fn watch_pods(&self) -> Result<Watch> {
        let selector = format!("accord.dev/service={},accord.dev/role=server", self.service.name);
        Watch::start(self.cluster, "pods", self.namespace, &selector)
    }

    /// A watch of what the Service sends traffic to.
    pub(super) fn watch_traffic(&self) -> Result<Watch> {
        let selector = format!("kubernetes.io/service-name={}", self.service.name);
        Watch::start(self.cluster, "endpointslices", self.namespace, &selector)
    }

    /// The Service, by its own address.
    pub(super) fn front(&self) -> Result<PodHttp> {
        self.cluster.front(self.namespace, &self.service.name)
    }

    /// The operator's requests for this namespace since a mark.
    pub(super) fn requests(&self, since: &Mark) -> Result<Vec<Request>> {
        let mut all = since.requests_of(ACCOUNT)?;
        all.retain(|r| r.namespace == self.namespace);
        Ok(all)
    }

    /// The operator's writes in this namespace since a mark.
    pub(super) fn writes(&self, since: &Mark) -> Result<Vec<Request>> {
        let mut all = self.requests(since)?;
        all.retain(Request::is_write);
        Ok(all)
    }

    /// What is to be seen, for a failure's report.
    fn report(&self) -> String {
        let status = match self.service.object() {
            Ok(object) => serde_json::to_string(&object["status"]).unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        let operator = self
            .cluster
            .kubectl(&[
                "logs",
                "-n",
                SYSTEM,
                "-l",
                "app.kubernetes.io/name=accord",
                "--tail=15",
            ])
            .unwrap_or_default();
        format!(
            "status: {status}\n{}The operator's last lines:\n{operator}",
            self.cluster.recent(self.namespace)
        )
    }
}

/// Logs in through the Service at a modest, bounded rate, for as long as `body` runs. Returns how many logins there were;
/// an error when one of them failed.
pub(super) fn logins_go_on(kit: &Kit<'_>, body: impl FnOnce() -> Result<()>) -> Result<usize> {
    let (front, orders) = (kit.front()?, kit.orders()?);
    let over = AtomicBool::new(false);
    let (done, answers) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            // Two hours at most, whatever becomes of the body.
            while !over.load(Ordering::Relaxed) && answers.len() < 36_000 {
                let begun = Instant::now();
                answers.push(match orders.login_status(&front) {
                    Ok(status) => status.to_string(),
                    Err(error) => format!("{error:#}"),
                });
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
            }
            answers
        });
        let done = body();
        over.store(true, Ordering::Relaxed);
        (done, asking.join().unwrap_or_default())
    });
    done?;
    let wrong: Vec<&String> = answers.iter().filter(|a| *a != "200").collect();
    anyhow::ensure!(
        wrong.is_empty() && !answers.is_empty(),
        "{} of {} logins through the Service failed: {:?}",
        wrong.len(),
        answers.len(),
        wrong.iter().take(5).collect::<Vec<_>>()
    );
    Ok(answers.len())
}

/// How long something goes on: `short` in CI, `long` with `ACCORD_LONG=1`.
pub(super) fn tier(short: Duration, long: Duration) -> Duration {
    either(short, long)
}

/// One in CI, the other with `ACCORD_LONG=1`.
pub(super) fn either<T>(short: T, long: T) -> T {
    if std::env::var_os("ACCORD_LONG").is_some_and(|v| v == "1") {
        long
    } else {
        short
    }
}

/// Says why a scenario shows nothing here.
pub(super) fn left_out(why: &str) {
    progress::say(&format!("   left out: {why}"));
}

/// Replaces what has to be there, once.
pub(super) fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    anyhow::ensure!(
        text.matches(from).count() == 1,
        "{from:?} is there {} times, expected once, in:\n{text}",
        text.matches(from).count()
    );
    Ok(text.replace(from, to))
}

/// One line about an `AuthService`.
fn summary(object: &Value) -> String {
    let status = &object["status"];
    let ready = status["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
    let word = |field: &str| ready.and_then(|c| c[field].as_str()).unwrap_or("-").to_owned();
    format!(
        "{} {}: {}",
        status["consistency"]["summary"].as_str().unwrap_or("-"),
        word("reason"),
        word("message")
    )
}

/// The name of an object.
pub(crate) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A condition of a pod.
pub(super) fn condition<'v>(pod: &'v Value, kind: &str) -> Option<&'v Value> {
    pod["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

/// The pods that an `EndpointSlice` has as ready.
pub(crate) fn ready_in(slice: &Value) -> Vec<&str> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints
        .filter(|e| e["conditions"]["ready"] == true)
        .filter_map(|e| e["targetRef"]["name"].as_str())
        .collect()
}

/// A duration in seconds, with a tenth.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
