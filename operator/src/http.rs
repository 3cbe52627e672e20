//! `/healthz`, `/readyz` and `/metrics`. Read only, without authentication: nothing here is secret.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Whether this copy can do its work: a standby always can, the leader once it has seen the cluster.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    catching_up: AtomicBool,
}

impl Readiness {
    /// The leader has begun to look at the cluster, or is done with it.
    pub(crate) fn set_catching_up(&self, catching_up: bool) {
        self.catching_up.store(catching_up, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

/// Serves until `stop`. Fails at once when the address can't be had.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<std::io::Result<()>>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--http-addr is {address}, which can't be listened on"))?;
    let app = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Shared { metrics, readiness });
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
    Ok(tokio::spawn(server.into_future()))
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.readiness.catching_up.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "not every object has been listed yet\n",
        );
    }
    (StatusCode::OK, "ready\n")
}

async fn metrics_text(State(shared): State<Shared>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shared.metrics.text())
}
