//! The same containers without Accord: a plain Deployment and a plain Service, with the same database, cache and keys
//! at hand, and kubelet's probes as the only judge.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Incident;
use super::load::Tally;
use super::visit::User;
use crate::cluster::Cluster;
use crate::demo::service::is_ready;
use crate::http::Request;
use crate::wait::{Seen, wait};

const NAME: &str = "plain";

/// What was done by hand on the machines of the report.
pub(super) struct ByHand {
    /// On each replica.
    pub(super) on_each: &'static [&'static str],
    /// On one of them, with the demo users' password.
    pub(super) on_first: &'static [&'static str],
}

impl ByHand {
    pub(super) const NOTHING: Self = Self {
        on_each: &[],
        on_first: &[],
    };
}

/// What the plain replicas did.
pub(super) struct Plain {
    /// Replicas that kubelet has as ready.
    pub(super) ready: usize,
    /// What became of the users.
    pub(super) tally: Tally,
}

/// Runs three replicas of what Accord's own Deployment runs, with the fault, and sends users through a Service.
pub(super) fn run(cluster: &Cluster, namespace: &str, incident: &Incident, user: &User<'_>) -> Result<Plain> {
    let app = incident.app;
    let deployment = cluster.get("deployment", namespace, app.service)?;
    cluster.apply_in(namespace, &manifests(&deployment, (app.fault, incident.fault))?)?;
    let pods = ready_pods(cluster, namespace)?;
    by_hand(cluster, namespace, incident, &pods)?;

    let front = cluster.front(namespace, NAME)?;
    // kube-proxy follows the pods a moment later, and refuses for them until then.
    let any = Request::get(app.me).host(app.host);
    wait(
        cluster,
        namespace,
        "the plain Service to answer",
        Duration::from_mins(1),
        || {
            Ok(match front.send(&any) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        },
    )?;
    let mut tally = Tally::default();
    for _ in 0..incident.plain_users {
        tally.count(user.visit(&front, &front));
    }
    // Still ready: kubelet saw nothing of it.
    let ready = ready_pods(cluster, namespace)?.len();
    cluster.kubectl(&[
        "delete",
        "deployment,service",
        NAME,
        "-n",
        namespace,
        "--wait=true",
    ])?;
    Ok(Plain { ready, tally })
}

pub(crate) fn manifests(deployment: &Value, (name, value): (&str, &str)) -> Result<String> {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"] = json!({"labels": {"app": NAME}});
    let spec = template["spec"]
        .as_object_mut()
        .context("a pod template has a spec")?;
    spec.remove("readinessGates");
    spec.remove("topologySpreadConstraints");
    template["spec"]["containers"][0]["env"]
        .as_array_mut()
        .context("the server has an environment")?
        .push(json!({"name": name, "value": value}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME},
         "spec": {"replicas": 3, "selector": {"matchLabels": {"app": NAME}}, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
         "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": "http"}]}},
    ]});
    Ok(list.to_string())
}

pub(crate) fn ready_pods(cluster: &Cluster, namespace: &str) -> Result<Vec<String>> {
    wait(
        cluster,
        namespace,
        "the plain replicas to be ready",
        Duration::from_mins(2),
        || {
            let pods = cluster.list("pods", namespace, &format!("app={NAME}"))?;
            let ready: Vec<String> = pods
                .iter()
                .filter(|pod| is_ready(pod))
                .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
                .collect();
            Ok(if ready.len() == 3 {
                Seen::Done(ready)
            } else {
                Seen::NotYet(format!("{} of 3", ready.len()))
            })
        },
    )
}

fn by_hand(cluster: &Cluster, namespace: &str, incident: &Incident, pods: &[String]) -> Result<()> {
    let ByHand { on_each, on_first } = incident.by_hand;
    let exec = |pod: &str, command: &[&str]| -> Result<()> {
        if command.is_empty() {
            return Ok(());
        }
        // The password comes over standard input: it is on no command line.
        let password = cluster.secret(namespace, incident.app.users, "password")?;
        let script = format!(
            "export DEMO_USERS_PASSWORD=\"$(cat)\"; exec {}",
            command.join(" ")
        );
        cluster
            .kubectl_cmd()
            .args(["exec", "-i", "-n", namespace, pod, "--", "sh", "-c", &script])
            .stdin(password)
            .run()
    };
    for pod in pods {
        exec(pod, on_each)?;
    }
    pods.first().map_or(Ok(()), |first| exec(first, on_first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_pod_has_the_fault_and_nothing_of_accord() {
        let deployment = json!({"spec": {"template": {
            "metadata": {"labels": {"accord.dev/service": "s"}},
            "spec": {"readinessGates": [{"conditionType": "accord.dev/agrees"}], "topologySpreadConstraints": [{}],
                "containers": [{"name": "server", "env": [{"name": "A", "value": "1"}]}]}}}});
        let text = manifests(&deployment, ("FAULT", "local")).unwrap();
        assert!(!text.contains("accord.dev"), "{text}");
        let list: Value = serde_json::from_str(&text).unwrap();
        let container = &list["items"][0]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["env"][1], json!({"name": "FAULT", "value": "local"}));
    }
}
