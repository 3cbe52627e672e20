//! How a service's task examines pods: over the network, or in tests by a script.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use accord_crds::recipe::SessionRow;
use accord_exchange::{Anchors, Canary, Client, Exchange, NoAnchors, Replica, Watch};
use accord_plan::agreement::{Connection, EdgeObservations, Observations};
use accord_plan::probe::{EdgeTarget, ProbeRequest, ProbeTarget};

use futures::future::BoxFuture;
use secrecy::SecretString;

use super::cache::Cache;
use super::database::Database;
use super::schedule::Extras;
use super::{replica, way_in};

/// Makes exchanges.
pub(super) trait Examiner: Send + Sync + 'static {
    /// One pod, with a witness where there is one.
    fn pair(
        &self,
        request: &ProbeRequest,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        extras: Extras,
    ) -> impl Future<Output = Observations> + Send;

    /// All of them with one session, made at `issuer` and ended at `ender`.
    fn sweep(
        &self,
        request: &ProbeRequest,
        targets: &[ProbeTarget],
        issuer: usize,
        ender: usize,
    ) -> impl Future<Output = Vec<Observations>> + Send;

    /// The way in from outside, beside one pod.
    fn edge(
        &self,
        request: &ProbeRequest,
        edge: &EdgeTarget,
        pod: &ProbeTarget,
    ) -> impl Future<Output = EdgeObservations> + Send;
}

/// The real thing.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) client: Client,
}

impl Examiner for Network {
    async fn pair(
        &self,
        request: &ProbeRequest,
        subject: &ProbeTarget,
        witness: Option<&ProbeTarget>,
        extras: Extras,
    ) -> Observations {
        let (canary, keys) = (canary(request), keys(request));
        let stores = Stores {
            database: request.database.clone().map(Database::new),
            cache: request.cache.clone().map(Cache::new),
        };
        let exchange = self.exchange(request, &canary, &keys, &stores, extras);
        let witness = witness.map(address);
        exchange.pair(&address(subject), witness.as_ref()).await
    }

    async fn sweep(
        &self,
        request: &ProbeRequest,
        targets: &[ProbeTarget],
        issuer: usize,
        ender: usize,
    ) -> Vec<Observations> {
        let (canary, keys) = (canary(request), keys(request));
        let exchange = self.exchange(request, &canary, &keys, &NoAnchors, Extras::default());
        let replicas: Vec<_> = targets.iter().map(address).collect();
        exchange.sweep(&replicas, issuer, ender).await
    }

    async fn edge(&self, request: &ProbeRequest, edge: &EdgeTarget, pod: &ProbeTarget) -> EdgeObservations {
        let nothing = |connection| EdgeObservations {
            hostname: request.hostname.clone(),
            pod: pod.pod.clone(),
            connection,
            certificate_expires: None,
            cookies: Vec::new(),
            steps: Vec::new(),
        };
        let addresses = match way_in::addresses(edge, &request.hostname).await {
            Ok(addresses) => addresses,
            Err(connection) => return nothing(connection),
        };
        let browser = way_in::authorities(edge).and_then(|authorities| {
            Client::browser(self.client.limits(), authorities)
                .map_err(|error| Connection::Unreachable(error.to_string()))
        });
        let browser = match browser {
            Ok(browser) => browser,
            Err(connection) => return nothing(connection),
        };
        let canary = canary(request);
        let exchange = self.exchange(request, &canary, &[], &NoAnchors, Extras::default());
        exchange.edge(&browser, &addresses, &address(pod)).await
    }
}

impl Network {
    fn exchange<'a>(
        &'a self,
        request: &'a ProbeRequest,
        canary: &'a Canary,
        keys: &'a [SecretString],
        anchors: &'a dyn Anchors,
        extras: Extras,
    ) -> Exchange<'a> {
        Exchange {
            client: &self.client,
            recipe: &request.recipe,
            hostname: &request.hostname,
            aliases: &request.aliases,
            canary,
            keys,
            anchors,
            wrong_password: extras.wrong_password,
            change_password: extras.change_password,
        }
    }
}

/// What is seen beside the exchange: each store that is declared, as far as it can be asked.
struct Stores {
    database: Option<Database>,
    cache: Option<Cache>,
}

impl Anchors for Stores {
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        match &self.database {
            Some(database) => database.watch(address),
            None => Box::pin(async { None }),
        }
    }

    fn watch_cache(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        match &self.cache {
            Some(cache) => Box::pin(cache.watch(address)),
            None => Box::pin(async { None }),
        }
    }

    fn replica_behind(&self) -> BoxFuture<'_, Option<bool>> {
        match &self.database {
            Some(database) => Box::pin(replica::behind(database.check())),
            None => Box::pin(async { None }),
        }
    }

    fn has_row<'a>(&'a self, row: &'a SessionRow, id: &'a str) -> BoxFuture<'a, Option<bool>> {
        match &self.database {
            Some(database) => Box::pin(database.has_row(row, id)),
            None => Box::pin(async { None }),
        }
    }

    fn holds<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<bool>> {
        match &self.cache {
            Some(cache) => Box::pin(cache.holds(key)),
            None => Box::pin(async { None }),
        }
    }
}

fn keys(request: &ProbeRequest) -> Vec<SecretString> {
    request.keys.iter().map(|key| key.clone().into()).collect()
}

fn canary(request: &ProbeRequest) -> Canary {
    Canary {
        username: request.username.clone(),
        password: request.password.clone().into(),
    }
}

fn address(target: &ProbeTarget) -> Replica {
    Replica {
        name: target.pod.clone(),
        address: SocketAddr::new(target.address, target.port),
        tls: false,
    }
}
