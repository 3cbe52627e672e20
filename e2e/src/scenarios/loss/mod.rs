//! What the scenarios of loss have in common: a service with something to lose, what has to stay the same whatever is
//! lost, copies as a backup has them, and the ways back.

pub(super) mod restore;
pub(super) mod serving;
mod volumes;
pub(super) mod while_down;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use super::external::sql;
use super::kit::{self, CHANGE, COME_UP, Kit, NOTICE, name_of};
use crate::images::Image;
use crate::wait::{Seen, wait};

/// A seed that must not run twice, and shows how often it ran.
const ONCE: &str = "    - name: once
      command: [python, manage.py, shell, -c, \"from django.contrib.auth.models import Group; Group.objects.create(name=f'once-{Group.objects.count()}')\"]
";
const DATABASE: &str = "app";
const CLAIMS: [&str; 2] = ["data-orders-postgres-0", "data-orders-cache-0"];

/// Declares the example with the seed that must not run twice, and waits until it is ready.
fn bring_up(kit: &Kit<'_>) -> Result<()> {
    let yaml = kit.orders_yaml(&Image::example("django-orders"), 2)?;
    kit.declare(&format!("{yaml}{ONCE}"))?;
    kit.ready(COME_UP).map(drop)
}

/// What has to be the same before and after. It holds secrets: differences are told by name.
struct Kept {
    /// Contents by name, without those of bindings.
    secrets: BTreeMap<String, Value>,
    identity: Value,
    /// One digest over the users' names and password hashes.
    users: String,
    ledger: Vec<String>,
    servers: Value,
}

impl Kept {
    fn of(kit: &Kit<'_>) -> Result<Self> {
        let mut identity = kit.service.object()?["status"]["identity"].take();
        // Restored claims have other UIDs.
        for claim in ["databaseClaim", "cacheClaim"] {
            if let Some(fields) = identity.as_object_mut() {
                fields.remove(claim);
            }
        }
        let secrets = kit.cluster.list("secrets", kit.namespace, "accord.dev/service")?;
        Ok(Self {
            secrets: secrets
                .iter()
                .filter(|s| !name_of(s).contains("-binding-"))
                .map(|s| (name_of(s).to_owned(), s["data"].clone()))
                .collect(),
            identity,
            users: sql(
                kit,
                DATABASE,
                "SELECT md5(string_agg(username || password, ',' ORDER BY username)) FROM accounts_user \
                 WHERE username NOT LIKE 'accord-canary%';",
            )?,
            ledger: ledger(kit)?,
            servers: servers(kit)?,
        })
    }

    /// An error that names what differs from what is there now.
    fn ensure_same(&self, kit: &Kit<'_>) -> Result<()> {
        let now = Self::of(kit)?;
        let names = |kept: &Self| kept.secrets.keys().cloned().collect::<Vec<_>>();
        ensure!(
            names(self) == names(&now),
            "other Secrets than before: {:?} instead of {:?}",
            names(&now),
            names(self)
        );
        for (name, contents) in &self.secrets {
            ensure!(
                now.secrets.get(name) == Some(contents),
                "Secret {name} was made anew"
            );
        }
        ensure!(
            self.identity == now.identity,
            "another identity than before: {} instead of {}",
            now.identity,
            self.identity
        );
        ensure!(
            self.users == now.users,
            "other users or password hashes than before"
        );
        ensure!(
            self.ledger == now.ledger,
            "another ledger than before: {:?} instead of {:?}",
            now.ledger,
            self.ledger
        );
        ensure!(
            self.servers == now.servers,
            "the servers have another template than before"
        );
        ran_once(kit)
    }
}

/// The rows of the ledger.
fn ledger(kit: &Kit<'_>) -> Result<Vec<String>> {
    let rows = sql(
        kit,
        DATABASE,
        "SELECT kind || ' ' || name || ' ' || revision || ' ' || state FROM accord.ledger ORDER BY 1;",
    )?;
    Ok(rows.lines().map(str::to_owned).collect())
}

/// The servers' template: as long as it is the same, no server is replaced.
fn servers(kit: &Kit<'_>) -> Result<Value> {
    let deployment = kit.cluster.get("deployment", kit.namespace, &kit.service.name)?;
    Ok(deployment["spec"]["template"].clone())
}

/// An error unless the seed that must not run twice ran once.
fn ran_once(kit: &Kit<'_>) -> Result<()> {
    let groups = sql(
        kit,
        DATABASE,
        "SELECT 'groups=' || count(*) FROM auth_group WHERE name LIKE 'once-%';",
    )?;
    ensure!(
        groups.trim() == "groups=1",
        "the seed that must not run twice: {groups}"
    );
    Ok(())
}

/// The binding Secret that the servers name.
fn live_binding(kit: &Kit<'_>) -> Result<String> {
    let template = servers(kit)?;
    let env = template["spec"]["containers"][0]["env"].as_array().cloned();
    let names = env.unwrap_or_default();
    names
        .iter()
        .filter_map(|e| e["valueFrom"]["secretKeyRef"]["name"].as_str())
        .find(|name| name.contains("-binding-"))
        .map(str::to_owned)
        .context("the servers name no binding Secret")
}

/// An object as a backup has it: without what the API server and controllers filled in.
fn copy(kit: &Kit<'_>, kind: &str, name: &str) -> Result<Value> {
    let mut object = kit.cluster.get(kind, kit.namespace, name)?;
    carry(&mut object, false);
    Ok(object)
}

/// Takes out what belongs to the cluster that an object was in. Owners by their old UIDs stay where that is asked for: some
/// tools leave them.
fn carry(object: &mut Value, with_owners: bool) {
    let mut kept = Map::new();
    for field in ["name", "namespace", "labels", "annotations"] {
        let value = object["metadata"][field].take();
        if !value.is_null() {
            kept.insert(field.to_owned(), value);
        }
    }
    if with_owners && object["metadata"]["ownerReferences"].is_array() {
        kept.insert(
            "ownerReferences".to_owned(),
            object["metadata"]["ownerReferences"].take(),
        );
    }
    if let Some(annotations) = kept.get_mut("annotations").and_then(Value::as_object_mut) {
        // That a claim was bound once would make one that isn't yet a lost one.
        annotations.retain(|name, _| !name.contains("kubernetes.io/"));
    }
    object["metadata"] = kept.into();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
}

/// Creates an object from a copy. What is secret goes over standard input.
fn create(kit: &Kit<'_>, copy: &Value) -> Result<()> {
    write(kit, "create", copy)
}

/// Writes a copy over what is there.
fn replace(kit: &Kit<'_>, copy: &Value) -> Result<()> {
    write(kit, "replace", copy)
}

fn write(kit: &Kit<'_>, verb: &str, object: &Value) -> Result<()> {
    let kubectl = kit.cluster.kubectl_cmd();
    let kubectl = kubectl.args(["-n", kit.namespace, verb, "-f", "-"]);
    kubectl.stdin(object.to_string()).output().map(drop)
}

/// Waits until the service holds for a reason in these words, and says that a person has to act.
fn held(kit: &Kit<'_>, reason: &str, words: &[&str]) -> Result<()> {
    let what = format!("{reason} with {words:?}");
    kit.until(&what, CHANGE, |object| {
        let says = |kind: &str, field: &str| {
            kit::condition(object, kind).and_then(|c| c[field].as_str().map(str::to_owned))
        };
        let message = says("Ready", "message").unwrap_or_default();
        says("Ready", "reason").as_deref() == Some(reason)
            && says("Stalled", "status").as_deref() == Some("True")
            && words.iter().all(|w| message.contains(w))
    })
    .map(drop)
}

/// Waits until an object is there again with the contents of its copy.
fn is_back(kit: &Kit<'_>, kind: &str, copy: &Value) -> Result<()> {
    let name = name_of(copy);
    wait(
        kit.cluster,
        kit.namespace,
        &format!("{kind} {name} to be back"),
        NOTICE,
        || {
            let live = kit.cluster.find(kind, kit.namespace, name)?;
            Ok(match live {
                None => Seen::NotYet("gone".to_owned()),
                Some(live) if live["data"] != copy["data"] => Seen::NotYet("with other contents".to_owned()),
                Some(_) => Seen::Done(()),
            })
        },
    )
}

/// Sets an annotation of the service; none takes it away.
fn annotate(kit: &Kit<'_>, name: &str, value: Option<&str>) -> Result<()> {
    kit.patch(&json!({"metadata": {"annotations": {name: value}}}))
}

/// The ledger's table goes, and a copy stays in the database.
fn lose_ledger(kit: &Kit<'_>) -> Result<()> {
    let lose =
        "CREATE SCHEMA saved; CREATE TABLE saved.ledger AS TABLE accord.ledger; DROP TABLE accord.ledger;";
    sql(kit, DATABASE, lose).map(drop)
}

/// Waits until what may run twice is recorded again and what may not is held; puts the rows back, and waits for the end.
fn ledger_comes_back(kit: &Kit<'_>) -> Result<()> {
    held(kit, "SeedInterrupted", &["once", "accord.ledger"])?;
    ran_once(kit)?;
    let restore = "INSERT INTO accord.ledger SELECT * FROM saved.ledger ON CONFLICT DO NOTHING; DROP SCHEMA saved CASCADE;";
    sql(kit, DATABASE, restore)?;
    annotate(kit, "accord.dev/retry", Some("the ledger is back"))?;
    kit.ready(CHANGE)?;
    ran_once(kit)
}
