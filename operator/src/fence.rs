//! What keeps a copy from writing when its lease may have run out. The election ends a copy that lost the lease, but one
//! that was stopped in the middle of a pass (a frozen container, a paused machine) would go on with its next write
//! before it looks at the lease again. So each write is held against the time here, at the last moment.
//!
//! Touches nothing: it lets requests through, or doesn't.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::http::{Method, Request};
use tower::{BoxError, Layer, Service};

use crate::lock::lock;

/// Lets writes through for a while after each renewal. Cheap to clone. Closed until the first.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    lasts: Duration,
    renewed: Arc<Mutex<Option<Instant>>>,
}

/// A write that wasn't sent.
#[derive(Debug, thiserror::Error)]
#[error("nothing is written: this copy's lease wasn't renewed for {} s, and another may lead", .0.as_secs())]
struct Closed(Duration);

impl Fence {
    /// A fence that stays open for so long after a renewal.
    pub(crate) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            renewed: Arc::default(),
        }
    }

    /// The lease was renewed by a request that was sent at this time.
    pub(crate) fn renewed(&self, at: Instant) {
        *lock(&self.renewed) = Some(at);
    }

    fn is_open(&self, now: Instant) -> bool {
        lock(&self.renewed).is_some_and(|at| now.saturating_duration_since(at) < self.lasts)
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            fence: self.clone(),
            inner,
        }
    }
}

/// A client's service behind a fence.
#[derive(Clone, Debug)]
pub(crate) struct Fenced<S> {
    fence: Fence,
    inner: S,
}

impl<S, B> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && !self.fence.is_open(Instant::now()) {
            let closed = Closed(self.fence.lasts);
            return Box::pin(async move { Err(closed.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tower_test::mock;

    use super::*;

    type Sent = Request<()>;

    /// What becomes of a request behind a fence that was renewed so long ago.
    async fn asked(method: Method, renewed: Option<Duration>) -> Result<&'static str, String> {
        let fence = Fence::new(Duration::from_secs(8));
        if let Some(ago) = renewed {
            fence.renewed(Instant::now().checked_sub(ago).unwrap());
        }
        let (service, mut handle) = mock::pair::<Sent, &'static str>();
        let mut service = fence.layer(service);
        let server = tokio::spawn(async move {
            if let Some((_, answer)) = handle.next_request().await {
                answer.send_response("carried out");
            }
        });
        poll_fn(|context| service.poll_ready(context)).await.unwrap();
        let request = Request::builder().method(method).body(()).unwrap();
        let answer = service.call(request).await.map_err(|error| error.to_string());
        drop(service);
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn nothing_is_written_when_the_lease_may_have_run_out() {
        let (fresh, old) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(8)));
        assert_eq!(asked(Method::PATCH, fresh).await, Ok("carried out"));
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for renewed in [old, None] {
                let refused = asked(method.clone(), renewed).await.unwrap_err();
                assert!(refused.contains("wasn't renewed for 8 s"), "{method}: {refused}");
            }
        }
    }

    #[tokio::test]
    async fn looking_is_always_allowed() {
        assert_eq!(asked(Method::GET, None).await, Ok("carried out"));
    }
}
