//! What a service rests on is lost or written over while it serves. Users notice only where their own data is gone.

use anyhow::{Context as _, Result, ensure};

use super::{Kept, annotate, bring_up, copy, create, held, is_back, ledger_comes_back, lose_ledger, volumes};
use super::{live_binding, replace, servers};
use crate::cluster::Cluster;
use crate::scenarios::kit::{self, Kit, NOTICE, name_of};

/// Where the name of an object is found out first.
const LIVE_BINDING: &str = "the live binding";

/// What is done to an object.
enum Deed {
    Deleted,
    /// A JSON merge patch.
    Edited(&'static str),
}

/// What has to follow.
enum Follows {
    /// It is there again, as it was.
    Restored,
    /// The service holds with this reason, names the object, and goes on once it is as it was.
    Held(&'static str),
    /// The API server doesn't allow it.
    Refused,
}

struct Loss(&'static str, &'static str, Deed, Follows);

const MISSING: Follows = Follows::Held("CredentialsMissing");
const NO_RING: Follows = Follows::Held("KeyRingMissing");
const SET: &str = r#"{"stringData":{"active":"b3RoZXI","app_a":"other","password":"other","ca.crt":"other","hmac":"other"}}"#;

const ALL: [Loss; 13] = [
    Loss("secret", "orders-keys", Deed::Deleted, Follows::Restored),
    Loss("secret", "orders-keys", Deed::Edited(SET), NO_RING),
    Loss("secret", LIVE_BINDING, Deed::Deleted, Follows::Restored),
    Loss("secret", LIVE_BINDING, Deed::Edited(SET), Follows::Refused),
    Loss("secret", "orders-database", Deed::Deleted, MISSING),
    Loss("secret", "orders-database", Deed::Edited(SET), MISSING),
    Loss("secret", "orders-cache-auth", Deed::Deleted, MISSING),
    Loss("secret", "orders-cache-auth", Deed::Edited(SET), MISSING),
    Loss("secret", "orders-ca", Deed::Deleted, MISSING),
    Loss("secret", "orders-ca", Deed::Edited(SET), MISSING),
    Loss("secret", "orders-internal", Deed::Edited(SET), MISSING),
    Loss("configmap", "orders-identity", Deed::Deleted, Follows::Restored),
    Loss(
        "configmap",
        "orders-identity",
        Deed::Edited(
            r#"{"data":{"keyRingFingerprint":"other","databaseSystemIdentifier":"1","secrets":""}}"#,
        ),
        Follows::Restored,
    ),
];

pub(in crate::scenarios) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out("volumes are looked into, which are directories on the embedded cluster only");
        return Ok(());
    }
    let result = kit::with(cluster, "scenario-lost", "orders", |kit| {
        bring_up(kit)?;
        let kept = Kept::of(kit)?;
        let session = kit.orders()?.first_session()?;
        let logins = kit::logins_go_on(kit, || {
            for loss in &ALL {
                loss.befalls(kit)?;
            }
            lose_ledger(kit)?;
            annotate(kit, "accord.dev/retry", Some("the ledger is lost"))?;
            ledger_comes_back(kit)?;
            volumes::claim_marked(kit)
        })?;
        volumes::claim_gone(kit)?;
        volumes::emptied(kit)?;
        kept.ensure_same(kit)?;
        let tally = kit.orders()?.ask_every_replica(&session)?;
        tally.ensure_perfect()?;
        Ok(format!(
            "{} losses and edits, the ledger, the claim and the volume's content: nothing made anew; {logins} of {logins} logins \
             worked while the database was there; the session from before good at {} replicas",
            ALL.len(),
            tally.replicas
        ))
    });
    result.and(volumes::let_go(cluster, "scenario-lost"))
}

impl Loss {
    fn befalls(&self, kit: &Kit<'_>) -> Result<()> {
        let Self(kind, name, deed, _) = self;
        let what = match deed {
            Deed::Deleted => format!("{kind} {name} deleted"),
            Deed::Edited(_) => format!("{kind} {name} written over"),
        };
        self.is_borne(kit).context(what)
    }

    fn is_borne(&self, kit: &Kit<'_>) -> Result<()> {
        let Self(kind, name, deed, follows) = self;
        let name = if *name == LIVE_BINDING {
            live_binding(kit)?
        } else {
            (*name).to_owned()
        };
        let (before, template) = (copy(kit, kind, &name)?, servers(kit)?);
        let pods = running(kit)?;
        let done = match deed {
            Deed::Deleted => kit.kubectl(&["delete", kind, &name, "--wait=false"]),
            Deed::Edited(patch) => kit.kubectl(&["patch", kind, &name, "--type=merge", "-p", patch]),
        };
        match follows {
            Follows::Refused => ensure!(done.is_err(), "the API server allowed it"),
            Follows::Restored => {
                done?;
                is_back(kit, kind, &before)?;
            }
            Follows::Held(reason) => {
                done?;
                held(kit, reason, &[&name])?;
                if matches!(deed, Deed::Deleted) {
                    let found = kit.cluster.find(kind, kit.namespace, &name)?;
                    ensure!(found.is_none(), "it was made anew");
                    create(kit, &before)?;
                } else {
                    replace(kit, &before)?;
                }
            }
        }
        kit.ready(NOTICE)?;
        ensure!(
            servers(kit)? == template,
            "the servers were given another template"
        );
        ensure!(running(kit)? == pods, "servers were replaced");
        Ok(())
    }
}

fn running(kit: &Kit<'_>) -> Result<Vec<String>> {
    let mut names: Vec<String> = kit
        .service
        .pods()?
        .iter()
        .map(|p| name_of(p).to_owned())
        .collect();
    names.sort();
    Ok(names)
}
