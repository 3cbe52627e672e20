//! What every test needs: servers, a database that sees some of them, and the verdict about one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use accord_crds::recipe::{SessionRow, TokenKey};
use accord_crds::{PodReason, Recipe, Verdict};
use accord_exchange::{Anchors, Canary, Client, Exchange, Limits, Replica, Watch};
use accord_plan::agreement::{Observations, Proof, judge};
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::sync::oneshot;

use crate::fake::{App, Fake, HOSTNAME, PASSWORD, USERNAME, recipe};

/// What the declared database sees, by address; and the sessions in the declared cache, where it can be asked.
#[derive(Clone, Default)]
pub struct Sees(pub BTreeMap<IpAddr, bool>, pub Option<App>);

impl Anchors for Sees {
    fn watch(&self, address: IpAddr) -> BoxFuture<'_, Option<Box<dyn Watch>>> {
        let seen = self.0.get(&address).copied();
        Box::pin(async move { seen.map(|seen| Box::new(Answer(seen)) as Box<dyn Watch>) })
    }

    fn holds<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<bool>> {
        let known = self.knows(key.strip_prefix("session:").unwrap());
        Box::pin(async move { known })
    }

    fn has_row<'a>(&'a self, row: &'a SessionRow, id: &'a str) -> BoxFuture<'a, Option<bool>> {
        assert_eq!((row.table.as_str(), row.column.as_str()), ("sessions", "id"));
        let known = self.knows(id);
        Box::pin(async move { known })
    }
}

impl Sees {
    fn knows(&self, id: &str) -> Option<bool> {
        let store = self.1.as_ref()?;
        Some(store.sessions.lock().unwrap().contains_key(id))
    }
}

struct Answer(bool);

impl Watch for Answer {
    fn seen(self: Box<Self>, until: oneshot::Receiver<()>) -> BoxFuture<'static, Option<bool>> {
        Box::pin(async move {
            let _ = until.await;
            Some(self.0)
        })
    }
}

/// Everything that an exchange borrows. The ring's active key is `k`.
pub struct Bench {
    pub client: Client,
    pub canary: Canary,
    pub recipe: Recipe,
    pub aliases: Vec<String>,
    pub keys: Vec<SecretString>,
    pub sees: Sees,
    pub wrong_password: bool,
    pub change_password: bool,
}

impl Bench {
    pub fn new(sees: &Sees) -> Self {
        let limits = Limits {
            request: Duration::from_millis(1500),
            settle: Duration::from_secs(2),
            ..Limits::default()
        };
        Self {
            client: Client::new(limits).unwrap(),
            canary: Canary {
                username: USERNAME.into(),
                password: PASSWORD.into(),
            },
            recipe: recipe(),
            aliases: Vec::new(),
            keys: vec!["k".into(), "older".into()],
            sees: sees.clone(),
            wrong_password: true,
            change_password: false,
        }
    }

    /// The recipe says that the ring signs tokens.
    pub fn declaring_the_key(mut self) -> Self {
        self.recipe.login.access_token_key = Some(TokenKey::KeyRing);
        self
    }

    pub fn exchange(&self) -> Exchange<'_> {
        Exchange {
            client: &self.client,
            recipe: &self.recipe,
            hostname: HOSTNAME,
            aliases: &self.aliases,
            canary: &self.canary,
            keys: &self.keys,
            anchors: &self.sees,
            wrong_password: self.wrong_password,
            change_password: self.change_password,
        }
    }

    pub async fn observe(&self, subject: &Fake, witness: Option<&Fake>) -> Observations {
        let witness = witness.map(replica);
        self.exchange().pair(&replica(subject), witness.as_ref()).await
    }

    pub async fn verdict(&self, subject: &Fake, witness: Option<&Fake>) -> Proof {
        let seen = self.observe(subject, witness).await;
        let proof = judge(&seen, "c1");
        for secret in [USERNAME, PASSWORD] {
            assert!(!format!("{seen:?}{proof:?}").contains(secret), "{seen:#?}");
        }
        proof
    }
}

pub fn replica(fake: &Fake) -> Replica {
    Replica {
        name: fake.name.clone(),
        address: fake.address,
        tls: false,
    }
}

pub async fn verdict(subject: &Fake, witness: Option<&Fake>, database: &Sees) -> Proof {
    Bench::new(database).verdict(subject, witness).await
}

/// A pair of which the database sees both.
pub async fn pair(subject: App, witness: App) -> (Fake, Fake, Sees) {
    let (subject, witness) = (subject.serve("pod-s", 2).await, witness.serve("pod-w", 3).await);
    let sees = Sees(
        [(subject.address.ip(), true), (witness.address.ip(), true)].into(),
        None,
    );
    (subject, witness, sees)
}

#[track_caller]
pub fn says(proof: &Proof, words: &str) {
    assert!(proof.message.contains(words), "{}", proof.message);
}

#[track_caller]
pub fn is(proof: &Proof, verdict: Verdict, reason: PodReason) {
    assert_eq!(
        (proof.verdict, proof.reason),
        (verdict, reason),
        "{}",
        proof.message
    );
}
