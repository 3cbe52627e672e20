//! A release that ends all sessions on purpose: stopped as `Incompatible`, and after it was accepted users are moved to it
//! at once, none of them ever between the two.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load;
use super::stages::{self, Stage};
use super::{Incident, USUAL, apps};
use crate::cluster::Cluster;
use crate::demo::service::current_condition;
use crate::progress::clock;
use crate::scenarios::kit::{name_of, ready_in};
use crate::watch::Watch;

const RELEASE: Incident = Incident {
    name: "workflows-cutover",
    reported: "a release that changes the format of tokens on purpose",
    app: &apps::WORKFLOWS,
    // The one that is declared first is right.
    fault: "none",
    ..USUAL
};
/// All its replicas agree with each other, and with none of another release.
const OTHER: &str = "other-token-format";
const ACCEPTANCE: &str = "accord.dev/accept-incompatible";
const COME_UP: Duration = Duration::from_mins(5);
/// Visits that may be under way when users are moved: they come every 1.5 s and take about as long.
const UNDER_WAY: usize = 3;

/// Shows it, in a sentence with what was measured.
pub(crate) fn show(cluster: &Cluster) -> Result<String> {
    stages::on(cluster, &RELEASE, story)
}

fn story(stage: &Stage<'_>) -> Result<String> {
    let password = stage.declare("")?;
    let user = stage.user(&password);
    stage.service.wait_until_ready(COME_UP)?;
    stage.service.wait_for_replicas(3)?;
    let front = stage.front()?;
    let service = stage.incident.app.service;
    let watch = |kind, label: &str| {
        let selector = format!("{label}={service}");
        Watch::start(stage.cluster, kind, &stage.namespace, &selector)
    };
    let pods = watch("pods", "accord.dev/service")?;
    let traffic = watch("endpointslices", "kubernetes.io/service-name")?;

    let ((revision, stopped), before) = load::while_users_come(&user, &front, || {
        let begun = Instant::now();
        stage.set_fault(Some(OTHER))?;
        let object = stage.until("the release to be stopped", |object| {
            let candidate = &object["status"]["candidate"];
            candidate["state"] == "Withdrawn" && candidate["reason"] == "Incompatible"
        })?;
        let candidate = &object["status"]["candidate"];
        let message = candidate["message"].as_str().unwrap_or_default();
        ensure!(
            message.contains(ACCEPTANCE),
            "the message doesn't say how to accept it: {message}"
        );
        let revision = candidate["revision"]
            .as_str()
            .context("a candidate has a revision")?;
        let stopped = begun.elapsed();
        stage.until("the pods of the stopped release to go", |object| {
            let consistency = &object["status"]["consistency"];
            consistency["agreeing"] == 3 && consistency["total"] == 3
        })?;
        Ok((revision.to_owned(), stopped))
    })?;
    ensure!(
        before.new.right == before.new.all() && before.new.all() > 0,
        "while it was stopped, {} of {} users were served right: {}",
        before.new.right,
        before.new.all(),
        before.new.words.join("; ")
    );

    let (moved, meanwhile) = load::while_users_come(&user, &front, || {
        let begun = Instant::now();
        accept(stage, &revision)?;
        stage.until("three replicas of the accepted release", |object| {
            let status = &object["status"];
            status["released"]["revision"] == revision.as_str()
                && status["consistency"]["agreeing"] == 3
                && status["consistency"]["total"] == 3
                && current_condition(object, "Ready").is_some_and(|c| c["status"] == "True")
        })?;
        Ok(begun.elapsed())
    })?;
    ensure!(
        meanwhile.new.unanswered == 0 && meanwhile.new.wrong <= UNDER_WAY && meanwhile.new.right > 0,
        "while users were moved, {} were served right, {} not answered, {} wrong (at most {UNDER_WAY} can have been under \
         way): {}",
        meanwhile.new.right,
        meanwhile.new.unanswered,
        meanwhile.new.wrong,
        meanwhile.new.words.join("; ")
    );
    let states = never_both(&pods, &traffic, &revision)?;
    Ok(format!(
        "stopped after {}, {} of {} users served right; accepted, all three replicas serve after {}: {} users served right, {} \
         were under way when users were moved; in {states} states of its endpoints never both revisions, and never none",
        clock(stopped),
        before.new.right,
        before.new.all(),
        clock(moved),
        meanwhile.new.right,
        meanwhile.new.wrong
    ))
}

fn accept(stage: &Stage<'_>, revision: &str) -> Result<()> {
    let service = stage.incident.app.service;
    let annotation = format!("{ACCEPTANCE}={revision}");
    let arguments = [
        "annotate",
        "--overwrite",
        "-n",
        &stage.namespace,
        "authservice",
        service,
        &annotation,
    ];
    stage.cluster.kubectl(&arguments).map(drop)
}

/// An error when the Service ever had ready endpoints of both revisions, or of none. Returns how many states it had.
fn never_both(pods: &Watch, traffic: &Watch, revision: &str) -> Result<usize> {
    let is_new: BTreeMap<String, bool> = pods
        .seen()
        .iter()
        .map(|change| {
            let label = &change.object["metadata"]["labels"]["accord.dev/revision"];
            (name_of(&change.object).to_owned(), label == revision)
        })
        .collect();
    let states = traffic.seen();
    ensure!(!states.is_empty(), "the watch told of no endpoints at all");
    let mut switched = false;
    for change in &states {
        let of: Vec<bool> = ready_in(&change.object)
            .into_iter()
            .map(|pod| is_new.get(pod).copied().unwrap_or_default())
            .collect();
        ensure!(
            of.windows(2).all(|pair| pair[0] == pair[1]),
            "pods of both revisions took traffic: {}",
            change.object["endpoints"]
        );
        ensure!(
            !of.is_empty(),
            "nobody took traffic: {}",
            change.object["endpoints"]
        );
        switched |= of[0];
    }
    ensure!(switched, "the accepted revision never took traffic");
    Ok(states.len())
}
