//! What is known of the cluster, by service: a pure index that watches feed and reconcile reads. No I/O.
//!
//! It joins three things: what the watches have shown, the answers of the last apply (a watch lags behind them, and a
//! plan made from older facts would turn back), and objects that hold a name of ours without being ours.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use accord_crds::AuthService;
use accord_plan::observed::{Objects, RefusedWrite};
use accord_plan::{Kind, Object, ObjectKey};

/// Namespace and name of a service.
pub(crate) type Key = (String, String);

/// A watch: a kind in one namespace, or in all of them.
pub(crate) type Source = (Kind, Option<String>);

/// How long an answer of apply outweighs the watch at most: a watch that is later than this has other troubles.
const OVERLAY_LIMIT: Duration = Duration::from_secs(10);
/// When an object that isn't ours is looked at again: somebody may have taken it away.
const FOREIGN_LIMIT: Duration = Duration::from_secs(30);
/// When a write that was refused for what is in it is tried again: a quota or a policy may have changed.
const REFUSED_LIMIT: Duration = Duration::from_mins(2);

/// What apply learned of one object.
#[derive(Clone, Debug)]
pub(crate) enum Learned {
    /// It is so, the API server says.
    Live(Object),
    /// It is gone.
    Gone {
        /// Which object.
        key: ObjectKey,
        /// Its UID.
        uid: String,
    },
    /// It is there and isn't ours.
    Foreign(ObjectKey),
    /// It isn't taken as it is wanted.
    Refused(ObjectKey, RefusedWrite),
    /// The service itself is so.
    Service(Arc<AuthService>),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Index {
    services: HashMap<Key, Held>,
    /// Which service an object was last seen with: a label can change.
    owners: HashMap<(String, ObjectKey), Key>,
    /// What a watch that lists anew has shown so far.
    listing: HashMap<Source, HashSet<(String, ObjectKey)>>,
}

#[derive(Default)]
struct Held {
    service: Option<Arc<AuthService>>,
    newer: Option<(Arc<AuthService>, Instant)>,
    stored: BTreeMap<ObjectKey, Arc<Object>>,
    overlay: BTreeMap<ObjectKey, Overlaid>,
    foreign: BTreeMap<ObjectKey, Foreign>,
    refused: BTreeMap<ObjectKey, (Option<i64>, Instant, RefusedWrite)>,
}

struct Overlaid {
    uid: String,
    /// `None`: gone.
    object: Option<Arc<Object>>,
    since: Instant,
}

struct Foreign {
    generation: Option<i64>,
    since: Instant,
}

impl Index {
    /// The service as it is known best.
    pub(crate) fn service(&self, key: &Key) -> Option<Arc<AuthService>> {
        let held = self.services.get(key)?;
        let stored = held.service.as_ref()?;
        match &held.newer {
            Some((newer, _)) if newer.metadata.uid == stored.metadata.uid => Some(newer.clone()),
            _ => Some(stored.clone()),
        }
    }

    /// A service was added or changed.
    pub(crate) fn service_applied(&mut self, service: AuthService) -> Key {
        let key = key_of(&service);
        let held = self.services.entry(key.clone()).or_default();
        if let Some((newer, _)) = &held.newer {
            let same = newer.metadata.uid == service.metadata.uid;
            if !same || is_at_least(version(&service), version(newer)) {
                held.newer = None;
            }
        }
        held.service = Some(Arc::new(service));
        key
    }

    /// A service is gone, or can't be read any more.
    pub(crate) fn service_deleted(&mut self, key: &Key) {
        if let Some(held) = self.services.get_mut(key) {
            held.service = None;
            held.newer = None;
            held.foreign.clear();
            held.refused.clear();
        }
        self.forget_if_empty(key);
    }

    /// Services that are known in a namespace, or in all of them.
    pub(crate) fn service_keys(&self, namespace: Option<&str>) -> Vec<Key> {
        let known = self.services.iter().filter(|(_, held)| held.service.is_some());
        known
            .map(|(key, _)| key.clone())
            .filter(|(ns, _)| namespace.is_none_or(|n| n == ns))
            .collect()
    }

    /// A watch begins to list anew: what it doesn't show until [`Index::list_done`] is gone.
    pub(crate) fn list_started(&mut self, source: Source) {
        self.listing.insert(source, HashSet::new());
    }

    /// An object in a list, or added, or changed. Returns the services that are concerned.
    pub(crate) fn object_applied(
        &mut self,
        source: &Source,
        namespace: &str,
        object: Object,
    ) -> BTreeSet<Key> {
        let Some(service) = object.label(accord_crds::meta::LABEL_SERVICE).map(str::to_owned) else {
            return self.object_deleted(namespace, &object);
        };
        let place = (namespace.to_owned(), object.key.clone());
        if let Some(seen) = self.listing.get_mut(source) {
            seen.insert(place.clone());
        }
        let key = (namespace.to_owned(), service);
        let mut concerned = BTreeSet::from([key.clone()]);
        if let Some(before) = self.owners.insert(place, key.clone())
            && before != key
        {
            self.take_out(&before, &object.key);
            concerned.insert(before);
        }
        let held = self.services.entry(key).or_default();
        if let Some(overlaid) = held.overlay.get(&object.key) {
            // An older version of the same object, or the one that was there before it, is no news.
            let is_news = overlaid.object.as_ref().is_some_and(|newer| {
                overlaid.uid == object.uid()
                    && is_at_least(object.resource_version(), newer.resource_version())
            });
            if is_news {
                held.overlay.remove(&object.key);
            }
        }
        held.foreign.remove(&object.key);
        held.stored.insert(object.key.clone(), Arc::new(object));
        concerned
    }

    /// An object is gone. Returns the services that are concerned.
    pub(crate) fn object_deleted(&mut self, namespace: &str, object: &Object) -> BTreeSet<Key> {
        let Some(key) = self.owners.remove(&(namespace.to_owned(), object.key.clone())) else {
            return BTreeSet::new();
        };
        if let Some(held) = self.services.get_mut(&key)
            && held
                .overlay
                .get(&object.key)
                .is_some_and(|o| o.uid == object.uid())
        {
            held.overlay.remove(&object.key);
        }
        self.take_out(&key, &object.key);
        BTreeSet::from([key])
    }

    /// A watch has listed all that there is. Returns the services that lost an object.
    pub(crate) fn list_done(&mut self, source: &Source) -> BTreeSet<Key> {
        let Some(seen) = self.listing.remove(source) else {
            return BTreeSet::new();
        };
        let (kind, scope) = source;
        let in_scope = |namespace: &str| scope.as_deref().is_none_or(|s| s == namespace);
        let lost: Vec<_> = self
            .owners
            .iter()
            .filter(|(place, _)| place.1.kind == *kind && in_scope(&place.0) && !seen.contains(*place))
            .map(|(place, key)| (place.clone(), key.clone()))
            .collect();
        for (place, key) in &lost {
            self.owners.remove(place);
            self.take_out(key, &place.1);
        }
        lost.into_iter().map(|(_, key)| key).collect()
    }

    /// Takes in what apply learned.
    pub(crate) fn learn(&mut self, key: &Key, learned: Vec<Learned>, now: Instant) {
        let held = self.services.entry(key.clone()).or_default();
        for fact in learned {
            match fact {
                Learned::Live(object) => {
                    held.refused.remove(&object.key);
                    let known = held.stored.get(&object.key);
                    let stored_is_newer = known.is_some_and(|stored| {
                        stored.uid() == object.uid()
                            && is_at_least(stored.resource_version(), object.resource_version())
                    });
                    if !stored_is_newer {
                        let key = object.key.clone();
                        let overlaid = Overlaid {
                            uid: object.uid().to_owned(),
                            since: now,
                            object: Some(Arc::new(object)),
                        };
                        held.overlay.insert(key, overlaid);
                    }
                }
                Learned::Gone { key, uid } => {
                    if held.stored.get(&key).is_some_and(|stored| stored.uid() == uid) {
                        held.overlay.insert(
                            key,
                            Overlaid {
                                uid,
                                object: None,
                                since: now,
                            },
                        );
                    } else {
                        held.overlay.remove(&key);
                    }
                }
                Learned::Foreign(object) => {
                    let generation = held.service.as_ref().and_then(|s| s.metadata.generation);
                    held.foreign.insert(
                        object,
                        Foreign {
                            generation,
                            since: now,
                        },
                    );
                }
                Learned::Refused(object, refused) => {
                    let generation = held.service.as_ref().and_then(|s| s.metadata.generation);
                    held.refused.insert(object, (generation, now, refused));
                }
                Learned::Service(service) => {
                    let is_newer = held.service.as_ref().is_some_and(|stored| {
                        stored.metadata.uid == service.metadata.uid
                            && !is_at_least(version(stored), version(&service))
                    });
                    if is_newer {
                        held.newer = Some((service, now));
                    }
                }
            }
        }
        self.forget_if_empty(key);
    }

    /// All objects of a service, and the names that others hold.
    pub(crate) fn observe(&mut self, key: &Key, now: Instant) -> (Objects, BTreeSet<ObjectKey>) {
        let Some(held) = self.services.get_mut(key) else {
            return Default::default();
        };
        let generation = held.service.as_ref().and_then(|s| s.metadata.generation);
        held.overlay
            .retain(|_, o| now.duration_since(o.since) < OVERLAY_LIMIT);
        held.foreign
            .retain(|_, f| f.generation == generation && now.duration_since(f.since) < FOREIGN_LIMIT);
        if held
            .newer
            .as_ref()
            .is_some_and(|(_, since)| now.duration_since(*since) >= OVERLAY_LIMIT)
        {
            held.newer = None;
        }
        let mut objects: Objects = held.stored.values().cloned().collect();
        for (key, overlaid) in &held.overlay {
            match &overlaid.object {
                Some(object) => objects.insert(object.clone()),
                None => drop(objects.remove(key)),
            }
        }
        (objects, held.foreign.keys().cloned().collect())
    }

    /// The writes that were refused for what is in them, until the declaration is another or it is time to try again.
    pub(crate) fn refused(&mut self, key: &Key, now: Instant) -> BTreeMap<ObjectKey, RefusedWrite> {
        let Some(held) = self.services.get_mut(key) else {
            return BTreeMap::new();
        };
        let current = held.service.as_ref().and_then(|s| s.metadata.generation);
        held.refused.retain(|_, (generation, since, _)| {
            *generation == current && now.duration_since(*since) < REFUSED_LIMIT
        });
        let refused = held.refused.iter();
        refused
            .map(|(key, (_, _, why))| (key.clone(), why.clone()))
            .collect()
    }

    /// When to look again although no watch says so: once an answer of apply that the watches haven't caught up with is
    /// believed no longer, an object that isn't ours may have gone, or a refused write is due.
    pub(crate) fn look_again(&self, key: &Key) -> Option<Duration> {
        let held = self.services.get(key)?;
        let is_ahead = !held.overlay.is_empty() || held.newer.is_some();
        let is_blocked = !held.foreign.is_empty();
        is_ahead
            .then_some(OVERLAY_LIMIT)
            .or(is_blocked.then_some(FOREIGN_LIMIT))
            .or((!held.refused.is_empty()).then_some(REFUSED_LIMIT))
    }

    fn take_out(&mut self, key: &Key, object: &ObjectKey) {
        if let Some(held) = self.services.get_mut(key) {
            held.stored.remove(object);
            if held.overlay.get(object).is_some_and(|o| o.object.is_none()) {
                held.overlay.remove(object);
            }
        }
        self.forget_if_empty(key);
    }

    fn forget_if_empty(&mut self, key: &Key) {
        if self
            .services
            .get(key)
            .is_some_and(|h| h.service.is_none() && h.stored.is_empty())
        {
            self.services.remove(key);
        }
    }
}

/// Namespace and name.
fn key_of(service: &AuthService) -> Key {
    (
        service.metadata.namespace.clone().unwrap_or_default(),
        service.metadata.name.clone().unwrap_or_default(),
    )
}

fn version(service: &AuthService) -> &str {
    service.metadata.resource_version.as_deref().unwrap_or_default()
}

/// Whether one resource version is another one or later. Kubernetes promises that they compare as numbers within a
/// resource; where one isn't a number the watch is believed.
fn is_at_least(version: &str, other: &str) -> bool {
    match (version.parse::<u128>(), other.parse::<u128>()) {
        (Ok(version), Ok(other)) => version >= other,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
