//! Whether the cache that the replicas should share holds a session: sessions in memory and another key look alike from
//! outside. It asks whether one key exists, and writes nothing.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use accord_exchange::{Anchors, Watch};
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisResult, TlsCertificates};
use url::Url;

use crate::problem::Problem;

const CALL: Duration = Duration::from_secs(3);

/// A cache that answers.
pub(crate) struct Store {
    client: Client,
}

impl Store {
    /// The cache of a URI, which may hold a password, once it has answered. A wrong one would otherwise look like one
    /// about which nothing is known.
    pub(crate) async fn at(uri: &str, authorities: Option<String>, from: &Path) -> Result<Self, Problem> {
        let client = client(uri.trim(), authorities)
            .map_err(|why| Problem::Usage(format!("--cache {}: {why}", from.display())))?;
        let store = Self { client };
        let pong: RedisResult<String> = match store.connect().await {
            Ok(mut connection) => redis::cmd("PING").query_async(&mut connection).await,
            Err(error) => Err(error),
        };
        pong.map_err(Problem::Cache)?;
        Ok(store)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL))
            .set_response_timeout(Some(CALL));
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

fn client(uri: &str, authorities: Option<String>) -> Result<Client, String> {
    const FORM: &str = "expected rediss://:password@host:port/0 or redis://…";
    let mut url = Url::parse(uri).map_err(|_| format!("not a URI: {FORM}"))?;
    if !["redis", "rediss"].contains(&url.scheme()) {
        return Err(format!("another scheme: {FORM}"));
    }
    // Other clients' parameters, as in a binding; and no fragment, by which this one would verify nothing.
    url.set_query(None);
    url.set_fragment(None);
    // The library's default is another provider than ours.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: authorities.map(String::into_bytes),
    };
    // Not the library's words: they may repeat the URI.
    url.as_str()
        .into_connection_info()
        .and_then(|info| match url.scheme() {
            "rediss" => Client::build_with_tls(info, certificates),
            _ => Client::open(info),
        })
        .map_err(|_| FORM.to_owned())
}

impl Anchors for Store {
    fn watch(&self, _: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        Box::pin(async { None })
    }

    fn holds<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async move {
            let mut connection = self.connect().await.ok()?;
            redis::cmd("EXISTS")
                .arg(key)
                .query_async(&mut connection)
                .await
                .ok()
        })
    }
}
