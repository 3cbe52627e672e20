//! Asks the cache whether it answers, and what it does when its memory is full.

use std::time::Duration;

use accord_plan::observed::CacheFacts;
use accord_plan::outcome::CacheCheck;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
};

const CALL: Duration = Duration::from_secs(5);

pub(super) async fn ask(check: &CacheCheck) -> Result<CacheFacts, String> {
    let at = format!("{}:{}", check.host, check.port);
    let client = client(check).map_err(|e| told(&at, &e))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CALL))
        .set_response_timeout(Some(CALL));
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(|e| told(&at, &e))?;
    let pong: String = redis::cmd("PING")
        .query_async(&mut connection)
        .await
        .map_err(|e| told(&at, &e))?;
    if pong != "PONG" {
        return Err(format!(
            "the cache at {at} answers PING with something else than PONG"
        ));
    }
    let memory: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await
        .unwrap_or_default();
    Ok(CacheFacts {
        eviction_policy: field(&memory, "maxmemory_policy").to_owned(),
    })
}

/// A client with the declared credentials and verified TLS.
pub(crate) fn client(check: &CacheCheck) -> redis::RedisResult<Client> {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &check.user {
        login = login.set_username(user);
    }
    if let Some(password) = &check.password {
        login = login.set_password(password);
    }
    if !check.tls {
        let address = ConnectionAddr::Tcp(check.host.clone(), check.port);
        return Client::open(address.into_connection_info()?.set_redis_settings(login));
    }
    let address = ConnectionAddr::TcpTls {
        host: check.host.clone(),
        port: check.port,
        insecure: false,
        tls_params: None,
    };
    let root_cert = check.ca_certificate.as_ref().map(|pem| pem.clone().into_bytes());
    Client::build_with_tls(
        address.into_connection_info()?.set_redis_settings(login),
        TlsCertificates {
            client_tls: None,
            root_cert,
        },
    )
}

/// A line of `INFO`; empty where the server has none.
fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).unwrap_or_default()
}

/// A short sentence. The library's texts hold addresses and the server's answers, never what was sent.
fn told(at: &str, error: &redis::RedisError) -> String {
    let text: String = error.to_string().chars().take(200).collect();
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => format!("the cache at {at} refuses the password"),
        _ if error.is_timeout() => format!("the cache at {at} doesn't answer within {} s", CALL.as_secs()),
        _ => format!("the cache at {at} can't be asked: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# Memory\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n";
        assert_eq!(field(info, "maxmemory_policy"), "noeviction");
        assert_eq!(field(info, "maxmemory"), "100");
        assert_eq!(field(info, "policy"), "");
    }
}
