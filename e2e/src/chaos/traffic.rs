//! Where users are sent: the pods that the Service selects and that are ready, as endpoints follow from them. Says
//! for how long there were none, once there had been one.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::app::PORT;
use super::pod::is_true;

/// For so long users are still sent to a pod that is no longer ready: every node has to hear of it first.
const HEARD_LATE: Duration = Duration::from_millis(300);

#[derive(Debug)]
struct Pod {
    labels: BTreeMap<String, Value>,
    address: Option<SocketAddr>,
    /// Since when it isn't ready any more.
    left: Option<Instant>,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The Service's selector; none before there is one.
    selector: Option<BTreeMap<String, Value>>,
    /// The pods that are ready and not on their way out, or were until just now, by their UID.
    pods: BTreeMap<String, Pod>,
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
        let ip = pod["status"]["podIP"]
            .as_str()
            .and_then(|ip| ip.parse::<IpAddr>().ok());
        self.change(|state| {
            if serves {
                let ready = Pod {
                    labels: map(&pod["metadata"]["labels"]),
                    address: ip.map(|ip| SocketAddr::new(ip, PORT)),
                    left: None,
                };
                state.pods.insert(uid, ready);
            } else {
                state.leave(&uid);
            }
        });
    }

    /// A pod that is gone.
    pub(crate) fn gone(&self, uid: &str) {
        self.change(|state| state.leave(uid));
    }

    /// The Service, as it is now.
    pub(crate) fn service(&self, service: Option<&Value>) {
        self.change(|state| state.selector = service.map(|s| map(&s["spec"]["selector"])));
    }

    /// From now on nobody has to be served. For how long nobody was, at most.
    pub(crate) fn end(&self) -> Duration {
        self.change(|state| state.over = true);
        self.state().longest
    }

    /// True once somebody could be served.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().begun
    }

    /// The pods that a new connection to the Service may be sent to now.
    pub(crate) fn endpoints(&self) -> Vec<SocketAddr> {
        let now = Instant::now();
        let state = self.state();
        let is_meant = |pod: &&Pod| {
            let is_known = pod.left.is_none_or(|left| now - left < HEARD_LATE);
            is_known && state.selects(pod)
        };
        let meant = state.pods.values().filter(is_meant);
        meant.filter_map(|pod| pod.address).collect()
    }

    /// False for a pod that was taken out of the Service, whether all have heard of it or not.
    pub(crate) fn is_behind(&self, address: SocketAddr) -> bool {
        let state = self.state();
        let mut pods = state.pods.values();
        pods.any(|pod| pod.address == Some(address) && pod.left.is_none() && state.selects(pod))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.look(Instant::now());
    }
}

impl State {
    fn leave(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.left.get_or_insert_with(Instant::now);
        }
    }

    fn selects(&self, pod: &Pod) -> bool {
        let selector = self.selector.as_ref();
        selector.is_some_and(|s| s.iter().all(|(name, value)| pod.labels.get(name) == Some(value)))
    }

    fn look(&mut self, now: Instant) {
        if let Some(since) = self.empty_since {
            self.longest = self.longest.max(now - since);
        }
        self.pods
            .retain(|_, pod| pod.left.is_none_or(|left| now - left < HEARD_LATE));
        let mut pods = self.pods.values();
        let is_empty = !pods.any(|pod| pod.left.is_none() && self.selects(pod));
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
impl Traffic {
    /// To these addresses, and to others that were taken out and that nobody will have heard of while a test goes on.
    pub(super) fn to(ready: &[SocketAddr], left: &[SocketAddr]) -> Self {
        let traffic = Self::default();
        let pod = |(address, left): (&SocketAddr, Option<Instant>)| {
            let (labels, address) = (BTreeMap::new(), Some(*address));
            let pod = Pod {
                labels,
                address,
                left,
            };
            (format!("{address:?}"), pod)
        };
        let gone = left
            .iter()
            .map(|address| (address, Some(Instant::now() + Duration::from_hours(1))));
        let all = ready.iter().map(|address| (address, None)).chain(gone);
        traffic.change(|state| {
            state.selector = Some(BTreeMap::new());
            state.pods.extend(all.map(pod));
        });
        traffic
    }
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

    #[test]
    fn users_are_sent_to_what_is_selected_and_ready_and_a_little_longer_to_what_was() {
        let traffic = Traffic::default();
        let at = |uid: &str, revision: &str, ip: &str| {
            let mut pod = pod(uid, revision, true);
            pod["status"]["podIP"] = ip.into();
            pod
        };
        traffic.pod(&at("a", "1", "127.0.0.1"));
        traffic.pod(&at("b", "1", "127.0.0.2"));
        traffic.pod(&at("c", "2", "127.0.0.3"));
        assert!(traffic.endpoints().is_empty() && !traffic.has_begun());
        traffic.service(Some(&selecting(&json!({"revision": "1"}))));
        let [a, b, c] = [1, 2, 3].map(|n| SocketAddr::from(([127, 0, 0, n], PORT)));
        assert_eq!(traffic.endpoints(), [a, b]);
        assert!(traffic.has_begun() && traffic.is_behind(a) && !traffic.is_behind(c));
        let mut unready = at("a", "1", "127.0.0.1");
        unready["status"]["conditions"] = json!([]);
        let left = Instant::now();
        traffic.pod(&unready);
        traffic.gone("a");
        let meant = traffic.endpoints();
        assert!(
            meant == [a, b] || left.elapsed() >= HEARD_LATE,
            "nobody has heard of it"
        );
        assert!(!traffic.is_behind(a));
        let begun = Instant::now();
        while traffic.endpoints() != [b] {
            assert!(begun.elapsed() < Duration::from_secs(10), "everybody has by now");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
