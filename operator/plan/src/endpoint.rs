//! Where database and cache are and who logs in: from the declaration and the Secrets that exist.

use accord_crds::Reason;
use accord_crds::spec::ManagedDatabase;
use url::Url;

use crate::context::Context;
use crate::gate::Gate;
use crate::key::{Kind, Object};
use crate::outcome::{Login, ManagedRoles};

/// A Postgres server and the roles on it.
#[derive(Clone)]
pub struct DatabaseEndpoint {
    /// The server's host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub name: String,
    /// The application's role.
    pub app: Login,
    /// The migration's role.
    pub migrate: Login,
    /// Where migrations and the ledger connect: past any pooler.
    pub direct: (String, u16),
    /// The ledger's role.
    pub ledger: Login,
    /// The roles to make sure of, for managed Postgres.
    pub managed: Option<ManagedRoles>,
    /// The certificate authority, PEM. Without it the URI's own parameters decide.
    pub ca: Option<String>,
    /// Query parameters of an external URI, handed on.
    pub query: Option<String>,
    /// An external server's read replica.
    pub replica: Option<ReplicaEndpoint>,
}

/// A read replica of a Postgres server.
#[derive(Clone)]
pub struct ReplicaEndpoint {
    /// Host name and port.
    pub at: (String, u16),
    /// The database.
    pub name: String,
    /// Who logs in.
    pub login: Login,
    /// Query parameters of its URI, handed on.
    pub query: Option<String>,
}

/// A cache server.
#[derive(Clone)]
pub struct CacheEndpoint {
    /// The server's host name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user, where there is more than the default one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// TLS or not.
    pub tls: bool,
    /// The certificate authority, PEM.
    pub ca: Option<String>,
    /// The logical database.
    pub database: u16,
}

/// The roles of managed Postgres. Two for the application from the first day: a password is rotated by changing over.
pub const ROLES: [&str; 5] = ["superuser", "app_a", "app_b", "migrate", "accord"];

/// The database that a managed server holds.
pub fn managed_name(managed: &ManagedDatabase) -> &str {
    managed.name.as_deref().unwrap_or("app")
}

fn missing(secret: &str, key: &str) -> Gate {
    Gate::closed(
        Reason::SecretNotFound,
        format!("Secret {secret} or its key {key:?} isn't there: create it, Accord goes on by itself."),
    )
}

fn authority(context: &Context) -> Option<String> {
    context
        .observed
        .objects
        .get(Kind::Secret, &context.names.ca())?
        .secret_text("ca.crt")
}

/// The database; `Ok(None)` when none is declared, `Err` while a Secret is missing.
pub fn database(context: &Context) -> Result<Option<DatabaseEndpoint>, Gate> {
    let Some(declared) = &context.spec().database else {
        return Ok(None);
    };
    if let Some(external) = &declared.external {
        return external_database(context, &external.secret_ref.name).map(Some);
    }
    let name = declared.managed.as_ref().map_or("app", managed_name).to_owned();
    let secret = context.names.database_secret();
    let passwords = context.observed.objects.get(Kind::Secret, &secret);
    let login = |key: &str, user: &str| {
        passwords
            .and_then(|s| s.secret_text(key))
            .map(|password| Login {
                user: user.to_owned(),
                password,
            })
            .ok_or_else(|| missing(&secret, key))
    };
    let ca = Some(authority(context).ok_or_else(|| missing(&context.names.ca(), "ca.crt"))?);
    let host = context.host(&context.names.postgres());
    Ok(Some(DatabaseEndpoint {
        direct: (host.clone(), 5432),
        host,
        port: 5432,
        name,
        app: login("app_a", "app_a")?,
        migrate: login("migrate", "migrate")?,
        ledger: login("accord", "accord")?,
        managed: Some(ManagedRoles {
            superuser: login("superuser", "postgres")?,
            members: vec![
                login("app_a", "app_a")?,
                login("app_b", "app_b")?,
                login("migrate", "migrate")?,
            ],
        }),
        ca,
        query: None,
        replica: None,
    }))
}

fn referenced<'a>(context: &Context<'a>, name: &str) -> Result<&'a Object, Gate> {
    context
        .observed
        .referenced
        .get(name)
        .and_then(Option::as_ref)
        .ok_or_else(|| missing(name, "uri"))
}

fn parse(secret: &Object, key: &str, schemes: &[&str]) -> Result<Option<Url>, Gate> {
    let name = &secret.key.name;
    let Some(text) = secret.secret_text(key) else {
        return Ok(None);
    };
    let invalid = |why: &str| {
        Gate::closed(
            Reason::InvalidSpec,
            format!(
                "Secret {name}, key {key:?}: {why} (expected {}://user:password@host:port/…).",
                schemes[0]
            ),
        )
    };
    let url = Url::parse(text.trim()).map_err(|_| invalid("not a URI"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(invalid("another scheme"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("no host"));
    }
    Ok(Some(url))
}

fn login(url: &Url) -> Login {
    Login {
        user: decode(url.username()),
        password: url.password().map(decode).unwrap_or_default(),
    }
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

fn external_database(context: &Context, name: &str) -> Result<DatabaseEndpoint, Gate> {
    const SCHEMES: &[&str] = &["postgres", "postgresql"];
    let secret = referenced(context, name)?;
    let uri = parse(secret, "uri", SCHEMES)?.ok_or_else(|| missing(name, "uri"))?;
    let direct = parse(secret, "directUri", SCHEMES)?.unwrap_or_else(|| uri.clone());
    let address = |u: &Url| {
        (
            u.host_str().unwrap_or_default().to_owned(),
            u.port().unwrap_or(5432),
        )
    };
    let (host, port) = address(&uri);
    Ok(DatabaseEndpoint {
        host,
        port,
        name: decode(direct.path().trim_start_matches('/')),
        app: login(&uri),
        migrate: login(&direct),
        direct: address(&direct),
        ledger: login(&direct),
        managed: None,
        ca: secret.secret_text("ca.crt"),
        query: uri.query().map(str::to_owned),
        replica: parse(secret, "replicaUri", SCHEMES)?.map(|url| ReplicaEndpoint {
            at: address(&url),
            name: decode(url.path().trim_start_matches('/')),
            login: login(&url),
            query: url.query().map(str::to_owned),
        }),
    })
}

/// The cache; `Ok(None)` when none is declared, `Err` while a Secret is missing.
pub fn cache(context: &Context) -> Result<Option<CacheEndpoint>, Gate> {
    let Some(declared) = &context.spec().cache else {
        return Ok(None);
    };
    if let Some(external) = &declared.external {
        let name = &external.secret_ref.name;
        let secret = referenced(context, name)?;
        let url = parse(secret, "uri", &["rediss", "redis"])?.ok_or_else(|| missing(name, "uri"))?;
        let who = login(&url);
        return Ok(Some(CacheEndpoint {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port().unwrap_or(6379),
            user: Some(who.user).filter(|u| !u.is_empty()),
            password: Some(who.password).filter(|p| !p.is_empty()),
            tls: url.scheme() == "rediss",
            ca: secret.secret_text("ca.crt"),
            database: url.path().trim_start_matches('/').parse().unwrap_or(0),
        }));
    }
    let name = context.names.cache_secret();
    let password = context
        .observed
        .objects
        .get(Kind::Secret, &name)
        .and_then(|s| s.secret_text("password"));
    Ok(Some(CacheEndpoint {
        host: context.host(&context.names.cache()),
        port: 6379,
        user: None,
        password: Some(password.ok_or_else(|| missing(&name, "password"))?),
        tls: true,
        ca: Some(authority(context).ok_or_else(|| missing(&context.names.ca(), "ca.crt"))?),
        database: 0,
    }))
}
