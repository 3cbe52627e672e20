//! Sends one request as a browser behind the router would, and reads a limited answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::Method;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, DATE, HOST, HeaderValue, LOCATION, ORIGIN, REFERER, SET_COOKIE,
};

use crate::Replica;

const USER_AGENT: &str = concat!("accord-prober/", env!("CARGO_PKG_VERSION"));

/// Limits of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From the first byte sent to the last one read, for each request.
    pub request: Duration,
    /// Until a connection is there. An answer that comes late is slow; a connection that doesn't come is blocked.
    pub connect: Duration,
    /// For the whole exchange.
    pub exchange: Duration,
    /// Of an answer's body; the rest isn't read.
    pub body: usize,
    /// For a replica that refuses what it has issued: how long it is asked again before that is final. One that reads from a
    /// copy may only be late.
    pub settle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            exchange: Duration::from_mins(1),
            body: 64 * 1024,
            settle: Duration::from_secs(3),
        }
    }
}

/// Sends requests. Cheap to clone; nothing of one request is remembered for the next.
#[derive(Clone, Debug)]
pub struct Client {
    /// For replicas that are asked over HTTP.
    http: reqwest::Client,
    pub(crate) tls: rustls::ClientConfig,
    /// True where requests skip the router: then they say what it would have said.
    behind_router: bool,
    pub(crate) limits: Limits,
}

/// The client can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS library offers no version that both sides could speak.
    #[error("TLS can't be set up for the prober: {0}")]
    Tls(#[source] rustls::Error),
    /// The HTTP library refused its settings.
    #[error("the prober's HTTP client can't be set up: {0}")]
    Http(#[source] reqwest::Error),
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) cookies: Option<String>,
    /// The whole of `Authorization`.
    pub(crate) credential: Option<String>,
    /// A header of the recipe: the CSRF token's.
    pub(crate) header: Option<(&'a str, &'a str)>,
    pub(crate) body: Body,
}

/// The body of a request.
pub(crate) enum Body {
    Empty,
    Json(String),
    Form(String),
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) set_cookies: Vec<String>,
    pub(crate) body: String,
    /// How far its clock is ahead of ours, in seconds, by its `Date`.
    pub(crate) clock: Option<i64>,
    /// True when the body went on after the limit.
    pub(crate) truncated: bool,
}

/// No answer.
pub(crate) enum Failure {
    /// There was no connection.
    Unreachable(String),
    /// There was one, and nothing that could be read came over it.
    BrokenOff(String),
    TimedOut,
}

impl Client {
    /// A client with these limits for replicas that are asked over HTTP: no authority is trusted.
    pub fn new(limits: Limits) -> Result<Self, ClientError> {
        Self::trusting(limits, rustls::RootCertStore::empty())
    }

    /// A client with these limits that trusts these authorities to vouch for replicas that are asked over HTTPS.
    pub fn trusting(limits: Limits, authorities: rustls::RootCertStore) -> Result<Self, ClientError> {
        // Its own provider, so that nobody has to install one for the process.
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(authorities)
        .with_no_client_auth();
        let http = builder(limits, &tls).build().map_err(ClientError::Http)?;
        Ok(Self {
            http,
            tls,
            behind_router: true,
            limits,
        })
    }

    /// A client that goes through the router itself, as a browser does: it says nothing in the router's name.
    pub fn browser(limits: Limits, authorities: rustls::RootCertStore) -> Result<Self, ClientError> {
        Self::trusting(limits, authorities).map(|client| Self {
            behind_router: false,
            ..client
        })
    }

    /// Its limits.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// The client and the address part of the URL for a replica. With TLS the hostname is what its certificate has to
    /// be for and what it is told as SNI, and the address is where it is.
    fn reach(&self, at: &Replica, hostname: &str) -> Result<(reqwest::Client, String), Failure> {
        let (scheme, name) = (if at.tls { "https" } else { "http" }, without_port(hostname));
        let Some(name) = name.filter(|_| at.tls) else {
            return Ok((self.http.clone(), format!("{scheme}://{}", at.address)));
        };
        let known = builder(self.limits, &self.tls).resolve(name, at.address).build();
        Ok((
            known.map_err(failure)?,
            format!("{scheme}://{name}:{}", at.address.port()),
        ))
    }

    pub(crate) async fn send(
        &self,
        at: &Replica,
        hostname: &str,
        deadline: Instant,
        request: Request<'_>,
    ) -> Result<Reply, Failure> {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .min(self.limits.request);
        if left.is_zero() {
            return Err(Failure::TimedOut);
        }
        let unsafe_method = request.method != Method::GET;
        let (http, base) = self.reach(at, hostname)?;
        let mut builder = http
            // Whatever the recipe says: what follows the address is a path, and never a part of the address.
            .request(
                request.method,
                format!("{base}/{}", request.path.trim_start_matches('/')),
            )
            .timeout(left)
            .header(HOST, hostname)
            .header("Accept", "application/json, text/html;q=0.9, */*;q=0.1");
        if self.behind_router {
            builder = builder
                .header("X-Forwarded-Proto", "https")
                .header("X-Forwarded-Host", hostname);
        }
        if unsafe_method {
            builder = builder
                .header(ORIGIN, format!("https://{hostname}"))
                .header(REFERER, format!("https://{hostname}{}", request.path));
        }
        if let Some(cookies) = request.cookies.filter(|c| !c.is_empty()) {
            builder = builder.header(COOKIE, cookies);
        }
        if let Some(credential) = request.credential {
            let mut value =
                HeaderValue::try_from(credential).map_err(|why| Failure::Unreachable(why.to_string()))?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some((name, value)) = request.header {
            builder = builder.header(name, value);
        }
        builder = match request.body {
            Body::Empty => builder,
            Body::Json(text) => builder.header(CONTENT_TYPE, "application/json").body(text),
            Body::Form(text) => builder
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(text),
        };
        let mut response = builder.send().await.map_err(failure)?;
        let status = response.status().as_u16();
        let location = text(response.headers(), &LOCATION).next();
        let set_cookies = text(response.headers(), &SET_COOKIE).collect();
        let clock = text(response.headers(), &DATE)
            .next()
            .and_then(|date| ahead(&date));
        let mut body = Vec::new();
        let mut truncated = false;
        while let Some(chunk) = response.chunk().await.map_err(failure)? {
            let room = self.limits.body - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                // Dropping the response closes the connection: nothing more is read.
                truncated = true;
                break;
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply {
            status,
            location,
            set_cookies,
            body,
            clock,
            truncated,
        })
    }
}

fn builder(limits: Limits, tls: &rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // A connection for each request: with several workers in a pod the next one may answer, as for users.
        .pool_max_idle_per_host(0)
        .connect_timeout(limits.connect)
        .user_agent(USER_AGENT)
}

/// How far a clock that says this is ahead of ours, in seconds.
fn ahead(date: &str) -> Option<i64> {
    let theirs = rfc2822::parse(date).ok()?.timestamp();
    Some(theirs.as_second() - Timestamp::now().as_second())
}

/// The name in `name` or `name:port`; `None` for an address, which is no name that a certificate or SNI could hold.
fn without_port(hostname: &str) -> Option<&str> {
    let name = hostname.split_once(':').map_or(hostname, |(name, _)| name);
    (!name.is_empty() && !hostname.starts_with('[') && name.parse::<IpAddr>().is_err()).then_some(name)
}

fn text(
    headers: &reqwest::header::HeaderMap,
    name: &reqwest::header::HeaderName,
) -> impl Iterator<Item = String> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .map(str::to_owned)
}

/// What went wrong, without the URL: the step names the replica. Headers and bodies are never part of it.
fn failure(error: reqwest::Error) -> Failure {
    if error.is_timeout() && !error.is_connect() {
        return Failure::TimedOut;
    }
    let connected = !error.is_connect();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if connected {
        Failure::BrokenOff(cause.to_string())
    } else {
        Failure::Unreachable(cause.to_string())
    }
}
