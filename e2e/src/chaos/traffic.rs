//! Where users would be sent: the pods that the Service selects and that are ready, as endpoints follow from them. Says
//! for how long there were none, once there had been one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::pod::is_true;

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The Service's selector; none before there is one.
    selector: Option<BTreeMap<String, Value>>,
    /// Labels of each pod that is ready and not on its way out, by its UID.
    ready: BTreeMap<String, BTreeMap<String, Value>>,
    /// Somebody was served.
    begun: bool,
    /// Nobody has to be served any more.
    over: bool,
    empty_since: Option<Instant>,
    longest: Duration,
}

impl Traffic {
    /// A pod, as it is now.
    pub(crate) fn pod(&self, pod: &Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let serves = is_true(pod, "Ready") && pod["metadata"]["deletionTimestamp"].is_null();
        self.change(|state| {
            if serves {
                state.ready.insert(uid, map(&pod["metadata"]["labels"]));
            } else {
                state.ready.remove(&uid);
            }
        });
    }

    /// A pod that is gone.
    pub(crate) fn gone(&self, uid: &str) {
        self.change(|state| drop(state.ready.remove(uid)));
    }

    /// The Service, as it is now.
    pub(crate) fn service(&self, service: Option<&Value>) {
        self.change(|state| state.selector = service.map(|s| map(&s["spec"]["selector"])));
    }

    /// From now on nobody has to be served. For how long nobody was, at most.
    pub(crate) fn end(&self) -> Duration {
        self.change(|state| state.over = true);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).longest
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.look(Instant::now());
    }
}

impl State {
    fn look(&mut self, now: Instant) {
        if let Some(since) = self.empty_since {
            self.longest = self.longest.max(now - since);
        }
        let is_selected = |labels: &BTreeMap<String, Value>| {
            let selector = self.selector.as_ref();
            selector.is_some_and(|s| s.iter().all(|(name, value)| labels.get(name) == Some(value)))
        };
        let is_empty = !self.ready.values().any(is_selected);
        self.begun |= !is_empty;
        let counts = is_empty && self.begun && !self.over;
        self.empty_since = self.empty_since.filter(|_| counts).or(counts.then_some(now));
    }
}

fn map(object: &Value) -> BTreeMap<String, Value> {
    let entries = object.as_object().into_iter().flatten();
    entries
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, revision: &str, ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({"metadata": {"uid": uid, "labels": {"service": "login", "revision": revision}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn selecting(labels: &Value) -> Value {
        json!({"spec": {"selector": labels}})
    }

    #[test]
    fn a_service_without_a_ready_pod_is_seen_once_it_had_one() {
        let traffic = Traffic::default();
        traffic.pod(&pod("a", "1", false));
        traffic.service(Some(&selecting(&json!({"service": "login"}))));
        std::thread::sleep(Duration::from_millis(5));
        traffic.pod(&pod("a", "1", true));
        assert_eq!(traffic.end(), Duration::ZERO, "before the first nobody is missed");

        let traffic = Traffic::default();
        traffic.service(Some(&selecting(&json!({"service": "login", "revision": "1"}))));
        traffic.pod(&pod("a", "1", true));
        traffic.pod(&pod("b", "2", true));
        traffic.gone("a");
        std::thread::sleep(Duration::from_millis(5));
        assert!(traffic.end() >= Duration::from_millis(5), "b isn't selected");
    }

    #[test]
    fn a_pod_on_its_way_out_serves_nobody_and_another_takes_its_place() {
        let traffic = Traffic::default();
        traffic.service(Some(&selecting(&json!({"service": "login"}))));
        traffic.pod(&pod("a", "1", true));
        traffic.pod(&pod("b", "1", true));
        let mut ending = pod("a", "1", true);
        ending["metadata"]["deletionTimestamp"] = "now".into();
        traffic.pod(&ending);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(traffic.end(), Duration::ZERO);
    }
}
