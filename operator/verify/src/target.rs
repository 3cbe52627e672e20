//! Replicas by their URLs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use accord_exchange::Replica;
use url::Url;

use crate::problem::Problem;

/// A replica that isn't looked up yet.
#[derive(Debug)]
pub(crate) struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host and port, as a browser would send them.
    pub(crate) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// The replicas, each once.
pub(crate) fn parse(urls: &[String]) -> Result<Vec<Target>, Problem> {
    let mut known = BTreeSet::new();
    urls.iter()
        .map(|text| {
            let target = one(text).map_err(|why| Problem::Usage(format!("--url {text}: {why}")))?;
            if known.insert((target.host.clone(), target.port)) {
                Ok(target)
            } else {
                Err(Problem::Usage(format!(
                    "--url {text}: named twice; give each replica once, by its own address"
                )))
            }
        })
        .collect()
}

fn one(text: &str) -> Result<Target, String> {
    let url = Url::parse(text).map_err(|e| format!("{e}; give one like http://10.0.0.7:8000"))?;
    let tls = match url.scheme() {
        "http" => false,
        "https" => true,
        other => return Err(format!("{other} isn't http or https")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials don't belong into a URL; use ACCORD_USERNAME and ACCORD_PASSWORD".into());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("only host and port; the paths are the recipe's".into());
    }
    let (host, port) = url
        .host_str()
        .zip(url.port_or_known_default())
        .ok_or("it names no host")?;
    Ok(Target {
        host: host.to_owned(),
        port,
        tls,
    })
}

/// Looks names up.
pub(crate) async fn resolve(targets: Vec<Target>) -> Result<Vec<Replica>, Problem> {
    let mut replicas: Vec<Replica> = Vec::with_capacity(targets.len());
    for target in targets {
        let name = format!("{}:{}", target.host, target.port);
        let address = first(&name).await.map_err(|source| Problem::Name {
            host: target.host.clone(),
            source,
        })?;
        if let Some(same) = replicas.iter().find(|r| place(r.address) == place(address)) {
            return Err(Problem::Usage(format!(
                "--url {name}: it leads to {address}, as {} does; give each replica once, by its own address",
                same.name
            )));
        }
        replicas.push(Replica {
            name,
            address,
            tls: target.tls,
        });
    }
    Ok(replicas)
}

/// The same for each way to write it.
fn place(address: SocketAddr) -> (IpAddr, u16) {
    let ip = match address.ip().to_canonical() {
        IpAddr::V6(Ipv6Addr::LOCALHOST) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    (ip, address.port())
}

async fn first(name: &str) -> std::io::Result<SocketAddr> {
    let none = || std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    tokio::net::lookup_host(name).await?.next().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_replica_by_two_names_is_refused() {
        let urls = ["http://127.0.0.1:8000", "http://localhost:8000"].map(str::to_owned);
        let refused = resolve(parse(&urls).unwrap()).await.unwrap_err().to_string();
        assert!(
            refused.contains("localhost:8000") && refused.contains("as 127.0.0.1:8000 does"),
            "{refused}"
        );
        let apart = ["http://127.0.0.1:8000", "http://127.0.0.2:8000"].map(str::to_owned);
        assert_eq!(resolve(parse(&apart).unwrap()).await.unwrap().len(), 2);
    }

    #[test]
    fn a_url_is_a_scheme_a_host_and_a_port() {
        let authority = |url: &str| one(url).map(|t| t.authority());
        assert_eq!(authority("http://10.0.0.7:8000").unwrap(), "10.0.0.7:8000");
        assert_eq!(
            authority("https://login.example.com/").unwrap(),
            "login.example.com"
        );
        assert_eq!(authority("http://[::1]:8000").unwrap(), "[::1]:8000");
        for wrong in [
            "ftp://a",
            "a:80",
            "http://a/path",
            "http://a/?q",
            "http://u:p@a",
            "http://",
        ] {
            assert!(authority(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_replica_is_named_once() {
        let twice = ["http://a:1".to_owned(), "http://a:1/".to_owned()];
        assert!(matches!(parse(&twice), Err(Problem::Usage(why)) if why.contains("twice")));
    }
}
