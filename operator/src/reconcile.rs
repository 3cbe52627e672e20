//! One pass over one service: observe, plan, apply, tell. It waits for nothing and remembers nothing; whatever it
//! leaves undone the next pass finds.

use std::time::{Duration, Instant};

use accord_crds::AuthService;
use accord_crds::meta::ANNOTATION_PAUSED;
use kube::Resource as _;

use crate::apply::Writer;
use crate::context::Context;
use crate::error::Error;
use crate::index::Key;
use crate::lock::lock;
use crate::{apply, observe, status};

/// Secrets that aren't ours aren't watched.
const WITH_REFERENCES: Duration = Duration::from_mins(1);

/// What was learned is told by the next pass.
const NEWS: Duration = Duration::from_millis(100);

/// Returns when to look again although nothing happens.
pub(crate) async fn reconcile(context: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    // 1. A service that is gone or paused: nothing is written, asked or proved.
    let Some(service) = lock(&context.index).service(key) else {
        context.forget(key);
        return Ok(None);
    };
    if is_paused(&service) {
        context.rest(key);
        return Ok(None);
    }

    // 2. What is there, and 3. what is missing.
    let observed = observe::observe(context, key, &service).await?;
    let plan = accord_plan::plan(&service, &observed);

    // 4. Write what is missing.
    let (namespace, name) = key;
    let writer = Writer {
        client: &context.client,
        metrics: &context.metrics,
        service: &service,
        namespace,
        name,
    };
    let mut applied = writer.carry_out(&plan.actions, &observed.objects).await;
    apply::log(key, &plan.actions, applied.error.is_some());

    // 5. Let a deleted service go once nothing is left to do for it.
    if plan.finished && applied.error.is_none() && service.metadata.deletion_timestamp.is_some() {
        match writer.finalizer(false).await {
            Ok(learned) => applied.learned.extend(learned),
            Err(error) => applied.error = Some(error),
        }
    }

    // 6. Remember what the API server answered. A conflict is news: the next pass, which is due at once, tells of it.
    lock(&context.index).learn(key, applied.learned, Instant::now());
    if let Some(conflict @ Error::Conflict { .. }) = applied.error {
        return Err(conflict);
    }
    // So is an object that isn't taken as it is.
    for error in &applied.refused {
        tracing::warn!(namespace, service = name, %error, "a write is refused");
    }
    if !applied.refused.is_empty() && applied.error.is_none() {
        return Ok(applied.again.or(Some(NEWS)));
    }

    // 7. Say what is true now.
    let told = status::write(&context.client, &context.metrics, &service, &plan.status).await;
    let told = told.map(|learned| {
        lock(&context.index).learn(key, learned.into_iter().collect(), Instant::now());
    });
    context.metrics.service(key, &plan.status);

    // 8. News, proofs and questions.
    context.events.tell(key, &service, &plan.events).await;
    context.prober.set(key, plan.probe);
    context.checks.set(key, plan.checks);

    // 9. When to look again.
    if let Some(error) = applied.error {
        if let Some(advice) = error.advice() {
            context
                .events
                .warn(key, &service.object_ref(&()), "WriteRefused", &advice)
                .await;
        }
        return Err(error);
    }
    told?;
    let with_references = observe::names(&service).next().map(|_| WITH_REFERENCES);
    let unsettled = lock(&context.index).look_again(key);
    Ok([plan.requeue, applied.again, with_references, unsettled]
        .into_iter()
        .flatten()
        .min())
}

fn is_paused(service: &AuthService) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let paused = annotations.and_then(|a| a.get(ANNOTATION_PAUSED));
    paused.is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_service_is_one_that_says_so() {
        let with = |value: Option<&str>| {
            let mut service: AuthService = serde_json::from_value(serde_json::json!({
                "apiVersion": "accord.dev/v1alpha1", "kind": "AuthService", "metadata": {"name": "harbour"},
                "spec": {"framework": "Django", "image": "i", "hostnames": ["h.example"], "replicas": 1},
            }))
            .unwrap();
            service.metadata.annotations =
                value.map(|v| [(ANNOTATION_PAUSED.to_owned(), v.to_owned())].into());
            is_paused(&service)
        };
        assert!(with(Some("true")));
        assert!(!with(Some("false")) && !with(Some("")) && !with(None));
    }
}
