//! Watches services and their objects, and asks for a pass over a service when something of it changed.
//!
//! Memory holds objects that carry our label, and nothing else of the cluster.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use accord_crds::AuthService;
use accord_crds::meta::LABEL_SERVICE;
use accord_plan::Kind;
use futures::TryStreamExt as _;
use futures::channel::mpsc::UnboundedReceiver;
use kube::api::DynamicObject;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::http::Readiness;
use crate::index::Key;
use crate::lock::lock;
use crate::queue::{self, Request, Trigger};
use crate::reconcile::reconcile;

/// The limit of one pass.
const PASS: Duration = Duration::from_mins(1);

/// Runs until it is dropped. Returns only when a watch can't go on.
pub(crate) async fn run(
    context: Arc<Context>,
    scopes: Vec<Option<String>>,
    trigger: Trigger,
    requests: UnboundedReceiver<Request>,
    readiness: Arc<Readiness>,
) -> anyhow::Error {
    readiness.set_catching_up(true);
    // Each watch holds a sender until it has listed everything: then the receiver ends.
    let (listed, mut all_listed) = mpsc::channel::<()>(1);
    let mut watches = JoinSet::new();
    for scope in scopes {
        let (context, trigger) = (context.clone(), trigger.clone());
        watches.spawn(watch_services(
            context.clone(),
            scope.clone(),
            trigger.clone(),
            listed.clone(),
        ));
        // Who only observes has no right to see them, and nothing of his own among them.
        for kind in Kind::ALL.iter().filter(|_| !context.settings.observe_only) {
            watches.spawn(watch_objects(
                context.clone(),
                *kind,
                scope.clone(),
                trigger.clone(),
                listed.clone(),
            ));
        }
    }
    drop(listed);
    let passes = async {
        // Missing evidence holds, but a half-seen cluster looks like an empty one: wait for the whole.
        let _ = all_listed.recv().await;
        readiness.set_catching_up(false);
        tracing::info!("every object of ours has been listed");
        let work = move |key: Key| {
            let context = context.clone();
            async move { timed(&context, &key).await }
        };
        queue::work_off(trigger, requests, work).await;
    };
    tokio::select! {
        () = passes => anyhow::anyhow!("the queue of services ended"),
        ended = watches.join_next() => anyhow::anyhow!("a watch ended: {ended:?}"),
    }
}

async fn timed(context: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    let begun = Instant::now();
    let outcome = timeout(PASS, reconcile(context, key)).await;
    let outcome = outcome.unwrap_or(Err(Error::Slow {
        seconds: PASS.as_secs(),
    }));
    context
        .metrics
        .reconciled(begun.elapsed(), outcome.as_ref().err().map(Error::label));
    outcome
}

async fn watch_objects(
    context: Arc<Context>,
    kind: Kind,
    scope: Option<String>,
    trigger: Trigger,
    listed: mpsc::Sender<()>,
) {
    let resource = apply::resource(kind);
    let api: Api<DynamicObject> = match &scope {
        Some(namespace) => Api::namespaced_with(context.client.clone(), namespace, &resource),
        None => Api::all_with(context.client.clone(), &resource),
    };
    let source = (kind, scope);
    let mut listed = Some(listed);
    let events = watcher(api, watcher::Config::default().labels(LABEL_SERVICE));
    let mut events = pin!(events.default_backoff());
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                watch_failed(&context, kind.as_str(), &error);
                continue;
            }
        };
        let mut index = lock(&context.index);
        let concerned = match event {
            Event::Init => {
                index.list_started(source.clone());
                BTreeSet::new()
            }
            Event::InitApply(found) | Event::Apply(found) => {
                let namespace = found.namespace().unwrap_or_default();
                index.object_applied(&source, &namespace, apply::object(kind, found))
            }
            Event::Delete(found) => {
                let namespace = found.namespace().unwrap_or_default();
                index.object_deleted(&namespace, &apply::object(kind, found))
            }
            Event::InitDone => {
                drop(listed.take());
                index.list_done(&source)
            }
        };
        drop(index);
        trigger.all(concerned);
    }
}

async fn watch_services(
    context: Arc<Context>,
    scope: Option<String>,
    trigger: Trigger,
    listed: mpsc::Sender<()>,
) {
    let api: Api<DeserializeGuard<AuthService>> = match &scope {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let mut listed = Some(listed);
    let mut seen = BTreeSet::new();
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(error) => {
                watch_failed(&context, "AuthService", &error);
                continue;
            }
        };
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(found) => {
                let key = take_in(&context, found).await;
                seen.insert(key.clone());
                trigger.now(key);
            }
            Event::Apply(found) => trigger.now(take_in(&context, found).await),
            Event::Delete(found) => {
                let key = (found.namespace().unwrap_or_default(), found.name_any());
                lock(&context.index).service_deleted(&key);
                trigger.now(key);
            }
            Event::InitDone => {
                let mut index = lock(&context.index);
                let gone = index
                    .service_keys(scope.as_deref())
                    .into_iter()
                    .filter(|key| !seen.contains(key));
                let gone: BTreeSet<Key> = gone.collect();
                for key in &gone {
                    index.service_deleted(key);
                }
                drop(index);
                drop(listed.take());
                trigger.all(gone);
            }
        }
    }
}

/// One that can't be read (a newer version's, say) is left alone until it can; the others go on.
async fn take_in(context: &Context, found: DeserializeGuard<AuthService>) -> Key {
    let regarding = found.object_ref(&());
    match found.0 {
        Ok(mut service) => {
            service.metadata.managed_fields = None;
            lock(&context.index).service_applied(service)
        }
        Err(invalid) => {
            let key = (
                invalid.metadata.namespace.clone().unwrap_or_default(),
                invalid.metadata.name.clone().unwrap_or_default(),
            );
            let (namespace, service) = &key;
            let note = format!(
                "It can't be read and is left alone: {}. Correct it, or upgrade the operator if it was written for a newer one.",
                invalid.error
            );
            tracing::warn!(namespace, service, note, "an AuthService can't be read");
            context.events.warn(&key, &regarding, "Unreadable", &note).await;
            lock(&context.index).service_deleted(&key);
            key
        }
    }
}

/// Tells of a refusal. A broken connection or a watch that ran out is listed anew as a matter of course; an outage that
/// lasts is told by the election.
fn watch_failed(context: &Context, kind: &'static str, error: &watcher::Error) {
    context.metrics.watch_failed(kind);
    let refused = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => (status.code != 410).then_some(status),
        _ => None,
    };
    match refused {
        Some(status) if status.code == 403 => {
            let message = &status.message;
            tracing::warn!(
                kind,
                message,
                "a watch is refused: the chart's RBAC lacks the right to list and watch it"
            );
        }
        Some(status) => tracing::warn!(
            kind,
            code = status.code,
            message = status.message,
            "a watch is refused"
        ),
        None => tracing::debug!(kind, %error, "a watch broke off and begins anew"),
    }
}
