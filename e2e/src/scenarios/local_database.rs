//! The fault that Accord exists for: a variant of the application whose replicas each write a SQLite file of their own.
//! Its health is green, and preflight is skipped: what is shown is the exchange at the pods. First as what is declared first, then as an update of a release that works.
//!
//! Seed and canary migrate the file that they find, as the servers of this variant do at their start: otherwise they
//! fail on an empty one, and no server is ever started. So every Job is green, and the accounts are in nobody's database.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::kit::{self, CHANGE, COME_UP, Kit, name_of, ready_in, seconds};
use crate::cluster::Cluster;
use crate::images::Image;
use crate::watch::Watch;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    kit::with(cluster, "scenario-local-database", "orders", |kit| {
        let broken = Image::variant("django-orders", "sqlite", &[("ORDERS_DATABASE", "sqlite")]);
        let good = kit.load(&Image::example("django-orders"))?;
        let broken_yaml = green_jobs(&kit.orders_yaml(&broken, 2)?)?;
        let (pods, traffic) = (kit.watch_pods()?, kit.watch_traffic()?);

        let begun = Instant::now();
        kit.declare(&broken_yaml)?;
        let object = kit.until("both replicas to be named LocalDatabase", COME_UP, names_each)?;
        let named = begun.elapsed();
        let revision = released_or_candidate(&object).context("status names the declared revision")?;
        kit.until_reason("ReplicasDiverge", kit::NOTICE)?;

        let begun = Instant::now();
        kit.patch(&json!({"spec": {"image": good}}))?;
        kit.ready(COME_UP)?;
        let mended = begun.elapsed();
        never_in_traffic(&pods, &traffic, &revision)?;

        let (withdrawn, logins) = as_an_update(kit, &broken.reference())?;
        Ok(format!(
            "named LocalDatabase after {}, mended in {}; as an update withdrawn in {}, scaled meanwhile, {logins} of \
             {logins} logins through the Service worked",
            seconds(named),
            seconds(mended),
            seconds(withdrawn)
        ))
    })
}

/// The declaration with a seed and a canary that succeed on any database.
fn green_jobs(yaml: &str) -> Result<String> {
    let seed = kit::replaced(
        yaml,
        "[python, manage.py, create_demo_users]",
        "[sh, -c, python manage.py migrate --noinput && python manage.py create_demo_users]",
    )?;
    let canary = Value::from(format!(
        "python manage.py migrate --noinput && python manage.py shell -c '{CANARY}'"
    ));
    Ok(format!(
        "{seed}  preflight: {{mode: Skip}}\n  verification: {{canary: {{command: [sh, -c, {canary}]}}}}\n"
    ))
}

const CANARY: &str = r#"
import os
from django.contrib.auth import get_user_model
User = get_user_model()
user, _ = User.objects.get_or_create(username=os.environ["ACCORD_CANARY_USERNAME"])
user.email = os.environ["ACCORD_CANARY_EMAIL"]
user.set_password(os.environ["ACCORD_CANARY_PASSWORD"])
user.save()
"#;

/// The broken image over a release that works. Returns how long it took to withdraw it, and how many logins worked.
fn as_an_update(kit: &Kit<'_>, broken: &str) -> Result<(std::time::Duration, usize)> {
    let (pods, traffic) = (kit.watch_pods()?, kit.watch_traffic()?);
    let mut took = std::time::Duration::ZERO;
    let mut revision = String::new();
    let logins = kit::logins_go_on(kit, || {
        let begun = Instant::now();
        kit.patch(&json!({"spec": {"image": broken}}))?;
        let object = kit.until_reason("CandidateWithdrawn", CHANGE)?;
        took = begun.elapsed();
        let candidate = &object["status"]["candidate"];
        ensure!(
            candidate["state"] == "Withdrawn"
                && candidate["reason"] == "ReplicasDiverge"
                && candidate["message"]
                    .as_str()
                    .is_some_and(|m| m.contains("LocalDatabase")),
            "the candidate was withdrawn without its reason: {candidate}"
        );
        candidate["revision"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut revision);
        kit.scale(3)?;
        kit.released(3)
    })?;
    kit.orders()?
        .ask_every_replica(&kit.orders()?.first_session()?)?
        .ensure_perfect()?;
    never_in_traffic(&pods, &traffic, &revision)?;
    Ok((took, logins))
}

fn names_each(object: &Value) -> bool {
    let replicas = object["status"]["consistency"]["replicas"].as_array();
    replicas.is_some_and(|all| {
        all.len() == 2
            && all
                .iter()
                .all(|r| r["reason"] == "LocalDatabase" && r["verdict"] == "Diverges")
    })
}

fn released_or_candidate(object: &Value) -> Option<String> {
    let status = &object["status"];
    ["candidate", "released"]
        .iter()
        .find_map(|which| status[*which]["revision"].as_str().map(str::to_owned))
}

/// An error when a pod of a revision was ever ready in the Service's endpoints.
pub(super) fn never_in_traffic(pods: &Watch, traffic: &Watch, revision: &str) -> Result<()> {
    let of_revision: BTreeMap<String, bool> = pods
        .seen()
        .iter()
        .map(|c| {
            let label = &c.object["metadata"]["labels"]["accord.dev/revision"];
            (name_of(&c.object).to_owned(), label == revision)
        })
        .collect();
    ensure!(
        of_revision.values().any(|is| *is),
        "no pod of the revision {revision} was ever there: nothing was shown"
    );
    for slice in traffic.seen() {
        let admitted = ready_in(&slice.object)
            .into_iter()
            .find(|pod| of_revision.get(*pod) == Some(&true));
        if let Some(pod) = admitted {
            anyhow::bail!("{pod} of the broken revision {revision} was in traffic");
        }
    }
    Ok(())
}
