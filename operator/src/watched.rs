//! Pods of services that are only observed: found by the declared labels, since they carry none of Accord's. One watch for
//! each such service, in its own namespace; it lists and watches, and never writes.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use accord_crds::AuthService;
use accord_crds::observe::Mode;
use accord_plan::{Kind, Object};
use futures::TryStreamExt as _;
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio_util::task::AbortOnDropHandle;

use crate::apply;
use crate::index::Key;
use crate::lock::lock;
use crate::queue::Trigger;

/// See the module.
pub(crate) struct Watched {
    client: Client,
    trigger: Trigger,
    watches: Mutex<HashMap<Key, Watch>>,
}

struct Watch {
    selector: String,
    pods: Arc<Mutex<Pods>>,
    _task: AbortOnDropHandle<()>,
}

/// What one watch has shown.
#[derive(Default)]
struct Pods {
    /// `None` until the first list is complete.
    known: Option<BTreeMap<String, Object>>,
    /// A list under way: what it doesn't show is gone.
    listing: BTreeMap<String, Object>,
}

impl Watched {
    pub(crate) fn new(client: Client, trigger: Trigger) -> Self {
        Self {
            client,
            trigger,
            watches: Mutex::default(),
        }
    }

    /// The pods that a declaration means; `None` where none are, or where they haven't been listed yet.
    pub(crate) fn pods(&self, key: &Key, service: &AuthService) -> Option<Vec<Object>> {
        let Some(selector) = selector(service) else {
            self.forget(key);
            return None;
        };
        let mut watches = lock(&self.watches);
        if watches.get(key).is_none_or(|w| w.selector != selector) {
            watches.insert(key.clone(), self.watch(key, selector));
        }
        let pods = watches.get(key).map(|w| Arc::clone(&w.pods))?;
        drop(watches);
        lock(&pods).known.as_ref().map(|k| k.values().cloned().collect())
    }

    /// A service is gone, rests, or isn't observed any more.
    pub(crate) fn forget(&self, key: &Key) {
        lock(&self.watches).remove(key);
    }

    fn watch(&self, key: &Key, selector: String) -> Watch {
        let pods = Arc::new(Mutex::new(Pods::default()));
        let resource = apply::resource(Kind::Pod);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.0, &resource);
        let config = watcher::Config::default().labels(&selector);
        let task = follow(api, config, Arc::clone(&pods), key.clone(), self.trigger.clone());
        Watch {
            selector,
            pods,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }
}

/// The labels, where a service is observed.
fn selector(service: &AuthService) -> Option<String> {
    let declared = service.spec.selector.as_ref()?;
    let labels = declared.match_labels.iter().map(|(k, v)| format!("{k}={v}"));
    let text = labels.collect::<Vec<_>>().join(",");
    (service.spec.mode == Some(Mode::Observe) && !text.is_empty()).then_some(text)
}

async fn follow(
    api: Api<DynamicObject>,
    config: watcher::Config,
    pods: Arc<Mutex<Pods>>,
    key: Key,
    trigger: Trigger,
) {
    let mut events = pin!(watcher(api, config).default_backoff());
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if lock(&pods).take_in(event) {
                    trigger.now(key.clone());
                }
            }
            Ok(None) => return,
            // It begins anew by itself. What was seen before holds meanwhile.
            Err(error) => {
                let (namespace, service) = &key;
                tracing::warn!(namespace, service, %error, "the watch of observed pods broke off");
            }
        }
    }
}

impl Pods {
    /// True when the pods are other ones than before.
    fn take_in(&mut self, event: Event<DynamicObject>) -> bool {
        match event {
            Event::Init => {
                self.listing.clear();
                false
            }
            Event::InitApply(found) => {
                let pod = apply::object(Kind::Pod, found);
                self.listing.insert(pod.key.name.clone(), pod);
                false
            }
            Event::InitDone => {
                self.known = Some(std::mem::take(&mut self.listing));
                true
            }
            Event::Apply(found) => {
                let pod = apply::object(Kind::Pod, found);
                let known = self.known.get_or_insert_default();
                known.insert(pod.key.name.clone(), pod);
                true
            }
            Event::Delete(found) => {
                let pod = apply::object(Kind::Pod, found);
                self.known
                    .as_mut()
                    .is_some_and(|k| k.remove(&pod.key.name).is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "docks"},
        }))
        .unwrap()
    }

    fn names(pods: &Pods) -> Option<Vec<&str>> {
        pods.known
            .as_ref()
            .map(|k| k.keys().map(String::as_str).collect())
    }

    #[test]
    fn half_a_list_is_none() {
        let mut pods = Pods::default();
        assert!(!pods.take_in(Event::Init));
        assert!(!pods.take_in(Event::InitApply(pod("a"))));
        assert_eq!(names(&pods), None, "half a list looks like a smaller fleet");
        assert!(!pods.take_in(Event::InitApply(pod("b"))));
        assert!(pods.take_in(Event::InitDone));
        assert_eq!(names(&pods), Some(vec!["a", "b"]));
        // It lists anew: what it doesn't show any more is gone, once it is complete.
        assert!(!pods.take_in(Event::Init));
        assert!(!pods.take_in(Event::InitApply(pod("b"))));
        assert_eq!(names(&pods), Some(vec!["a", "b"]));
        assert!(pods.take_in(Event::InitDone));
        assert_eq!(names(&pods), Some(vec!["b"]));
        assert!(pods.take_in(Event::Apply(pod("c"))));
        assert!(pods.take_in(Event::Delete(pod("b"))));
        assert!(!pods.take_in(Event::Delete(pod("b"))));
        assert_eq!(names(&pods), Some(vec!["c"]));
    }

    #[test]
    fn only_what_is_observed_is_looked_for() {
        let service = |mode: &str| {
            let spec = json!({
                "mode": mode, "framework": "Django", "hostnames": ["portal.example.com"],
                "selector": {"matchLabels": {"app": "portal", "tier": "web"}},
            });
            AuthService::new("portal", serde_json::from_value(spec).unwrap())
        };
        assert_eq!(
            selector(&service("Observe")).as_deref(),
            Some("app=portal,tier=web")
        );
        assert_eq!(selector(&service("Manage")), None);
        assert_eq!(selector(&service("Moon")), None);
    }
}
