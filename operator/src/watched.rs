//! Pods of services that are only observed: found by the declared labels, since they carry none of Accord's. One watch for
//! each such service, in its own namespace; it lists and watches, and never writes.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Mutex;

use accord_crds::AuthService;
use accord_crds::observe::Mode;
use accord_plan::{Kind, Object};
use futures::{FutureExt as _, Stream, TryStreamExt as _};
use kube::api::DynamicObject;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
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
    pods: Store<DynamicObject>,
    _task: AbortOnDropHandle<()>,
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
        let pods = watches.get(key).map(|w| w.pods.clone())?;
        drop(watches);
        listed(&pods)
    }

    /// A service is gone, rests, or isn't observed any more.
    pub(crate) fn forget(&self, key: &Key) {
        lock(&self.watches).remove(key);
    }

    fn watch(&self, key: &Key, selector: String) -> Watch {
        let resource = apply::resource(Kind::Pod);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.0, &resource);
        let writer = Writer::new(resource);
        let pods = writer.as_reader();
        let config = watcher::Config::default().labels(&selector);
        let events = reflector(writer, watcher(api, config).default_backoff());
        Watch {
            selector,
            pods,
            _task: AbortOnDropHandle::new(tokio::spawn(follow(events, key.clone(), self.trigger.clone()))),
        }
    }
}

/// `None` until the first list is complete: half a list looks like a smaller fleet.
fn listed(pods: &Store<DynamicObject>) -> Option<Vec<Object>> {
    pods.wait_until_ready().now_or_never()?.ok()?;
    let found = pods.state();
    let mut found: Vec<_> = found
        .iter()
        .map(|pod| apply::object(Kind::Pod, DynamicObject::clone(pod)))
        .collect();
    found.sort_by(|a, b| a.key.name.cmp(&b.key.name));
    Some(found)
}

/// The labels, where a service is observed.
fn selector(service: &AuthService) -> Option<String> {
    let declared = service.spec.selector.as_ref()?;
    let labels = declared.match_labels.iter().map(|(k, v)| format!("{k}={v}"));
    let text = labels.collect::<Vec<_>>().join(",");
    (service.spec.mode == Some(Mode::Observe) && !text.is_empty()).then_some(text)
}

async fn follow(
    events: impl Stream<Item = watcher::Result<Event<DynamicObject>>>,
    key: Key,
    trigger: Trigger,
) {
    let mut events = pin!(events);
    loop {
        match events.try_next().await {
            // Nothing can be seen of a list before its end.
            Ok(Some(Event::Init | Event::InitApply(_))) => {}
            Ok(Some(_)) => trigger.now(key.clone()),
            Ok(None) => return,
            // It begins anew by itself. What was seen before holds meanwhile.
            Err(error) => {
                let (namespace, service) = &key;
                tracing::warn!(namespace, service, %error, "the watch of observed pods broke off");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use serde_json::json;

    use super::*;

    fn pod(name: &str) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "docks"},
        }))
        .unwrap()
    }

    fn names(pods: &Store<DynamicObject>) -> Option<Vec<String>> {
        listed(pods).map(|found| found.into_iter().map(|p| p.key.name).collect())
    }

    #[test]
    fn half_a_list_is_none() {
        let mut writer = Writer::new(apply::resource(Kind::Pod));
        let pods = writer.as_reader();
        let list = |writer: &mut Writer<DynamicObject>, names: &[&str]| {
            writer.apply_watcher_event(&Event::Init);
            for name in names {
                writer.apply_watcher_event(&Event::InitApply(pod(name)));
            }
        };
        list(&mut writer, &["b", "a"]);
        assert_eq!(names(&pods), None);
        writer.apply_watcher_event(&Event::InitDone);
        assert_eq!(names(&pods).unwrap(), ["a", "b"]);
        // It lists anew: what it doesn't show any more is gone, once it is complete.
        list(&mut writer, &["b"]);
        assert_eq!(names(&pods).unwrap(), ["a", "b"]);
        writer.apply_watcher_event(&Event::InitDone);
        assert_eq!(names(&pods).unwrap(), ["b"]);
    }

    /// One pass for a whole list, and one for each change after it.
    #[tokio::test]
    async fn a_change_asks_for_a_pass() {
        let (trigger, asked) = Trigger::new();
        let events = [
            Event::Init,
            Event::InitApply(pod("a")),
            Event::InitApply(pod("b")),
            Event::InitDone,
            Event::Apply(pod("c")),
            Event::Delete(pod("a")),
        ];
        let key = ("docks".to_owned(), "portal".to_owned());
        follow(futures::stream::iter(events.map(Ok)), key.clone(), trigger).await;
        assert_eq!(asked.count().await, 3);
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
