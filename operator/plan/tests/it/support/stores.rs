//! What the data stores hold: volumes outlive pods, and a ledger is in the database that it describes.

use std::collections::{BTreeMap, BTreeSet};

use accord_plan::Kind;
use accord_plan::observed::{CacheFacts, DatabaseFacts, LedgerRow};

use super::api::Api;
use super::controllers::is_true;

/// One database.
#[derive(Clone, Default)]
pub(crate) struct Database {
    pub(crate) identifier: String,
    pub(crate) ledger: Vec<LedgerRow>,
    /// Kind, name and image of every run that succeeded.
    pub(crate) done: BTreeSet<(String, String, String)>,
}

/// Databases by the UID of their claim, or one that somebody else runs, with a cache.
#[derive(Clone, Default)]
pub(crate) struct Stores {
    pub(crate) databases: BTreeMap<String, Database>,
    pub(crate) external: Option<Database>,
    /// False while data stores answer nobody.
    pub(crate) down: bool,
}

const POSTGRES: &str = "orders-postgres-0";
const CLAIM: &str = "data-orders-postgres-0";

fn claim(api: &Api) -> String {
    let claim = api.get(Kind::PersistentVolumeClaim, CLAIM);
    claim
        .and_then(|c| c["metadata"]["uid"].as_str())
        .unwrap_or_default()
        .to_owned()
}

impl Stores {
    /// What the init container of Postgres does.
    pub(crate) fn initialise(&mut self, api: &Api) -> Result<(), String> {
        let claim = claim(api);
        if self.databases.contains_key(&claim) {
            return Ok(());
        }
        let recorded = api.get(Kind::ConfigMap, "orders-identity");
        if recorded.is_some_and(|c| c["data"]["databaseSystemIdentifier"].is_string()) {
            return Err("accord: the volume is empty; nothing is initialised anew".into());
        }
        let identifier = format!("system-of-{claim}");
        self.databases.insert(
            claim,
            Database {
                identifier,
                ..Database::default()
            },
        );
        Ok(())
    }

    /// The database that answers now.
    pub(crate) fn reachable(&mut self, api: &Api) -> Option<&mut Database> {
        let ready = api
            .get(Kind::Pod, POSTGRES)
            .is_some_and(|p| is_true(p, "ContainersReady"));
        if self.external.is_some() {
            return self.external.as_mut().filter(|_| !self.down);
        }
        let uid = claim(api);
        self.databases.get_mut(&uid).filter(|_| ready && !self.down)
    }

    pub(crate) fn database(&mut self, api: &Api) -> Result<DatabaseFacts, String> {
        let database = self.reachable(api).ok_or("connection refused")?;
        Ok(DatabaseFacts {
            system_identifier: database.identifier.clone(),
            is_empty: false,
            ledger: Some(database.ledger.clone()),
        })
    }

    pub(crate) fn cache(&self, api: &Api) -> Result<CacheFacts, String> {
        let ready = api
            .get(Kind::Pod, "orders-cache-0")
            .is_some_and(|p| is_true(p, "ContainersReady"));
        if (ready || self.external.is_some()) && !self.down {
            Ok(CacheFacts {
                eviction_policy: "noeviction".into(),
            })
        } else {
            Err("connection refused".into())
        }
    }
}
