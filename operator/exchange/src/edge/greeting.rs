//! The first connection to the way in: whether there is one, whether its certificate is for the hostname, and how long
//! that lasts. Nothing is sent over it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use accord_plan::agreement::Connection;
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::Client;
use crate::redact::snippet;

impl Client {
    /// Connects; when the certificate runs out, or why there was no connection.
    pub(crate) async fn greet(
        &self,
        hostname: &str,
        address: SocketAddr,
    ) -> Result<Option<Timestamp>, Connection> {
        let limit = self.limits.connect.saturating_mul(2);
        timeout(limit, self.connect(hostname, address))
            .await
            .unwrap_or(Err(Connection::TimedOut))
    }

    async fn connect(&self, hostname: &str, address: SocketAddr) -> Result<Option<Timestamp>, Connection> {
        let name = ServerName::try_from(hostname.to_owned())
            .map_err(|_| Connection::NotResolved("it is no name that a certificate could be for".into()))?;
        let tcp = TcpStream::connect(address)
            .await
            .map_err(|error| failure(&error))?;
        let connector = TlsConnector::from(Arc::new(self.tls.clone()));
        let tls = connector
            .connect(name, tcp)
            .await
            .map_err(|error| failure(&error))?;
        let (_, session) = tls.get_ref();
        Ok(session
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(expires))
    }
}

/// The end of the server's own certificate: the others of the chain may be there for older clients.
fn expires(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn failure(error: &io::Error) -> Connection {
    let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Connection::NotTrusted(snippet(&format!("its certificate is refused: {why}"), &[]))
        }
        Some(other) => Connection::Unreachable(snippet(&format!("TLS failed: {other}"), &[])),
        None if error.kind() == io::ErrorKind::TimedOut => Connection::TimedOut,
        None => Connection::Unreachable(snippet(&error.to_string(), &[])),
    }
}
