//! SIGTERM and SIGINT. Without a handler PID 1 would ignore both.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Stop;

pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Stop> {
        let listen = |kind| {
            signal(kind).map_err(|source| Stop::Io {
                step: "listen for signals".to_owned(),
                source,
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub(crate) async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
