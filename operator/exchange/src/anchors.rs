//! Evidence about one pod from beside the exchange, given by the caller: this crate knows no database.

use std::net::IpAddr;

use accord_crds::recipe::SessionRow;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// Where evidence about one pod comes from.
pub trait Anchors: Send + Sync {
    /// Anchor D: gets ready to watch whether the declared database sees connections from `address`, so that not a
    /// moment of the login is missed. `None` where that can't be seen.
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>>;

    /// Anchor C: likewise for commands that the declared cache gets from `address`.
    fn watch_cache(&self, _address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        Box::pin(async { None })
    }

    /// Anchor R: whether the declared cache holds `key`, which carries a session's id: it mustn't be shown. `None` where
    /// that can't be seen.
    fn holds<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async { None })
    }

    /// Anchor R, where sessions are in a table: whether the declared database has a row with this id, which mustn't be
    /// shown. `None` where that can't be seen.
    fn has_row<'a>(&'a self, _row: &'a SessionRow, _id: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(async { None })
    }

    /// Whether the read replica, where servers may read from one, is still without what the database has now, a moment
    /// later. `None` where there is none, or it can't be asked.
    fn replica_behind(&self) -> BoxFuture<'_, Option<bool>> {
        Box::pin(async { None })
    }
}

/// A watch that is ready.
pub trait Watch: Send {
    /// Watches until something is seen, or `until` resolves (an error counts). `None` when nothing could be seen.
    fn seen(self: Box<Self>, until: oneshot::Receiver<()>) -> BoxFuture<'static, Option<bool>>;
}

/// Nothing can be seen beside the exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAnchors;

impl Anchors for NoAnchors {
    fn watch(&self, _: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        Box::pin(async { None })
    }
}

/// What a watch saw until the login was over.
pub(crate) async fn seen(watch: Option<Box<dyn Watch>>, until: oneshot::Receiver<()>) -> Option<bool> {
    match watch {
        Some(watch) => watch.seen(until).await,
        None => None,
    }
}
