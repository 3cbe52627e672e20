//! `accord-operator check`: one GET over plain HTTP, for `helm test`. The image has no shell and no curl.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Asks and succeeds when the answer is 200 to 299.
pub async fn check(url: &str) -> anyhow::Result<()> {
    let (authority, path) = split(url)?;
    let status = timeout(Duration::from_secs(10), get(&authority, path))
        .await
        .with_context(|| format!("{url} did not answer within 10 seconds"))?
        .with_context(|| format!("{url} can't be asked"))?;
    if (200..300).contains(&status) {
        println!("{url} answered {status}");
        return Ok(());
    }
    bail!("{url} answered {status}; expected 200 to 299");
}

fn split(url: &str) -> anyhow::Result<(String, &str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("--url is {url:?}, which doesn't begin with http://: only plain HTTP is asked");
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok((
        if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        },
        path,
    ))
}

async fn get(authority: &str, path: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(authority).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < 1024 {
        let mut chunk = [0; 256];
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&chunk[..read]);
    }
    let line = String::from_utf8_lossy(&head);
    line.strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_ascii_whitespace().nth(1))
        .and_then(|code| code.parse().ok())
        .context("the answer is not HTTP/1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_80_unless_told_and_the_path_is_kept() {
        assert_eq!(split("http://accord").unwrap(), ("accord:80".to_owned(), "/"));
        assert_eq!(
            split("http://accord:8080/readyz?x").unwrap(),
            ("accord:8080".to_owned(), "/readyz?x")
        );
        assert!(split("https://accord/").is_err());
    }
}
