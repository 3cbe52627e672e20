//! Data stores: managed Postgres and cache, or the check of external ones. The gate opens when they answer with the
//! recorded identity.

use accord_crds::meta::{ANNOTATION_RETRY, LABEL_ROLE};
use accord_crds::spec::BindingSource;
use accord_crds::{ConditionType, Reason};
use k8s_openapi::api::core::v1::Pod;

use crate::binding;
use crate::build::{config, service, stateful_set};
use crate::context::Context;
use crate::digest;
use crate::endpoint::{self, CacheEndpoint, DatabaseEndpoint};
use crate::gate::Gate;
use crate::identity;
use crate::key::{Kind, Object};
use crate::labels::Role;
use crate::observed::{Answer, CacheFacts, DatabaseFacts};
use crate::outcome::{CacheCheck, Checks, DatabaseCheck, ReplicaCheck};
use crate::phases::{Draft, claim};

/// Until this process has asked for the first time, what was true stays so: its restart is no news about them.
const ANSWERING: &str = "Database and cache answer.";

/// Wants the data stores, asks them, and judges the answers.
pub fn run(context: &Context, draft: &mut Draft, checks: &mut Checks) -> Gate {
    let database = match endpoint::database(context) {
        Ok(database) => database,
        Err(gate) => return gate,
    };
    let cache = match endpoint::cache(context) {
        Ok(cache) => cache,
        Err(gate) => return gate,
    };
    let mut gates = Vec::new();
    if let Some(endpoint) = database {
        gates.push(run_database(context, draft, checks, &endpoint));
    }
    if let Some(endpoint) = cache {
        gates.push(run_cache(context, draft, checks, &endpoint));
    }
    gates
        .into_iter()
        .find(|g| !g.is_open())
        .unwrap_or_else(|| Gate::open(answering(context.observed.cache.as_ref())))
}

/// With a warning where a full cache would log users out. Managed caches never evict; for others it's their owner's
/// choice, and no reason to stop.
fn answering(cache: Option<&Answer<CacheFacts>>) -> String {
    let policy = cache
        .and_then(|answer| answer.facts.as_ref().ok())
        .map_or("", |facts| facts.eviction_policy.as_str());
    if matches!(policy, "" | "noeviction") {
        return ANSWERING.into();
    }
    format!(
        "{ANSWERING} When the cache's memory is full it drops sessions (maxmemory-policy {policy}): set noeviction."
    )
}

fn run_database(
    context: &Context,
    draft: &mut Draft,
    checks: &mut Checks,
    endpoint: &DatabaseEndpoint,
) -> Gate {
    let names = &context.names;
    let managed = context.spec().database.as_ref().and_then(|d| d.managed.as_ref());
    let external = context.spec().database.as_ref().and_then(|d| d.external.as_ref());
    let mut source = external
        .map(|e| version(context, &e.secret_ref.name))
        .unwrap_or_default();
    let mut doubt = None;
    if let Some(managed) = managed {
        let claim = names.postgres_claim();
        let id = &context.identity.identity;
        doubt = claim::lost(
            context,
            &claim,
            id.database_claim.as_deref(),
            id.database_system_identifier.is_some(),
        );
        if let Some(gate) = doubt.as_ref().filter(|_| !claim::is_replaced(context)) {
            return gate.clone();
        }
        draft.want(service::cluster_ip(
            context,
            &names.postgres(),
            Role::Postgres,
            5432,
            "postgres",
        ));
        draft.want(stateful_set::postgres(context, managed));
        draft
            .desired
            .extend(claim::grown(context, &claim, managed.storage.as_ref()));
        match managed_server(context) {
            Ok(server) => source = server,
            Err(why) if why.contains(stateful_set::EMPTY) => return Gate::closed(Reason::DataMissing, why),
            Err(why) if doubt.is_some() => {
                let message = format!(
                    "Volume claim {claim} isn't the recorded one: the database on it is asked whether it is. {why}"
                );
                return Gate::closed(Reason::WaitingForDatabase, message);
            }
            Err(why) => return Gate::closed(Reason::WaitingForDatabase, why),
        }
    }
    let question = question(context, &source, &endpoint.name);
    checks.database = Some(DatabaseCheck {
        trigger: format!("{question}|{}", jobs_seen(context)),
        service: context.ledger_key(),
        host: endpoint.direct.0.clone(),
        port: endpoint.direct.1,
        database: endpoint.name.clone(),
        ledger: endpoint.ledger.clone(),
        managed: endpoint.managed.clone(),
        ca_certificate: endpoint.ca.clone(),
        replica: replica(context, endpoint),
    });
    if context.observed.database.is_none() && context.was_true(ConditionType::DataStoresReady) {
        return Gate::open(ANSWERING);
    }
    let Some(answer) = current(context.observed.database.as_ref(), &question) else {
        return Gate::closed(Reason::WaitingForDatabase, "Asking the database who it is.");
    };
    match (&answer.facts, doubt) {
        (Ok(facts), Some(gate)) if facts.system_identifier.is_empty() => gate,
        (Ok(facts), _) => right_database(context, facts),
        (Err(_), Some(gate)) => gate,
        (Err(why), None) => Gate::closed(
            Reason::WaitingForDatabase,
            format!("The database doesn't answer: {why}"),
        ),
    }
}

/// What the database is asked, in short: another server, database or wish is another question.
pub(super) fn question(context: &Context, source: &str, database: &str) -> String {
    let retry = context.annotation(ANNOTATION_RETRY);
    digest::short(format!("{source} {database} {retry}").as_bytes())
}

/// Which managed server there is, by pod, container and volume, or what it waits for.
pub(super) fn managed_server(context: &Context) -> Result<String, String> {
    let names = &context.names;
    let container = ready_pod(context, &names.postgres_pod())?;
    let claim = context
        .observed
        .objects
        .get(Kind::PersistentVolumeClaim, &names.postgres_claim());
    Ok(format!("{container} {}", claim.map_or("", Object::uid)))
}

/// The read replica, where servers are told of it.
fn replica(context: &Context, endpoint: &DatabaseEndpoint) -> Option<ReplicaCheck> {
    let replica = endpoint.replica.as_ref()?;
    let bound = binding::table(context.spec())
        .iter()
        .any(|b| b.source == BindingSource::DatabaseReplicaUri);
    bound.then(|| ReplicaCheck {
        host: replica.at.0.clone(),
        port: replica.at.1,
        database: replica.name.clone(),
        login: replica.login.clone(),
    })
}

/// Which content of a Secret an external server was asked with.
fn version(context: &Context, secret: &str) -> String {
    let object = context.observed.referenced.get(secret).and_then(Option::as_ref);
    object
        .map(|o| format!("{} {}", o.uid(), o.resource_version()))
        .unwrap_or_default()
}

/// The answer to a question, whatever Jobs have ended since.
pub(super) fn current<'a, T>(answer: Option<&'a Answer<T>>, question: &str) -> Option<&'a Answer<T>> {
    answer.filter(|a| a.trigger.split('|').next() == Some(question))
}

fn right_database(context: &Context, facts: &DatabaseFacts) -> Gate {
    match &context.identity.identity.database_system_identifier {
        Some(recorded) if !facts.system_identifier.is_empty() && *recorded != facts.system_identifier => {
            Gate::closed(
                Reason::WrongDatabase,
                format!(
                    "The database is {}, recorded is {recorded}: these are not the users that were here. Point back to the old one. After a dump was restored into a new server: {}",
                    facts.system_identifier,
                    identity::forget(context)
                ),
            )
        }
        _ => Gate::open("The database answers."),
    }
}

fn run_cache(context: &Context, draft: &mut Draft, checks: &mut Checks, endpoint: &CacheEndpoint) -> Gate {
    let names = &context.names;
    let managed = context.spec().cache.as_ref().and_then(|c| c.managed.as_ref());
    let external = context.spec().cache.as_ref().and_then(|c| c.external.as_ref());
    let mut source = external
        .map(|e| version(context, &e.secret_ref.name))
        .unwrap_or_default();
    if let Some(managed) = managed {
        let claim = names.cache_claim();
        if let Some(gate) = claim::lost(
            context,
            &claim,
            context.identity.identity.cache_claim.as_deref(),
            false,
        ) {
            return gate;
        }
        let limit = stateful_set::cache_resources(managed).limits.and_then(|l| {
            l.get("memory")
                .and_then(|q| q.0.parse::<accord_crds::Quantity>().ok())
        });
        let max_memory = limit.map_or(0, |l| l.units() * 3 / 4);
        draft.want(config::cache(context, max_memory));
        draft.want(service::cluster_ip(
            context,
            &names.cache(),
            Role::Cache,
            6379,
            "cache",
        ));
        draft.want(stateful_set::cache(context, managed));
        draft
            .desired
            .extend(claim::grown(context, &claim, managed.storage.as_ref()));
        match ready_pod(context, &names.cache_pod()) {
            Ok(container) => source = container,
            Err(why) => return Gate::closed(Reason::WaitingForCache, why),
        }
    }
    let question = digest::short(source.as_bytes());
    checks.cache = Some(CacheCheck {
        trigger: question.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        user: endpoint.user.clone(),
        password: endpoint.password.clone(),
        tls: endpoint.tls,
        ca_certificate: endpoint.ca.clone(),
    });
    match current(context.observed.cache.as_ref(), &question).map(|a| &a.facts) {
        None if context.observed.cache.is_none() && context.was_true(ConditionType::DataStoresReady) => {
            Gate::open(ANSWERING)
        }
        None => Gate::closed(Reason::WaitingForCache, "Asking the cache whether it is there."),
        Some(Err(why)) => Gate::closed(
            Reason::WaitingForCache,
            format!("The cache doesn't answer: {why}"),
        ),
        Some(Ok(_)) => Gate::open("The cache answers."),
    }
}

/// The container ID of a ready pod, or what it waits for.
fn ready_pod(context: &Context, name: &str) -> Result<String, String> {
    let Some(pod) = context.observed.objects.typed::<Pod>(Kind::Pod, name) else {
        return Err(format!("Pod {name} isn't there yet."));
    };
    let status = pod.status.unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    if let Some(container) = containers.first().filter(|c| c.ready) {
        return Ok(format!(
            "{} {}",
            pod.metadata.uid.unwrap_or_default(),
            container.container_id.clone().unwrap_or_default()
        ));
    }
    let init = status.init_container_statuses.unwrap_or_default();
    let why = init.iter().chain(&containers).find_map(|c| {
        let state = c.state.as_ref()?;
        let last = c.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        let ended = state.terminated.as_ref().filter(|t| t.exit_code != 0).or(last);
        ended.and_then(|t| t.message.clone()).or_else(|| {
            state
                .waiting
                .as_ref()
                .and_then(|w| w.message.clone().or_else(|| w.reason.clone()))
        })
    });
    let unscheduled = status
        .conditions
        .unwrap_or_default()
        .into_iter()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False")
        .and_then(|c| c.message);
    let detail = why.or(unscheduled).unwrap_or_else(|| "it is starting".into());
    Err(format!("Pod {name} isn't ready: {}", detail.trim()))
}

/// How the Jobs stand: a change is a reason to read the ledger again. Preflight's has to do with no ledger.
fn jobs_seen(context: &Context) -> String {
    let states: Vec<String> = context
        .observed
        .objects
        .of(Kind::Job)
        .filter(|job| job.label(LABEL_ROLE) != Some(Role::Preflight.as_str()))
        .map(|job| {
            let status = &job.value["status"];
            format!("{}:{}:{}", job.uid(), status["succeeded"], status["failed"])
        })
        .collect();
    digest::short(states.join(" ").as_bytes())
}

/// The ledger as it is now: `None` while Jobs have ended that it wasn't read after.
pub fn ledger<'a>(context: &Context<'a>, checks: &Checks) -> Option<&'a [crate::observed::LedgerRow]> {
    let trigger = &checks.database.as_ref()?.trigger;
    let answer = context
        .observed
        .database
        .as_ref()
        .filter(|a| a.trigger == *trigger)?;
    answer.facts.as_ref().ok()?.ledger.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_evicts_is_warned_of() {
        let answer = |policy: &str| Answer {
            trigger: String::new(),
            facts: Ok(CacheFacts {
                eviction_policy: policy.into(),
            }),
        };
        assert_eq!(answering(None), ANSWERING);
        assert_eq!(answering(Some(&answer("noeviction"))), ANSWERING);
        assert!(answering(Some(&answer("allkeys-lru"))).contains("maxmemory-policy allkeys-lru"));
    }
}
