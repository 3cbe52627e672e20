//! An application that no preset knows, Express with express-session, by its own declaration: sessions in each replica's
//! memory as what is declared first, then as it should be, then a key per start as an update. From outside both faults look
//! alike; by the declared `sessionKey` each is named.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::kit::{self, CHANGE, COME_UP, Kit, seconds};
use super::local_database::never_in_traffic;
use crate::cluster::Cluster;
use crate::demo::orders;
use crate::http::{PodHttp, Request};
use crate::images::Image;
use crate::paths;

const HOST: &str = "accounts.example.com";
const PORT: u16 = 8080;
const USER: &str = "member1";
const USERS: &str = "accounts-demo-users";
/// The declaration's variables of the server; a fault is one more.
const VARIABLES: &str = "{name: NODE_EXTRA_CA_CERTS, value: /etc/accord/ca.crt}";

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-express", "accounts", |kit| {
        let image = Image::example("express-accounts");
        let yaml = paths::read(&paths::checkout().join("examples/express-accounts/authservice.yaml"))?;
        let yaml = kit::replaced(&yaml, &image.reference(), &kit.load(&image)?)?;
        orders::demo_users(cluster, kit.namespace, USERS)?;

        let named = as_the_first(kit, &with_fault(&yaml, "memory-sessions")?)?;
        let begun = Instant::now();
        kit.declare(&yaml)?;
        kit.ready(COME_UP)?;
        let mended = begun.elapsed();
        let asked = ask_every_replica(kit)?;
        let withdrawn = as_an_update(kit, &with_fault(&yaml, "key-per-start")?)?;
        ask_every_replica(kit)?;
        Ok(format!(
            "named LocalSession after {}, mended in {}, {asked} of {asked} answers of 3 replicas as they should be; a key \
             per start, as an update, named KeyMismatch and withdrawn in {}",
            seconds(named),
            seconds(mended),
            seconds(withdrawn)
        ))
    })
}

fn with_fault(yaml: &str, fault: &str) -> Result<String> {
    let more = format!("{VARIABLES}, {{name: ACCOUNTS_FAULT, value: {fault}}}");
    kit::replaced(yaml, VARIABLES, &more)
}

/// Sessions in memory: every replica is named, and none takes traffic.
fn as_the_first(kit: &Kit<'_>, broken: &str) -> Result<Duration> {
    let (pods, traffic) = (kit.watch_pods()?, kit.watch_traffic()?);
    let begun = Instant::now();
    kit.declare(broken)?;
    let object = kit.until(
        "each of three replicas to be named LocalSession",
        COME_UP,
        |object| {
            let replicas = object["status"]["consistency"]["replicas"].as_array();
            replicas.is_some_and(|all| all.len() == 3 && all.iter().all(|r| r["reason"] == "LocalSession"))
        },
    )?;
    let took = begun.elapsed();
    kit.until_reason("ReplicasDiverge", kit::NOTICE)?;
    let revision = object["status"]["candidate"]["revision"].as_str();
    never_in_traffic(&pods, &traffic, revision.context("status has no candidate")?)?;
    Ok(took)
}

/// A key per start over a release that works: withdrawn by its name, and users go on.
fn as_an_update(kit: &Kit<'_>, broken: &str) -> Result<Duration> {
    let (pods, traffic) = (kit.watch_pods()?, kit.watch_traffic()?);
    let begun = Instant::now();
    kit.declare(broken)?;
    let object = kit.until_reason("CandidateWithdrawn", CHANGE)?;
    let took = begun.elapsed();
    let candidate = &object["status"]["candidate"];
    ensure!(
        candidate["message"]
            .as_str()
            .is_some_and(|m| m.contains("KeyMismatch")),
        "the candidate was withdrawn for another reason: {candidate}"
    );
    let revision = candidate["revision"].as_str();
    never_in_traffic(
        &pods,
        &traffic,
        revision.context("the candidate has no revision")?,
    )?;
    kit.until(
        "the three released replicas alone to be there",
        CHANGE,
        |object| {
            let status = &object["status"];
            status["consistency"]["agreeing"] == 3
                && status["consistency"]["total"] == 3
                && status["readyReplicas"] == 3
        },
    )?;
    Ok(took)
}

/// A login at each replica, known to all; ended at the next one, refused by all. Returns how many answers that were.
fn ask_every_replica(kit: &Kit<'_>) -> Result<usize> {
    let ways = kit.service.ways(PORT)?;
    ensure!(ways.len() == 3, "{} of 3 replicas are ready", ways.len());
    let password = kit.cluster.secret(kit.namespace, USERS, "password")?;
    let mut asked = 0;
    for (turn, here) in ways.iter().enumerate() {
        let request = Request::post("/api/login", &json!({"username": USER, "password": password}));
        let answer = here.send(&request.host(HOST))?;
        let session = answer.cookie("sid");
        let session =
            session.with_context(|| format!("login at {}: answered {}", here.pod(), answer.status))?;
        everywhere(&ways, &session, 200)?;
        let next = &ways[(turn + 1) % ways.len()];
        let logout = Request::post("/api/logout", &json!({}))
            .host(HOST)
            .cookie("sid", &session);
        let status = next.send(&logout)?.status;
        ensure!(status == 200, "logout at {}: answered {status}", next.pod());
        everywhere(&ways, &session, 401)?;
        asked += 2 + 2 * ways.len();
    }
    Ok(asked)
}

fn everywhere(ways: &[PodHttp], session: &str, expected: u16) -> Result<()> {
    for there in ways {
        let answer = there.send(&Request::get("/api/me").host(HOST).cookie("sid", session))?;
        let is_user = expected != 200 || answer.json["username"] == USER;
        ensure!(
            answer.status == expected && is_user,
            "{} answered {}, expected {expected}",
            there.pod(),
            answer.status
        );
    }
    Ok(())
}
