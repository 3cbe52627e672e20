//! A replica that was right for a long time and then isn't: found by a sweep, isolated, and replaced while somebody still
//! holds a connection to it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::load::{self, Tally};
use super::stages::{self, Stage};
use super::visit::User;
use super::{Incident, USUAL};
use crate::cluster::Cluster;
use crate::http::PodHttp;
use crate::progress::clock;
use crate::wait::{Seen, wait};

const LATER: Incident = Incident {
    name: "orders-later",
    reported: "a replica that was right at first keeps logouts to itself",
    fault: "later",
    reasons: &["LocalRevocation"],
    ..USUAL
};
/// As short as they can be declared.
const SWEEP: Duration = Duration::from_secs(10);
const REPLACE: Duration = Duration::from_secs(20);
const COME_UP: Duration = Duration::from_mins(5);
const CHANGE: Duration = Duration::from_mins(3);
/// The Service's own list follows the gate by less than this.
const SPREAD: Duration = Duration::from_secs(2);

/// Shows it, in a sentence with what was measured.
pub(crate) fn show(cluster: &Cluster) -> Result<String> {
    stages::on(cluster, &LATER, story)
}

fn story(stage: &Stage<'_>) -> Result<String> {
    let verification = json!({
        "intervalSeconds": SWEEP.as_secs(),
        "isolation": {"replaceAfterSeconds": REPLACE.as_secs()}
    });
    let password = stage.declare(&format!("  verification: {verification}\n"))?;
    let user = stage.user(&password);
    stage.service.wait_until_ready(COME_UP)?;
    stage.service.wait_for_replicas(3)?;
    let front = stage.front()?;
    let pod = stage
        .service
        .pods()?
        .into_iter()
        .next()
        .context("three pods are ready")?;
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let kept = stage
        .cluster
        .pod_http(&stage.namespace, &name, stage.port()?)?
        .kept_open();
    ensure!(
        user.visit(&kept, &front) == super::visit::Visit::Right,
        "before anything diverges, a visit isn't right"
    );

    // From the divergence to the isolation: what is served by it then is what a sweep takes to find it.
    let begun = Instant::now();
    touch(stage, &name)?;
    let (isolated, until_isolated) = load::while_users_come(&user, &front, || {
        stage.until("the replica to be isolated", |object| {
            let replica = replica(object, &name);
            replica["reason"] == LATER.reasons[0] && replica["verdict"] == "Diverges"
        })?;
        let named = begun.elapsed();
        wait(
            stage.cluster,
            &stage.namespace,
            "its gate to close",
            CHANGE,
            || {
                Ok(if gate(stage, &name)?.as_deref() == Some("True") {
                    Seen::NotYet("open".to_owned())
                } else {
                    Seen::Done(())
                })
            },
        )?;
        Ok(named)
    })?;
    std::thread::sleep(SPREAD);

    // From the isolation to the replacement: new connections are right, one that was kept need not be.
    let since = Instant::now();
    let ((replaced, on_kept), isolated_users) = load::while_users_come(&user, &front, || {
        let on_kept = until_it_ends(&user, &kept, &front)?;
        let replaced = since.elapsed();
        stage.service.wait_for_replicas(3)?;
        Ok((replaced, on_kept))
    })?;
    ensure!(
        isolated_users.new.right == isolated_users.new.all() && isolated_users.new.all() > 0,
        "while it was isolated, {} of {} users with new connections were served right: {}",
        isolated_users.new.right,
        isolated_users.new.all(),
        isolated_users.new.words.join("; ")
    );
    ensure!(
        stage
            .service
            .pods()?
            .iter()
            .all(|p| p["metadata"]["name"] != *name),
        "{name} is still there"
    );
    Ok(format!(
        "named after {} (a sweep each {}), isolated at once; until then {} of {} users were served right, after it {} of \
         {}; it was replaced {} after its isolation, and until then {} of {} visits over a connection that was kept to it \
         were right",
        clock(isolated),
        clock(SWEEP),
        until_isolated.new.right,
        until_isolated.new.all(),
        isolated_users.new.right,
        isolated_users.new.all(),
        clock(replaced),
        on_kept.right,
        on_kept.all()
    ))
}

/// From now on the replica diverges.
fn touch(stage: &Stage<'_>, pod: &str) -> Result<()> {
    let file = "/tmp/orders-from-now-on";
    let arguments = [
        "exec",
        "-n",
        &stage.namespace,
        pod,
        "-c",
        "server",
        "--",
        "touch",
        file,
    ];
    stage.cluster.kubectl(&arguments).map(drop)
}

/// Visits over the kept connection until nobody answers there any more.
fn until_it_ends(user: &User<'_>, kept: &PodHttp, front: &PodHttp) -> Result<Tally> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    while begun.elapsed() < CHANGE {
        let visit = user.visit(kept, front);
        if matches!(visit, super::visit::Visit::Unanswered(_)) {
            return Ok(tally);
        }
        tally.count(visit);
        std::thread::sleep(Duration::from_secs(1));
    }
    anyhow::bail!(
        "the isolated replica still answers after {}",
        clock(begun.elapsed())
    )
}

fn replica<'v>(object: &'v Value, name: &str) -> &'v Value {
    let replicas = object["status"]["consistency"]["replicas"].as_array();
    let found = replicas.into_iter().flatten().find(|r| r["pod"] == name);
    found.unwrap_or(&Value::Null)
}

/// The status of the pod's gate; `None` when the pod is gone.
fn gate(stage: &Stage<'_>, pod: &str) -> Result<Option<String>> {
    let found = stage.cluster.find("pod", &stage.namespace, pod)?;
    let conditions = found.as_ref().and_then(|p| p["status"]["conditions"].as_array());
    let gate = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "accord.dev/agrees");
    Ok(gate.and_then(|c| c["status"].as_str()).map(str::to_owned))
}
