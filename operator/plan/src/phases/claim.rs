//! Volume claims: whether one is what held the data. A claim says so by its UID, and, after a restore, which gives it
//! another one, by the database on it. They grow, and nothing here deletes them.

use accord_crds::Reason;
use accord_crds::spec::Storage;

use crate::build::stateful_set;
use crate::context::Context;
use crate::endpoint;
use crate::gate::Gate;
use crate::identity;
use crate::key::{Kind, Object};
use crate::phases::data_stores;

/// A claim that was recorded and isn't there, or is another one.
pub fn lost(context: &Context, claim: &str, recorded: Option<&str>, initialised: bool) -> Option<Gate> {
    let recorded = recorded?;
    let say = |what: &str| {
        let note = if initialised {
            " An empty volume will not be initialised anew."
        } else {
            ""
        };
        Some(Gate::closed(
            Reason::DataMissing,
            format!(
                "Volume claim {claim} {what}. Restore it.{note} To go on with what is there now: {}",
                identity::forget(context)
            ),
        ))
    };
    match context.observed.objects.get(Kind::PersistentVolumeClaim, claim) {
        None => say("held the data and is gone"),
        Some(live) if live.is_deleting() => say("is being deleted while it is in use"),
        Some(live) if live.uid() != recorded && !is_restored(context) => {
            say("isn't the one that held the data")
        }
        Some(_) => None,
    }
}

/// A claim grows, where its storage class allows it; it never shrinks.
pub fn grown(context: &Context, claim: &str, storage: Option<&Storage>) -> Option<Object> {
    let live = context.observed.objects.get(Kind::PersistentVolumeClaim, claim)?;
    let declared = stateful_set::size(storage);
    let has = live.value["spec"]["resources"]["requests"]["storage"]
        .as_str()?
        .parse::<accord_crds::Quantity>()
        .ok()?;
    (declared.parse::<accord_crds::Quantity>().ok()? > has).then(|| Object {
        key: live.key.clone(),
        value: serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": context.namespace()},
            "spec": {"resources": {"requests": {"storage": declared}}},
        }),
    })
}

/// True when Postgres has another claim than the recorded one, and there is a database to tell it by.
pub fn is_replaced(context: &Context) -> bool {
    let id = &context.identity.identity;
    let live = context
        .observed
        .objects
        .get(Kind::PersistentVolumeClaim, &context.names.postgres_claim());
    let recorded = id.database_claim.as_deref();
    id.database_system_identifier.is_some()
        && live.is_some_and(|c| !c.is_deleting() && recorded.is_some_and(|before| before != c.uid()))
}

/// True when the claim of Postgres is another one than the recorded, as after a restore, and the database on it has said
/// since that it is the recorded one.
pub fn is_restored(context: &Context) -> bool {
    let managed = context.spec().database.as_ref().and_then(|d| d.managed.as_ref());
    let Some(managed) = managed.filter(|_| is_replaced(context)) else {
        return false;
    };
    let Ok(server) = data_stores::managed_server(context) else {
        return false;
    };
    let question = data_stores::question(context, &server, endpoint::managed_name(managed));
    let answer = data_stores::current(context.observed.database.as_ref(), &question);
    let recorded = context.identity.identity.database_system_identifier.as_ref();
    answer.is_some_and(|a| {
        a.facts
            .as_ref()
            .is_ok_and(|f| Some(&f.system_identifier) == recorded)
    })
}
