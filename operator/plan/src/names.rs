//! The names of a service's objects, in one place. A service's name has at most 40 characters (admission), a suffix at
//! most 21: a `StatefulSet` puts 11 more on its name for a label of at most 63.

use crate::digest;

/// The longest name of a service.
pub const SERVICE_LIMIT: usize = 40;

/// Names of the objects of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(String);

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident = $suffix:literal),* $(,)?) => {
        impl Names {$(
            $(#[$doc])*
            pub fn $name(&self) -> String {
                const { assert!($suffix.len() <= 21) };
                format!("{}{}", self.0, $suffix)
            }
        )*}
    };
}

fixed! {
    /// Deployment, Service and PDB of the servers.
    server = "",
    /// `StatefulSet` and Service of managed Postgres.
    postgres = "-postgres",
    /// The volume claim of managed Postgres.
    postgres_pod = "-postgres-0",
    /// `StatefulSet` and Service of the managed cache.
    cache = "-cache",
    /// The pod of the managed cache.
    cache_pod = "-cache-0",
    /// The certificate authority.
    ca = "-ca",
    /// Postgres' certificate.
    postgres_tls = "-postgres-tls",
    /// The cache's certificate.
    cache_tls = "-cache-tls",
    /// The key ring.
    keys = "-keys",
    /// Passwords of the database's roles.
    database_secret = "-database",
    /// The cache's password.
    cache_secret = "-cache-auth",
    /// The cache's configuration.
    cache_config = "-cache-config",
    /// The canary's name and password.
    canary = "-canary",
    /// What names are made with.
    internal = "-internal",
    /// Recorded identities.
    identity = "-identity",
}

impl Names {
    /// Names for a service.
    pub fn new(service: &str) -> Self {
        Self(service.to_owned())
    }

    /// The service's own name.
    pub fn service(&self) -> &str {
        &self.0
    }

    /// The volume claim of managed Postgres.
    pub fn postgres_claim(&self) -> String {
        format!("data-{}", self.postgres_pod())
    }

    /// The volume claim of the managed cache.
    pub fn cache_claim(&self) -> String {
        format!("data-{}", self.cache_pod())
    }

    /// The rendered bindings with this digest.
    pub fn binding(&self, digest: &str) -> String {
        format!("{}-binding-{digest}", self.0)
    }

    /// The Job of a migration.
    pub fn migration_job(&self, revision: &str) -> String {
        format!("{}-migrate-{revision}", self.0)
    }

    /// The Job of a seed: the seed's own name may be long, so it goes into a digest.
    pub fn seed_job(&self, seed: &str, revision: &str) -> String {
        format!(
            "{}-seed-{}",
            self.0,
            digest::short(format!("{seed}/{revision}").as_bytes())
        )
    }

    /// The Job that provisions the canary.
    pub fn canary_job(&self, revision: &str) -> String {
        format!("{}-canary-{revision}", self.0)
    }

    /// The Job that asks an image what its servers would use.
    pub fn preflight_job(&self, revision: &str) -> String {
        format!("{}-preflight-{revision}", self.0)
    }

    /// The `ControllerRevision` of a released declaration.
    pub fn revision(&self, revision: &str) -> String {
        format!("{}-{revision}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_exceeds_a_label() {
        let names = Names::new(&"n".repeat(SERVICE_LIMIT));
        let seed = names.seed_job(&"s".repeat(40), "0123456789");
        for name in [
            names.postgres(),
            names.cache_config(),
            names.migration_job("0123456789"),
            names.preflight_job("0123456789"),
            names.binding("0123456789"),
            seed,
        ] {
            assert!(name.len() <= 63, "{name}");
        }
        // What a StatefulSet makes of its name for the label controller-revision-hash.
        assert!(names.postgres().len() + 11 <= 63);
    }
}
