//! Whether a replica that made nothing of plain HTTP speaks TLS: it answers a handshake with one, if only to refuse it. No
//! certificate is believed, and nothing is sent over the connection.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{Client, Replica};

impl Client {
    /// Asks a replica that was asked over plain HTTP, and made nothing of it, for a handshake.
    pub(crate) async fn is_tls_only(&self, at: &Replica) -> bool {
        if at.tls {
            return false;
        }
        let handshake = async {
            let tcp = TcpStream::connect(at.address).await?;
            let name = ServerName::from(at.address.ip());
            TlsConnector::from(Arc::new(self.tls.clone()))
                .connect(name, tcp)
                .await
        };
        match timeout(self.limits.connect, handshake).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => is_of_tls(&error),
            Err(_) => false,
        }
    }
}

/// True for what a peer that speaks TLS did not like, or what isn't liked of it.
fn is_of_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    cause.is_some_and(|cause| !matches!(cause, rustls::Error::InvalidMessage(_)))
}
