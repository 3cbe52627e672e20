//! Tells news as Kubernetes events (`events.k8s.io/v1`), each once. May create Events, nothing else.
//!
//! Written by hand since kube's recorder counts events of one reason as one, and keeps the first note: the second failed
//! migration would be told with the first one's words.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use accord_crds::AuthService;
use accord_plan::outcome;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource};

use crate::index::Key;
use crate::lock::lock;

/// For so long the same words aren't told again; the API server forgets events after an hour.
const SILENCE: Duration = Duration::from_mins(30);

/// See the module.
pub(crate) struct Events {
    client: Client,
    instance: String,
    told: Mutex<HashMap<Key, Told>>,
}

/// When which words (reason and note) were told.
type Told = HashMap<(String, String), Instant>;

/// One piece of news.
struct News<'a> {
    warning: bool,
    action: &'a str,
    reason: &'a str,
    note: &'a str,
}

impl Events {
    /// `instance` is this copy's name.
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            told: Mutex::default(),
        }
    }

    /// Tells the plan's news.
    pub(crate) async fn tell(&self, key: &Key, service: &AuthService, events: &[outcome::Event]) {
        let regarding = service.object_ref(&());
        for event in events {
            let news = News {
                warning: event.warning,
                action: event.phase.as_str(),
                reason: event.reason.as_str(),
                note: &event.message,
            };
            self.one(key, &regarding, &news).await;
        }
    }

    /// Tells that a person has to do something that the plan can't know of. `regarding` is the service, which may be
    /// one that can't be read.
    pub(crate) async fn warn(&self, key: &Key, regarding: &ObjectReference, reason: &str, note: &str) {
        let news = News {
            warning: true,
            action: "Reconcile",
            reason,
            note,
        };
        self.one(key, regarding, &news).await;
    }

    /// Forgets what was told of a service that is gone.
    pub(crate) fn forget(&self, key: &Key) {
        lock(&self.told).remove(key);
    }

    async fn one(&self, key: &Key, regarding: &ObjectReference, news: &News<'_>) {
        if !self.is_new(key, news, Instant::now()) {
            return;
        }
        let api: Api<Event> = Api::namespaced(self.client.clone(), &key.0);
        if let Err(error) = api
            .create(&PostParams::default(), &self.event(regarding, news))
            .await
        {
            // Events are a courtesy: the status says the same.
            tracing::debug!(namespace = key.0, service = key.1, %error, "an event can't be told");
        }
    }

    fn is_new(&self, key: &Key, news: &News<'_>, now: Instant) -> bool {
        let mut told = lock(&self.told);
        let told = told.entry(key.clone()).or_default();
        told.retain(|_, at| now.duration_since(*at) < SILENCE);
        told.insert((news.reason.to_owned(), news.note.to_owned()), now)
            .is_none()
    }

    fn event(&self, regarding: &ObjectReference, news: &News<'_>) -> Event {
        let now = Timestamp::now();
        let name = regarding.name.as_deref().unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                namespace: regarding.namespace.clone(),
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            action: Some(news.action.to_owned()),
            reason: Some(news.reason.to_owned()),
            // The API server's bound is 1,024 bytes.
            note: Some(news.note.chars().take(500).collect()),
            type_: Some(if news.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(regarding.clone()),
            reporting_controller: Some("accord.dev/operator".to_owned()),
            reporting_instance: Some(self.instance.chars().take(128).collect()),
            ..Event::default()
        }
    }
}
