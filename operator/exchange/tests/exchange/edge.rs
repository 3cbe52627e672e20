//! The way in from outside: real TLS in front of a replica, and what can go wrong on the way.

use std::net::SocketAddr;
use std::sync::Arc;

use accord_crds::edge::{EdgeReason, EdgeStatus};
use accord_exchange::{Client, Limits};
use accord_plan::agreement::judge_edge;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rstest::rstest;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};

use crate::fake::{App, HOSTNAME, PASSWORD, USERNAME};
use crate::setup::{Bench, Sees, replica};

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            der,
        }
    }

    fn browser(&self) -> Client {
        let mut store = RootCertStore::empty();
        store.add(self.der.clone()).unwrap();
        let limits = Limits {
            request: std::time::Duration::from_millis(1500),
            ..Limits::default()
        };
        Client::browser(limits, store).unwrap()
    }

    /// A router: takes TLS connections as `name`, with a certificate for so many days from now, and hands them on.
    async fn route(&self, name: &str, days: i64, to: SocketAddr) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |at: Timestamp| {
            let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            rcgen::date_time_ymd(
                date.year().into(),
                date.month().unsigned_abs(),
                date.day().unsigned_abs(),
            )
        };
        let now = Timestamp::now();
        params.not_before = day(now - SignedDuration::from_hours(24 * 60));
        params.not_after = day(now + SignedDuration::from_hours(24 * days));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(stream).await.ok()?;
                    let mut inner = TcpStream::connect(to).await.ok()?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await.ok()
                });
            }
        });
        address
    }
}

/// What is said with `behind` the router, and a sound replica asked by its own address.
async fn told(ca: &Authority, addresses: &[SocketAddr], pod: App) -> EdgeStatus {
    let pod = pod.serve("pod-w", 3).await;
    let bench = Bench::new(&Sees::default());
    let seen = bench
        .exchange()
        .edge(&ca.browser(), addresses, &replica(&pod))
        .await;
    let status = judge_edge(&seen, Timestamp::now());
    for secret in [USERNAME, PASSWORD] {
        assert!(!format!("{seen:?}{status:?}").contains(secret), "{seen:#?}");
    }
    status
}

#[tokio::test]
async fn a_login_through_the_hostname_is_honoured_by_the_replicas() {
    let app = App::new("k");
    let behind = app.replica().serve("pod-s", 2).await;
    let ca = Authority::new();
    let router = ca.route(HOSTNAME, 60, behind.address).await;
    let status = told(&ca, &[router], app.replica()).await;
    assert_eq!(status.reason, EdgeReason::Verified, "{}", status.message);
    let left = status
        .certificate_expires
        .unwrap()
        .0
        .duration_since(Timestamp::now());
    assert!((58..=60).contains(&(left.as_hours() / 24)), "{left}");
    assert!(
        app.sessions.lock().unwrap().is_empty(),
        "no session is left behind"
    );
    // As a browser: nothing is said in the router's name.
    let log = behind.app.log.lock().unwrap().clone();
    assert!((5..=10).contains(&log.len()), "{}", log.len());
    for seen in log {
        assert!(seen.headers.get("x-forwarded-proto").is_none());
        assert_eq!(seen.headers["host"], HOSTNAME);
    }
}

#[rstest]
#[case::for_another_name("orders.example.com", 60, EdgeReason::CertificateInvalid)]
#[case::that_has_run_out(HOSTNAME, -2, EdgeReason::CertificateInvalid)]
#[case::that_runs_out_soon(HOSTNAME, 5, EdgeReason::CertificateExpiring)]
#[tokio::test]
async fn a_certificate(#[case] name: &str, #[case] days: i64, #[case] reason: EdgeReason) {
    let app = App::new("k");
    let behind = app.replica().serve("pod-s", 2).await;
    let ca = Authority::new();
    let router = ca.route(name, days, behind.address).await;
    let status = told(&ca, &[router], app.replica()).await;
    assert_eq!(status.reason, reason, "{}", status.message);
    let asked = !behind.app.log.lock().unwrap().is_empty();
    assert_eq!(
        asked,
        reason == EdgeReason::CertificateExpiring,
        "nothing is sent before the name is proved"
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let app = App::new("k");
    let router = Authority::new()
        .route(HOSTNAME, 60, app.replica().serve("pod-s", 2).await.address)
        .await;
    let status = told(&Authority::new(), &[router], app.replica()).await;
    assert_eq!(
        status.reason,
        EdgeReason::CertificateInvalid,
        "{}",
        status.message
    );
}

#[tokio::test]
async fn a_closed_door_and_the_next_address_of_the_name() {
    let app = App::new("k");
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let ca = Authority::new();
    let status = told(&ca, &[closed], app.replica()).await;
    assert_eq!(status.reason, EdgeReason::Unreachable, "{}", status.message);
    let behind = app.replica().serve("pod-s", 2).await;
    let router = ca.route(HOSTNAME, 60, behind.address).await;
    let status = told(&ca, &[closed, router], app.replica()).await;
    assert_eq!(status.reason, EdgeReason::Verified, "{}", status.message);
}

#[rstest]
#[case::it_redirects(|app: App| app.with(|f| f.redirects = true), EdgeReason::Redirected)]
#[case::it_hangs(|app: App| app.with(|f| f.hangs = true), EdgeReason::TimedOut)]
#[case::it_limits(|app: App| app.with(|f| f.throttles = true), EdgeReason::Pending)]
#[case::it_fails(|app: App| app.with(|f| f.login_status = Some(502)), EdgeReason::ServerError)]
#[case::it_refuses(|app: App| app.with(|f| f.login_status = Some(403)), EdgeReason::LoginRefused)]
#[case::it_rewrites_cookies(
    |app: App| app.with(|f| f.cookie_domain = Some("internal.example.org".into())), EdgeReason::CredentialLost
)]
#[case::it_loses_credentials(|app: App| app.with(|f| f.own_check_fails = true), EdgeReason::CredentialLost)]
#[case::it_leads_elsewhere(|_| App::new("other"), EdgeReason::OtherServers)]
#[tokio::test]
async fn the_way_in_is_named_and_no_replica(#[case] behind: fn(App) -> App, #[case] reason: EdgeReason) {
    let app = App::new("k");
    let behind = behind(app.replica()).serve("pod-s", 2).await;
    let ca = Authority::new();
    let router = ca.route(HOSTNAME, 60, behind.address).await;
    let status = told(&ca, &[router], app.replica()).await;
    assert_eq!(status.reason, reason, "{}", status.message);
}

#[tokio::test]
async fn where_the_replica_fails_itself_nothing_is_said() {
    let app = App::new("k");
    let ca = Authority::new();
    let behind = app.replica().serve("pod-s", 2).await;
    let router = ca.route(HOSTNAME, 60, behind.address).await;
    let broken = app.replica().with(|f| f.login_status = Some(500));
    let status = told(&ca, &[router], broken).await;
    assert_eq!(status.reason, EdgeReason::Pending, "{}", status.message);
}
