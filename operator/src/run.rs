//! `accord-operator run`: from settings to a controller that leads, and an orderly end.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::checks::Checks;
use crate::context::Context;
use crate::contradictions::Contradictions;
use crate::controller;
use crate::events::Events;
use crate::http::{self, Readiness};
use crate::index::Index;
use crate::leader::Election;
use crate::metrics::Metrics;
use crate::prober::Prober;
use crate::queue::Trigger;
use crate::settings::Settings;
use crate::watched::Watched;

/// Runs until SIGTERM or SIGINT. Losing the lease is an error: the process ends, and starts anew as a standby.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut ending = Ending::new()?;
    let config = Config::infer()
        .await
        .context("no cluster is known: run inside one with a service account, or set KUBECONFIG")?;
    let client = Client::try_from(config.clone())?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Arc::new(Readiness::default());
    let stop = CancellationToken::new();
    let server = http::serve(
        settings.http_addr,
        metrics.clone(),
        readiness.clone(),
        stop.clone(),
    )
    .await?;

    let namespace = settings
        .pod_namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let identity = identity(&settings)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), identity, lease = %format!("{namespace}/{}", settings.lease_name), "started");
    let election = Election::new(client, &namespace, &settings.lease_name, identity.clone());
    let mut held = tokio::select! {
        held = election.acquire() => held,
        signal = ending.asked() => {
            tracing::info!(signal, "ending; this copy didn't lead");
            return end(stop, server).await;
        }
    };
    metrics.set_leader(true);
    tracing::info!("leading");

    let (trigger, requests) = Trigger::new();
    let fenced = ClientBuilder::try_from(config)?
        .with_layer(election.fence())
        .build();
    let context = Arc::new(context(fenced, &settings, &identity, metrics.clone(), &trigger));
    let outcome = tokio::select! {
        why = controller::run(context, settings.scopes(), trigger, requests, readiness) => Err(why),
        why = election.hold(&mut held) => Err(anyhow::anyhow!("this copy doesn't lead any more: {why}")),
        signal = ending.asked() => {
            tracing::info!(signal, "ending");
            Ok(())
        }
    };
    // The controller was dropped above: nothing writes any more, and another copy may begin.
    metrics.set_leader(false);
    election.release(held).await;
    end(stop, server).await?;
    outcome
}

fn context(
    client: Client,
    settings: &Settings,
    identity: &str,
    metrics: Arc<Metrics>,
    trigger: &Trigger,
) -> Context {
    let (proved, answered) = (trigger.clone(), trigger.clone());
    let probed = Arc::clone(&metrics);
    Context {
        index: Arc::new(Mutex::new(Index::default())),
        settings: settings.for_plan(),
        checks: Checks::new(move |key| answered.now(key)),
        prober: Prober::new(move |key| proved.now(key)).measured(move |key, seen| probed.probed(key, seen)),
        contradictions: Contradictions::default(),
        watched: Watched::new(client.clone(), trigger.clone()),
        events: Events::new(client.clone(), identity),
        metrics,
        client,
    }
}

/// In a pod: its name, so that a restarted container needn't wait for its own lease. Elsewhere: one of its own for each
/// process.
fn identity(settings: &Settings) -> anyhow::Result<String> {
    if let Some(name) = settings.pod_name.clone().filter(|n| !n.is_empty()) {
        return Ok(name);
    }
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(format!("accord-operator-{:016x}", u64::from_be_bytes(bytes)))
}

async fn end(
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
) -> anyhow::Result<()> {
    stop.cancel();
    let abort = server.abort_handle();
    // A scrape that hangs must not keep the process.
    if tokio::time::timeout(std::time::Duration::from_secs(2), server)
        .await
        .is_err()
    {
        abort.abort();
    }
    Ok(())
}

/// SIGTERM and SIGINT.
struct Ending {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Ending {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
