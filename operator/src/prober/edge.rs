//! What is known of the way in from outside. One blip is no news.

use std::sync::{Arc, Mutex, PoisonError};

use accord_crds::edge::{EdgeReason, EdgeStatus};
use accord_plan::agreement::{EdgeObservations, judge_edge};
use jiff::Timestamp;

use super::{Notify, ServiceKey};

/// How often in a row it has to fail, or nothing to be concluded, before that is told.
const STRIKES: u32 = 2;

/// What is known, shared with the one who asks for it.
#[derive(Clone, Debug, Default)]
pub(super) struct EdgeMemory {
    told: Arc<Mutex<Option<EdgeStatus>>>,
    strikes: u32,
}

impl EdgeMemory {
    pub(super) fn told(&self) -> Option<EdgeStatus> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another way in is declared, or none.
    pub(super) fn forget(&mut self) {
        self.strikes = 0;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes in what an exchange showed, and tells of it when it is news.
    pub(super) fn take_in(
        &mut self,
        key: &ServiceKey,
        notify: &Notify,
        seen: &EdgeObservations,
        now: Timestamp,
    ) {
        let found = judge_edge(seen, now);
        let works = found.reason.works() == Some(true);
        self.strikes = if works { 0 } else { self.strikes.saturating_add(1) };
        let (namespace, service) = key;
        let (reason, evidence) = (found.reason.as_str(), found.message.as_str());
        tracing::debug!(namespace, service, reason, evidence, "the way in was tried");
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nothing could be concluded, what was known before holds.
        let nothing = found.reason == EdgeReason::Pending && told.is_some();
        if nothing || (!works && self.strikes < STRIKES) || told.as_ref() == Some(&found) {
            return;
        }
        tracing::info!(namespace, service, reason, evidence, "the way in is told of");
        *told = Some(found);
        drop(told);
        notify(key.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use accord_plan::agreement::Connection;

    use super::*;

    fn lost(why: &str) -> EdgeObservations {
        EdgeObservations {
            hostname: "portal.example.com".into(),
            pod: "portal-1".into(),
            connection: Connection::Unreachable(why.into()),
            certificate_expires: None,
            cookies: Vec::new(),
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_failure_is_told_when_it_lasts_and_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let notify: Notify = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let key = ("docks".to_owned(), "portal".to_owned());
        let mut memory = EdgeMemory::default();
        memory.take_in(&key, &notify, &lost("refused"), Timestamp::UNIX_EPOCH);
        assert_eq!(memory.told(), None);
        for _ in 0..2 {
            memory.take_in(&key, &notify, &lost("refused"), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(memory.told().map(|s| s.reason), Some(EdgeReason::Unreachable));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
