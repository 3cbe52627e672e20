//! Questions to the data stores. Each service has one asker for its database and one for its cache: it asks when the
//! plan's question changes, again and again while the answer is an error, and otherwise rests.
//!
//! May touch the data stores, never the cluster. Answers hold no secret.

pub(crate) mod cache;
mod database;
mod scram;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accord_plan::observed::{Answer, CacheFacts, DatabaseFacts};
use accord_plan::outcome::{CacheCheck, Checks as Questions, DatabaseCheck};
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::index::Key;
use crate::lock::lock;

/// How long one answer may take, with all its steps.
const LIMIT: Duration = Duration::from_secs(30);

/// A question to a data store.
trait Question: Clone + PartialEq + Send + Sync + 'static {
    /// What is learned.
    type Facts: Clone + PartialEq + Send + Sync + 'static;
    /// Changes when there is a reason to ask again.
    fn trigger(&self) -> &str;
    /// Asks; the error is a sentence without secrets.
    fn ask(&self) -> impl Future<Output = Result<Self::Facts, String>> + Send;
}

impl Question for DatabaseCheck {
    type Facts = DatabaseFacts;
    fn trigger(&self) -> &str {
        &self.trigger
    }
    async fn ask(&self) -> Result<DatabaseFacts, String> {
        database::ask(self).await.map_err(|e| e.to_string())
    }
}

impl Question for CacheCheck {
    type Facts = CacheFacts;
    fn trigger(&self) -> &str {
        &self.trigger
    }
    async fn ask(&self) -> Result<CacheFacts, String> {
        cache::ask(self).await
    }
}

/// The askers of all services.
pub(crate) struct Checks {
    databases: Desk<DatabaseCheck>,
    caches: Desk<CacheCheck>,
}

impl Checks {
    /// `notify` is called with a service's key when one of its answers has become another one.
    pub(crate) fn new(notify: impl Fn(Key) + Send + Sync + 'static) -> Self {
        let notify: Notify = Arc::new(notify);
        Self {
            databases: Desk::new(notify.clone()),
            caches: Desk::new(notify),
        }
    }

    /// Sets the questions; `None` ends the asking.
    pub(crate) fn set(&self, key: &Key, questions: Questions) {
        let Questions { database, cache } = questions;
        self.databases.set(key, database);
        self.caches.set(key, cache);
    }

    /// The last answers.
    pub(crate) fn answers(&self, key: &Key) -> (Option<Answer<DatabaseFacts>>, Option<Answer<CacheFacts>>) {
        (self.databases.answer(key), self.caches.answer(key))
    }
}

type Notify = Arc<dyn Fn(Key) + Send + Sync>;
type Slot<F> = Arc<Mutex<Option<Answer<F>>>>;

struct Desk<Q: Question> {
    askers: Mutex<HashMap<Key, Asker<Q>>>,
    notify: Notify,
}

struct Asker<Q: Question> {
    question: watch::Sender<Q>,
    answer: Slot<Q::Facts>,
    task: JoinHandle<()>,
}

impl<Q: Question> Drop for Asker<Q> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<Q: Question> Desk<Q> {
    fn new(notify: Notify) -> Self {
        Self {
            askers: Mutex::default(),
            notify,
        }
    }

    fn set(&self, key: &Key, question: Option<Q>) {
        let mut askers = lock(&self.askers);
        let Some(question) = question else {
            askers.remove(key);
            return;
        };
        if let Some(asker) = askers.get(key) {
            asker.question.send_if_modified(|old| {
                let differs = *old != question;
                *old = question;
                differs
            });
            return;
        }
        let (sender, receiver) = watch::channel(question);
        let answer = Slot::default();
        let (key, notify) = (key.clone(), self.notify.clone());
        let tell = {
            let key = key.clone();
            move || notify(key.clone())
        };
        let task = tokio::spawn(go_on_asking(receiver, answer.clone(), tell));
        askers.insert(
            key,
            Asker {
                question: sender,
                answer,
                task,
            },
        );
    }

    fn answer(&self, key: &Key) -> Option<Answer<Q::Facts>> {
        let slot = lock(&self.askers).get(key)?.answer.clone();
        lock(&slot).clone()
    }
}

async fn go_on_asking<Q: Question>(mut questions: watch::Receiver<Q>, slot: Slot<Q::Facts>, tell: impl Fn()) {
    let fresh = || {
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_secs(1))
            .with_max_delay(Duration::from_secs(15))
            .with_jitter()
            .without_max_times()
            .build()
    };
    let mut delays = fresh();
    loop {
        let question = questions.borrow_and_update().clone();
        let facts = tokio::select! {
            facts = timeout(LIMIT, question.ask()) => {
                facts.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
            }
            // A new question: the answer to the old one would count as none.
            changed = questions.changed() => match changed {
                Ok(()) => { delays = fresh(); continue }
                Err(_) => return,
            },
        };
        let wait = if facts.is_ok() { None } else { delays.next() };
        let answer = Answer {
            trigger: question.trigger().to_owned(),
            facts,
        };
        let differs = {
            let mut slot = lock(&slot);
            let differs = slot.as_ref() != Some(&answer);
            *slot = Some(answer);
            differs
        };
        if differs {
            tell();
        }
        let pause = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            changed = questions.changed() => match changed {
                Ok(()) => delays = fresh(),
                Err(_) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers with an error until it has been asked `good_after` times.
    #[derive(Clone)]
    struct Fake {
        trigger: &'static str,
        asked: Arc<AtomicUsize>,
        good_after: usize,
    }

    impl PartialEq for Fake {
        fn eq(&self, other: &Self) -> bool {
            self.trigger == other.trigger
        }
    }

    impl Question for Fake {
        type Facts = usize;
        fn trigger(&self) -> &str {
            self.trigger
        }
        async fn ask(&self) -> Result<usize, String> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            if asked > self.good_after {
                Ok(asked)
            } else {
                Err("not yet".into())
            }
        }
    }

    struct Bench {
        desk: Desk<Fake>,
        told: Arc<AtomicUsize>,
        asked: Arc<AtomicUsize>,
    }

    fn bench() -> Bench {
        let told = Arc::new(AtomicUsize::new(0));
        let counter = told.clone();
        let desk = Desk::new(Arc::new(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        Bench {
            desk,
            told,
            asked: Arc::default(),
        }
    }

    fn key() -> Key {
        ("docks".into(), "harbour".into())
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_asked_again_and_told_once_and_a_good_answer_rests() {
        let bench = bench();
        let fake = Fake {
            trigger: "a",
            asked: bench.asked.clone(),
            good_after: 3,
        };
        bench.desk.set(&key(), Some(fake.clone()));
        sleep(Duration::from_mins(5)).await;
        assert_eq!(
            bench.asked.load(Ordering::SeqCst),
            4,
            "three errors, one good answer, then rest"
        );
        assert_eq!(
            bench.told.load(Ordering::SeqCst),
            2,
            "the error and the good answer"
        );
        bench.desk.set(&key(), Some(fake));
        sleep(Duration::from_mins(5)).await;
        assert_eq!(bench.asked.load(Ordering::SeqCst), 4, "the same question");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_trigger_is_asked_and_its_answer_names_it() {
        let bench = bench();
        let fake = |trigger| Fake {
            trigger,
            asked: bench.asked.clone(),
            good_after: 0,
        };
        bench.desk.set(&key(), Some(fake("a")));
        sleep(Duration::from_secs(1)).await;
        bench.desk.set(&key(), Some(fake("b")));
        sleep(Duration::from_secs(1)).await;
        let answer = bench.desk.answer(&key()).unwrap();
        assert_eq!((answer.trigger.as_str(), answer.facts), ("b", Ok(2)));
        bench.desk.set(&key(), None);
        assert!(bench.desk.answer(&key()).is_none());
    }
}
