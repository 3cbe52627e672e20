//! The prober: one task for each service, which proves its replicas and goes on looking.
//!
//! It talks to pods (through `accord-exchange`) and, for the length of a login, to the service's database and its managed cache;
//! never to the API server. What it finds are [`Proof`]s; what follows from them is the plan's business.

mod cache;
mod database;
mod edge;
mod examiner;
mod measured;
mod replica;
mod schedule;
mod service;
mod way_in;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use accord_crds::edge::EdgeStatus;
use accord_exchange::{Client, Limits};
use accord_plan::agreement::{Observations, Proof};
use accord_plan::probe::ProbeRequest;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use edge::EdgeMemory;
use examiner::{Examiner, Network};
use measured::{Measure, Measured};

/// Namespace and name of a service.
pub type ServiceKey = (String, String);

/// Told when a service has other proofs than before.
type Notify = Arc<dyn Fn(ServiceKey) + Send + Sync>;

/// What is known about a service's pods, by UID.
type Proofs = Arc<Mutex<BTreeMap<String, Proof>>>;

/// Proves the replicas of services. Dropping it ends every task.
pub struct Prober {
    examiner: Option<Network>,
    notify: Notify,
    measure: Measure,
    tasks: TaskTracker,
    all: CancellationToken,
    services: Mutex<BTreeMap<ServiceKey, Handle>>,
    _end: DropGuard,
}

struct Handle {
    request: watch::Sender<ProbeRequest>,
    proofs: Proofs,
    edge: EdgeMemory,
    _end: DropGuard,
}

/// Without requests: they hold credentials.
impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober")
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl Prober {
    /// A prober that calls `notify` whenever the proofs of a service have changed.
    pub fn new(notify: impl Fn(ServiceKey) + Send + Sync + 'static) -> Self {
        let examiner = match Client::new(Limits::default()) {
            Ok(client) => Some(Network { client }),
            Err(error) => {
                // Without it nothing is ever proved, which is safe: gates stay as they are.
                tracing::error!(%error, "replicas can't be proved");
                None
            }
        };
        let all = CancellationToken::new();
        Self {
            examiner,
            notify: Arc::new(notify),
            measure: Arc::new(|_, _| {}),
            tasks: TaskTracker::new(),
            services: Mutex::default(),
            _end: all.clone().drop_guard(),
            all,
        }
    }

    /// Tells of every exchange, whatever follows from it.
    #[must_use]
    pub fn measured(mut self, measure: impl Fn(&ServiceKey, &Observations) + Send + Sync + 'static) -> Self {
        self.measure = Arc::new(measure);
        self
    }

    /// Says what is to be proved; `None` stops. Cheap when it is what was said before. Needs a Tokio runtime.
    pub fn set(&self, key: &ServiceKey, request: Option<ProbeRequest>) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(request), Some(examiner)) = (request, &self.examiner) else {
            services.remove(key);
            return;
        };
        if let Some(handle) = services.get(key) {
            handle.request.send_if_modified(|current| {
                let news = *current != request;
                if news {
                    *current = request;
                }
                news
            });
            return;
        }
        let examiner = Measured {
            inner: examiner.clone(),
            key: key.clone(),
            measure: Arc::clone(&self.measure),
        };
        let handle = self.start(key, request, examiner);
        services.insert(key.clone(), handle);
    }

    fn start<E: Examiner>(&self, key: &ServiceKey, request: ProbeRequest, examiner: E) -> Handle {
        let (sender, receiver) = watch::channel(request);
        let end = self.all.child_token();
        let proofs = Proofs::default();
        let edge = EdgeMemory::default();
        let service = service::Service {
            key: key.clone(),
            examiner,
            request: receiver,
            proofs: Arc::clone(&proofs),
            notify: Arc::clone(&self.notify),
            edge: edge.clone(),
        };
        self.tasks.spawn(service.run(end.clone()));
        Handle {
            request: sender,
            proofs,
            edge,
            _end: end.drop_guard(),
        }
    }

    /// What is known of a service's way in from outside.
    pub fn edge(&self, key: &ServiceKey) -> Option<EdgeStatus> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.get(key)?.edge.told()
    }

    /// What is known about the pods of a service, by UID.
    pub fn proofs(&self, key: &ServiceKey) -> BTreeMap<String, Proof> {
        let services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services
            .get(key)
            .map(|handle| {
                handle
                    .proofs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
