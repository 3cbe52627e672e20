//! Evidence about one pod from beside the exchange, given by the caller: this crate knows no database.

use std::net::IpAddr;

use futures::future::BoxFuture;
use tokio::sync::oneshot;

/// Where evidence about one pod comes from.
pub trait Anchors: Send + Sync {
    /// Anchor D: gets ready to watch whether the declared database sees connections from `address`, so that not a
    /// moment of the login is missed. `None` where that can't be seen.
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>>;
}

/// A watch that is ready.
pub trait Watch: Send {
    /// Watches until a connection is seen, or `until` resolves (an error counts). `None` when nothing could be seen.
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
