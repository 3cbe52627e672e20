//! Gathers what a plan is made from. Reads the index and the Secrets that the declaration names; writes nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use accord_crds::AuthService;
use accord_plan::{Kind, Object, ObjectKey, Observed};
use jiff::Timestamp;

use crate::apply;
use crate::context::Context;
use crate::error::{Error, Refusal};
use crate::index::Key;
use crate::lock::lock;

/// What is observed of a service now.
pub(crate) async fn observe(context: &Context, key: &Key, service: &AuthService) -> Result<Observed, Error> {
    let referenced = referenced(context, key, service).await?;
    let (objects, foreign, refused) = {
        let (mut index, now) = (lock(&context.index), Instant::now());
        let (objects, foreign) = index.observe(key, now);
        (objects, foreign, index.refused(key, now))
    };
    let (database, cache) = context.checks.answers(key);
    Ok(Observed {
        now: Timestamp::now(),
        settings: context.settings.clone(),
        contradiction: context.contradictions.of(key, service),
        objects,
        foreign,
        refused,
        referenced,
        watched: context.watched.pods(key, service),
        database,
        cache,
        proofs: context.prober.proofs(key),
        edge: context.prober.edge(key),
    })
}

/// The Secrets that the declaration names, by name: the operator has no right to list Secrets that aren't its own.
async fn referenced(
    context: &Context,
    (namespace, _): &Key,
    service: &AuthService,
) -> Result<BTreeMap<String, Option<Object>>, Error> {
    let mut found = BTreeMap::new();
    for name in names(service) {
        let read = apply::api(&context.client, Kind::Secret, namespace)
            .get_opt(name)
            .await;
        let read = read.map_err(|error| Error::ReadReferenced {
            key: ObjectKey::new(Kind::Secret, name),
            source: Refusal::new(Some(Kind::Secret), &error),
        })?;
        found.insert(
            name.to_owned(),
            read.map(|secret| apply::object(Kind::Secret, secret)),
        );
    }
    Ok(found)
}

/// The names of these Secrets.
pub(crate) fn names(service: &AuthService) -> impl Iterator<Item = &str> {
    let spec = &service.spec;
    let database = spec
        .database
        .as_ref()
        .and_then(|d| d.external.as_ref())
        .map(|e| e.secret_ref.name.as_str());
    let cache = spec
        .cache
        .as_ref()
        .and_then(|c| c.external.as_ref())
        .map(|e| e.secret_ref.name.as_str());
    let edge = spec
        .verification
        .as_ref()
        .and_then(|v| v.edge.as_ref())
        .and_then(|e| e.ca_secret_ref.as_ref())
        .map(|r| r.name.as_str());
    let canary = spec
        .verification
        .as_ref()
        .and_then(|v| v.canary.as_ref())
        .and_then(|c| c.secret_ref.as_ref())
        .map(|r| r.name.as_str());
    database.into_iter().chain(cache).chain(edge).chain(canary)
}
