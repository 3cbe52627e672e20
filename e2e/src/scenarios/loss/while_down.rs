//! The same while no operator is there: it finds it when it comes back, and doesn't take what is missing for what was never there.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Kept, bring_up, copy, create, held, is_back, ledger_comes_back, live_binding, lose_ledger};
use super::{replace, volumes};
use crate::cluster::Cluster;
use crate::scenarios::away::operators;
use crate::scenarios::kit::{self, CHANGE, Kit, name_of};

const OVERWRITTEN: &str = r#"{"stringData":{"active":"b3RoZXI","password":"other"}}"#;

pub(in crate::scenarios) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out("volumes are looked into, which are directories on the embedded cluster only");
        return Ok(());
    }
    let result = kit::with(cluster, "scenario-lost-down", "orders", |kit| {
        bring_up(kit)?;
        let kept = Kept::of(kit)?;
        let session = kit.orders()?.first_session()?;
        let logins = kit::logins_go_on(kit, || {
            restored(kit).context("what can be restored")?;
            binding(kit).context("the live binding, and a pod that needs it")?;
            credentials(kit).context("what only a backup has")
        })?;
        claim(kit).context("the claim")?;
        kept.ensure_same(kit)?;
        let tally = kit.orders()?.ask_every_replica(&session)?;
        tally.ensure_perfect()?;
        Ok(format!(
            "ring, binding, passwords, authority, record, ledger and claim lost without an operator: nothing made anew; {logins} of \
             {logins} logins worked while the database was there; the session from before good at {} replicas",
            tally.replicas
        ))
    });
    result.and(volumes::let_go(cluster, "scenario-lost-down"))
}

/// Runs something while no operator is there. They come back whatever becomes of it.
fn alone(kit: &Kit<'_>, body: impl FnOnce() -> Result<()>) -> Result<()> {
    operators(kit.cluster, 0)?;
    let result = body();
    operators(kit.cluster, 2)?;
    result
}

fn lose(kit: &Kit<'_>, kind: &str, name: &str) -> Result<Value> {
    let before = copy(kit, kind, name)?;
    kit.kubectl(&["delete", kind, name])?;
    Ok(before)
}

/// Ring, record and ledger: the first two come back by themselves, and so does what the ledger may be told again.
fn restored(kit: &Kit<'_>) -> Result<()> {
    let mut lost = Vec::new();
    alone(kit, || {
        for (kind, name) in [("secret", "orders-keys"), ("configmap", "orders-identity")] {
            lost.push((kind, lose(kit, kind, name)?));
        }
        lose_ledger(kit)
    })?;
    for (kind, before) in &lost {
        is_back(kit, kind, before)?;
    }
    ledger_comes_back(kit)
}

/// The binding that live pods were made with, and one of those: its successor needs it.
fn binding(kit: &Kit<'_>) -> Result<()> {
    let mut lost = Value::Null;
    alone(kit, || {
        lost = lose(kit, "secret", &live_binding(kit)?)?;
        let pods = kit.service.pods()?;
        let pod = pods.first().context("there is no server")?;
        kit.kubectl(&["delete", "pod", name_of(pod), "--wait=false"])
            .map(drop)
    })?;
    is_back(kit, "secret", &lost)?;
    kit.ready(CHANGE).map(drop)
}

/// Passwords and authority are gone or written over, and so is the ring: each is named until it is back.
fn credentials(kit: &Kit<'_>) -> Result<()> {
    let (mut gone, mut edited) = (Vec::new(), Vec::new());
    alone(kit, || {
        for name in ["orders-database", "orders-ca"] {
            gone.push(lose(kit, "secret", name)?);
        }
        for name in ["orders-keys", "orders-cache-auth"] {
            edited.push(copy(kit, "secret", name)?);
            kit.kubectl(&["patch", "secret", name, "--type=merge", "-p", OVERWRITTEN])?;
        }
        Ok(())
    })?;
    // The order in which they are looked at.
    gone.sort_by_key(|s| name_of(s) != "orders-ca");
    for secret in &gone {
        held(kit, "CredentialsMissing", &[name_of(secret), "Restore it"])?;
        create(kit, secret)?;
    }
    for (secret, reason) in edited.iter().zip(["KeyRingMissing", "CredentialsMissing"]) {
        held(kit, reason, &[name_of(secret), "old content back"])?;
        replace(kit, secret)?;
    }
    kit.ready(CHANGE).map(drop)
}

/// The claim goes with its pod, and nobody is there to say that the new one mustn't be initialised.
fn claim(kit: &Kit<'_>) -> Result<()> {
    volumes::keep(kit)?;
    let (saved, volume) = volumes::saved(kit)?;
    alone(kit, || volumes::taken_away(kit))?;
    held(kit, "DataMissing", &["the volume is empty"])?;
    volumes::comes_back(kit, &saved, &volume)
}
