//! Anchors C and R: does the managed cache hear from a pod while the canary logs in to it, and does it hold the session?
//!
//! It reads the list of clients and asks whether one key exists; it writes nothing. Where the user's rights don't allow
//! that, or the server can't be asked, nothing is said.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use accord_exchange::Watch;
use accord_plan::outcome::CacheCheck;
use futures::future::BoxFuture;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::checks::cache::client;

const CALL: Duration = Duration::from_secs(3);
/// The list is as long as the cache has clients; a connection that is opened for one command lives about that long.
const SAMPLE: Duration = Duration::from_millis(50);

/// The managed cache.
pub(super) struct Cache {
    check: CacheCheck,
}

impl Cache {
    pub(super) fn new(check: CacheCheck) -> Self {
        Self { check }
    }

    async fn connect(&self) -> Option<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CALL))
            .set_response_timeout(Some(CALL));
        let client = client(&self.check).ok()?;
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        // Not the error itself: the data stores' own check tells it.
        if connected.is_err() {
            tracing::debug!(host = self.check.host, "clients of the cache can't be seen");
        }
        connected.ok()
    }

    /// Gets ready to watch what comes from `address`.
    pub(super) async fn watch(&self, address: IpAddr) -> Option<Box<dyn Watch>> {
        let mut conn = self.connect().await?;
        let before = list(&mut conn, address).await?;
        Some(Box::new(Commands {
            conn,
            address,
            before,
        }))
    }

    /// Whether the key is there.
    pub(super) async fn holds(&self, key: &str) -> Option<bool> {
        let mut conn = self.connect().await?;
        redis::cmd("EXISTS").arg(key).query_async(&mut conn).await.ok()
    }
}

/// Connections from one address by their id, with the commands that each has sent: Valkey counts them, Redis 7 doesn't.
type Connections = BTreeMap<u64, Option<u64>>;

async fn list(conn: &mut MultiplexedConnection, address: IpAddr) -> Option<Connections> {
    let text: String = redis::cmd("CLIENT").arg("LIST").query_async(conn).await.ok()?;
    Some(
        text.lines()
            .filter_map(|line| connection(line, address))
            .collect(),
    )
}

/// A line of the list, where it is about this address.
fn connection(line: &str, address: IpAddr) -> Option<(u64, Option<u64>)> {
    let field = |name: &str| {
        let mut fields = line.split(' ').filter_map(|f| f.split_once('='));
        fields.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let from: SocketAddr = field("addr")?.parse().ok()?;
    (from.ip().to_canonical() == address.to_canonical()).then(|| {
        Some((
            field("id")?.parse().ok()?,
            field("tot-cmds").and_then(|n| n.parse().ok()),
        ))
    })?
}

/// Whether something was sent between the two. `None` where a connection stayed whose commands aren't counted.
fn sent(before: &Connections, now: &Connections) -> Option<bool> {
    let mut counted = true;
    for (id, commands) in now {
        match (before.get(id), commands) {
            // A new connection, or one more command.
            (None, _) => return Some(true),
            (Some(before), Some(_)) if before < commands => return Some(true),
            (Some(_), Some(_)) => {}
            (Some(_), None) => counted = false,
        }
    }
    counted.then_some(false)
}

struct Commands {
    conn: MultiplexedConnection,
    address: IpAddr,
    before: Connections,
}

impl Watch for Commands {
    fn seen(mut self: Box<Self>, mut until: oneshot::Receiver<()>) -> BoxFuture<'static, Option<bool>> {
        Box::pin(async move {
            let mut last = false;
            loop {
                let now = list(&mut self.conn, self.address).await?;
                match sent(&self.before, &now) {
                    Some(true) => return Some(true),
                    known if last => return known,
                    _ => {}
                }
                tokio::select! {
                    _ = &mut until => last = true,
                    () = sleep(SAMPLE) => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
