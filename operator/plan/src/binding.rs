//! Bindings: the only way that values reach a container. The rendered values form one immutable Secret per content.

use std::collections::BTreeMap;

use accord_crds::AuthServiceSpec;
use accord_crds::spec::{Binding, BindingSource, UriFormat};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::context::Context;
use crate::endpoint::{CacheEndpoint, DatabaseEndpoint};
use crate::hosts;
use crate::outcome::Login;

/// Where files of bindings are mounted.
pub const MOUNT: &str = "/etc/accord";
/// The certificate authority's file, always there when database or cache have one.
pub const CA_FILE: &str = "ca.crt";
/// In a Job's binding: the ledger's URI, for the runner only.
pub const RUNNER_KEY: &str = "accord-runner-uri";
/// In every binding: the ring, so that a lost one can be restored. It is not handed to containers.
pub const RING_KEYS: [&str; 2] = ["accord-ring-active", "accord-ring-fallbacks"];

/// Who the bindings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The servers: the application's role.
    Server,
    /// Jobs: the migration's role, past any pooler, and the ledger's URI for the runner.
    Job,
}

/// What the values are made from.
pub struct Sources {
    /// The database, if one is declared.
    pub database: Option<DatabaseEndpoint>,
    /// The cache, if one is declared.
    pub cache: Option<CacheEndpoint>,
    /// The key that signs.
    pub active: String,
    /// Keys that still verify.
    pub fallbacks: String,
}

/// The rendered bindings of one audience.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The Secret's data.
    pub data: BTreeMap<String, String>,
    /// Environment variable → key in the Secret.
    pub env: Vec<(String, String)>,
    /// Files under [`MOUNT`]: key in the Secret, which is the file's name.
    pub files: Vec<String>,
    /// Plain environment that goes with the bindings, not secret.
    pub plain: Vec<(String, String)>,
}

/// The effective table: the preset's, with the declared ones in place of those of the same name. What a preset makes of
/// the hostnames is a convention: it gives way to a variable of that name in `server.env`.
pub fn table(spec: &AuthServiceSpec) -> Vec<Binding> {
    let slot = |b: &Binding| (b.env.clone(), b.file.clone());
    let mut table: Vec<Binding> = Context::preset(spec)
        .bindings
        .into_iter()
        .filter(|b| available(spec, b.source))
        .filter(|b| !spec.bindings.iter().any(|own| slot(own) == slot(b)))
        .filter(|b| !(is_convention(b.source) && is_in_env(spec, b)))
        .collect();
    table.extend(spec.bindings.iter().cloned());
    table
}

/// True for what an application may want to have another way: which pages may call it, how far a cookie goes.
fn is_convention(source: BindingSource) -> bool {
    use BindingSource as S;
    matches!(source, S::Origin | S::Origins | S::CookieDomain | S::Environment)
}

fn is_in_env(spec: &AuthServiceSpec, binding: &Binding) -> bool {
    let mut declared = spec.server.iter().flat_map(|s| &s.env);
    declared.any(|variable| Some(&variable.name) == binding.env.as_ref())
}

/// True when the declaration has what a source needs.
pub fn available(spec: &AuthServiceSpec, source: BindingSource) -> bool {
    use BindingSource as S;
    match source {
        S::DatabaseUri
        | S::DatabaseReplicaUri
        | S::DatabaseHost
        | S::DatabasePort
        | S::DatabaseName
        | S::DatabaseUser
        | S::DatabasePassword => spec.database.is_some(),
        S::CacheUri | S::CacheHost | S::CachePort | S::CachePassword => spec.cache.is_some(),
        S::Ca => spec.database.is_some() || spec.cache.is_some(),
        S::KeysActive
        | S::KeysFallbacks
        | S::Hostname
        | S::Hostnames
        | S::Origins
        | S::Origin
        | S::CookieDomain
        | S::Environment => true,
    }
}

/// Renders the table for an audience.
pub fn render(spec: &AuthServiceSpec, sources: &Sources, audience: Audience) -> Rendered {
    let mut out = Rendered {
        data: BTreeMap::new(),
        env: Vec::new(),
        files: Vec::new(),
        plain: Vec::new(),
    };
    for binding in table(spec) {
        let value = value(spec, sources, audience, &binding);
        if let Some(name) = binding.env {
            out.data.insert(name.clone(), value);
            out.env.push((name.clone(), name));
        } else if let Some(file) = binding.file {
            out.data.insert(file.clone(), value);
            out.files.push(file);
        }
    }
    if let Some(ca) = authority(sources) {
        out.data.insert(CA_FILE.into(), ca);
        if !out.files.iter().any(|f| f == CA_FILE) {
            out.files.push(CA_FILE.into());
        }
    }
    if let Some(database) = sources.database.as_ref().filter(|d| d.ca.is_some()) {
        // For drivers that take no TLS parameters in the URI.
        out.plain.push(("PGSSLMODE".into(), "verify-full".into()));
        out.plain
            .push(("PGSSLROOTCERT".into(), format!("{MOUNT}/{CA_FILE}")));
        debug_assert!(!database.host.is_empty());
    }
    if audience == Audience::Job
        && let Some(database) = &sources.database
    {
        out.data
            .insert(RUNNER_KEY.into(), direct_uri(database, &database.ledger));
    }
    out.data.insert(RING_KEYS[0].into(), sources.active.clone());
    out.data.insert(RING_KEYS[1].into(), sources.fallbacks.clone());
    out
}

/// The authorities of database and cache, in one file: one of the two may be somebody else's.
fn authority(sources: &Sources) -> Option<String> {
    let database = sources.database.as_ref().and_then(|d| d.ca.as_deref());
    let cache = sources.cache.as_ref().and_then(|c| c.ca.as_deref());
    match (database, cache) {
        (Some(database), Some(cache)) if database.trim() != cache.trim() => {
            Some(format!("{}\n{cache}", database.trim_end()))
        }
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// A value from the database, the role that logs in, and host and port.
type FromDatabase<'a> = dyn Fn(&DatabaseEndpoint, &Login, (&str, u16)) -> String + 'a;

fn value(spec: &AuthServiceSpec, sources: &Sources, audience: Audience, binding: &Binding) -> String {
    use BindingSource as S;
    let database = |f: &FromDatabase| {
        sources
            .database
            .as_ref()
            .map_or_else(String::new, |d| match audience {
                Audience::Server => f(d, &d.app, (&d.host, d.port)),
                Audience::Job => f(d, &d.migrate, (&d.direct.0, d.direct.1)),
            })
    };
    let cache = |f: &dyn Fn(&CacheEndpoint) -> String| sources.cache.as_ref().map_or_else(String::new, f);
    match binding.source {
        S::DatabaseUri => database(&|d, who, at| uri(d, who, at, binding.format.unwrap_or_default())),
        S::DatabaseReplicaUri => {
            let format = binding.format.unwrap_or_default();
            let there = sources.database.as_ref().filter(|_| audience == Audience::Server);
            there
                .and_then(|d| replica_uri(d, format))
                .unwrap_or_else(|| database(&|d, who, at| uri(d, who, at, format)))
        }
        S::DatabaseHost => database(&|_, _, at| at.0.to_owned()),
        S::DatabasePort => database(&|_, _, at| at.1.to_string()),
        S::DatabaseName => database(&|d, _, _| d.name.clone()),
        S::DatabaseUser => database(&|_, who, _| who.user.clone()),
        S::DatabasePassword => database(&|_, who, _| who.password.clone()),
        S::CacheUri => cache(&cache_uri),
        S::CacheHost => cache(&|c| c.host.clone()),
        S::CachePort => cache(&|c| c.port.to_string()),
        S::CachePassword => cache(&|c| c.password.clone().unwrap_or_default()),
        S::KeysActive => sources.active.clone(),
        S::KeysFallbacks => sources.fallbacks.clone(),
        S::Hostname => spec.hostnames.first().cloned().unwrap_or_default(),
        S::Hostnames => spec.hostnames.join(","),
        S::Origins => hosts::origins(spec),
        S::Origin => hosts::origin(spec),
        S::CookieDomain => hosts::cookie_domain(&spec.hostnames).to_owned(),
        S::Environment => spec.environment.unwrap_or_default().value().to_owned(),
        S::Ca => authority(sources).unwrap_or_default(),
    }
}

/// What may stand unescaped in user and password (RFC 3986, unreserved).
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn escape(text: &str) -> String {
    utf8_percent_encode(text, USERINFO).to_string()
}

fn uri(d: &DatabaseEndpoint, who: &Login, (host, port): (&str, u16), format: UriFormat) -> String {
    let tls = match (&d.ca, &d.query) {
        (Some(_), _) => format!("?sslmode=verify-full&sslrootcert={MOUNT}/{CA_FILE}"),
        (None, Some(query)) => format!("?{query}"),
        (None, None) => String::new(),
    };
    let userinfo = format!("{}:{}", escape(&who.user), escape(&who.password));
    let name = escape(&d.name);
    match format {
        UriFormat::Libpq => format!("postgres://{userinfo}@{host}:{port}/{name}{tls}"),
        UriFormat::Psycopg => format!("postgresql+psycopg://{userinfo}@{host}:{port}/{name}{tls}"),
        UriFormat::Asyncpg => format!("postgresql+asyncpg://{userinfo}@{host}:{port}/{name}"),
        UriFormat::Jdbc => format!("jdbc:postgresql://{host}:{port}/{name}{tls}"),
    }
}

fn replica_uri(d: &DatabaseEndpoint, format: UriFormat) -> Option<String> {
    let replica = d.replica.as_ref()?;
    let there = DatabaseEndpoint {
        name: replica.name.clone(),
        query: replica.query.clone(),
        ..d.clone()
    };
    let (host, port) = &replica.at;
    Some(uri(&there, &replica.login, (host, *port), format))
}

fn direct_uri(d: &DatabaseEndpoint, who: &Login) -> String {
    uri(d, who, (&d.direct.0, d.direct.1), UriFormat::Libpq)
}

fn cache_uri(c: &CacheEndpoint) -> String {
    let scheme = if c.tls { "rediss" } else { "redis" };
    let userinfo = match (&c.user, &c.password) {
        (user, Some(password)) => format!(
            "{}:{}@",
            escape(user.as_deref().unwrap_or_default()),
            escape(password)
        ),
        (Some(user), None) => format!("{}@", escape(user)),
        (None, None) => String::new(),
    };
    let tls = if c.ca.is_some() {
        format!("?ssl_cert_reqs=required&ssl_ca_certs={MOUNT}/{CA_FILE}")
    } else {
        String::new()
    };
    format!("{scheme}://{userinfo}{}:{}/{}{tls}", c.host, c.port, c.database)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::ReplicaEndpoint;

    fn database() -> DatabaseEndpoint {
        let who = |user: &str| Login {
            user: user.into(),
            password: "p@ss/word".into(),
        };
        DatabaseEndpoint {
            host: "db.shop.svc".into(),
            port: 5432,
            name: "app".into(),
            app: who("app_a"),
            migrate: who("migrate"),
            direct: ("db.shop.svc".into(), 5432),
            ledger: who("accord"),
            managed: None,
            ca: Some("PEM".into()),
            query: None,
            replica: None,
        }
    }

    #[test]
    fn a_server_reads_from_the_replica_where_there_is_one_and_a_job_never() {
        let bound = |database: DatabaseEndpoint, audience: Audience| -> String {
            let spec: AuthServiceSpec = serde_json::from_value(serde_json::json!({
                "framework": "Custom", "image": "i", "hostnames": ["h"],
                "database": {"external": {"secretRef": {"name": "s"}}},
                "bindings": [{"env": "REPLICA", "source": "database.replicaUri"}]
            }))
            .unwrap();
            let sources = Sources {
                database: Some(database),
                cache: None,
                active: String::new(),
                fallbacks: String::new(),
            };
            render(&spec, &sources, audience).data["REPLICA"].clone()
        };
        let mut with = database();
        with.replica = Some(ReplicaEndpoint {
            at: ("replica.shop.svc".into(), 5433),
            name: "app".into(),
            login: Login {
                user: "reader".into(),
                password: "p".into(),
            },
            query: None,
        });
        assert!(
            bound(with.clone(), Audience::Server)
                .starts_with("postgres://reader:p@replica.shop.svc:5433/app?sslmode=")
        );
        assert!(bound(with, Audience::Job).starts_with("postgres://migrate:"));
        assert!(bound(database(), Audience::Server).starts_with("postgres://app_a:"));
    }

    #[test]
    fn the_authorities_of_two_owners_are_in_one_file() {
        let cache = |ca: &str| CacheEndpoint {
            host: "cache.shop.svc".into(),
            port: 6379,
            user: None,
            password: None,
            tls: true,
            ca: Some(ca.into()),
            database: 0,
        };
        let file = |ca: &str| {
            authority(&Sources {
                database: Some(database()),
                cache: Some(cache(ca)),
                active: String::new(),
                fallbacks: String::new(),
            })
        };
        assert_eq!(file("PEM\n").as_deref(), Some("PEM"));
        assert_eq!(file("ANOTHER").as_deref(), Some("PEM\nANOTHER"));
    }

    #[test]
    fn each_driver_gets_its_own_form() {
        let d = database();
        let form = |format| uri(&d, &d.app, ("db.shop.svc", 5432), format);
        assert_eq!(
            form(UriFormat::Libpq),
            "postgres://app_a:p%40ss%2Fword@db.shop.svc:5432/app?sslmode=verify-full&sslrootcert=/etc/accord/ca.crt"
        );
        assert!(form(UriFormat::Psycopg).starts_with("postgresql+psycopg://app_a:"));
        assert_eq!(
            form(UriFormat::Asyncpg),
            "postgresql+asyncpg://app_a:p%40ss%2Fword@db.shop.svc:5432/app"
        );
        assert!(
            !form(UriFormat::Jdbc).contains("p%40ss"),
            "JDBC takes the password apart"
        );
    }
}
