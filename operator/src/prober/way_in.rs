//! Where the way in from outside is, and who vouches for it. Asks the name service; sends nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use accord_plan::agreement::Connection;
use accord_plan::probe::EdgeTarget;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// For the name service to answer.
const RESOLVE: Duration = Duration::from_secs(5);

/// The addresses of the declared place, or of the hostname.
pub(super) async fn addresses(edge: &EdgeTarget, hostname: &str) -> Result<Vec<SocketAddr>, Connection> {
    let place = edge.address.as_deref().unwrap_or(hostname);
    let found = timeout(RESOLVE, lookup_host((place, edge.port))).await;
    let found: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) => return Err(Connection::NotResolved(format!("{place} doesn't resolve"))),
        Err(_) => {
            return Err(Connection::NotResolved(format!(
                "{place} didn't resolve within {} seconds",
                RESOLVE.as_secs()
            )));
        }
    };
    let mut allowed = found.clone();
    allowed.retain(|a| is_asked(a.ip()));
    match (found.first(), allowed.is_empty()) {
        (Some(first), true) => Err(Connection::NotResolved(format!(
            "{place} is {}, which is never asked: the operator would talk to itself or its node",
            first.ip()
        ))),
        _ => Ok(allowed),
    }
}

/// Who writes a declaration chooses this address, and the operator's place in the network isn't theirs: its own host and
/// the node's services (cloud metadata) aren't asked. Elsewhere nothing is sent before the certificate has proved the name.
fn is_asked(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local())
        }
    }
}

/// The declared authorities, or the public ones.
pub(super) fn authorities(edge: &EdgeTarget) -> Result<RootCertStore, Connection> {
    let Some(pem) = &edge.authorities else {
        return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
    };
    let mut store = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).flatten();
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(Connection::NotTrusted(
            "ca.crt of its Secret holds no certificate".into(),
        ));
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(address: &str) -> EdgeTarget {
        EdgeTarget {
            address: Some(address.into()),
            port: 443,
            authorities: None,
        }
    }

    #[tokio::test]
    async fn the_operators_own_host_and_its_node_are_never_asked() {
        for address in [
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "0.0.0.0",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            let found = addresses(&edge(address), "login.example.com").await;
            assert!(
                matches!(&found, Err(Connection::NotResolved(why)) if why.contains("never asked")),
                "{address}: {found:?}"
            );
        }
        let found = addresses(&edge("192.0.2.7"), "login.example.com").await;
        assert_eq!(found, Ok(vec!["192.0.2.7:443".parse().unwrap()]));
    }

    #[test]
    fn authorities_are_the_public_ones_or_those_declared() {
        assert!(authorities(&edge("192.0.2.7")).unwrap().len() > 100);
        let broken = EdgeTarget {
            authorities: Some("no PEM".into()),
            ..edge("192.0.2.7")
        };
        assert!(matches!(authorities(&broken), Err(Connection::NotTrusted(_))));
    }
}
