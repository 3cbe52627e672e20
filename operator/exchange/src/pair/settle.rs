//! Whether what the subject refuses of its own is only late: a copy that is read from before it has caught up.

use std::time::Duration;

use accord_plan::agreement::{Action, Meaning, Role, Step};
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::Pair;
use super::alone::AT_ONCE;
use crate::session::Session;
use crate::trace::Outcome;

/// The first of several pauses, each twice as long as the one before it.
const PAUSE: Duration = Duration::from_millis(250);

impl Pair<'_> {
    /// True when the subject, which refused what it had issued, accepts it within the limit: on every connection, and twice
    /// in a row. One of several workers that don't share their state would have to answer each of these requests.
    pub(super) async fn settles(&mut self) -> bool {
        let refused = |s: &Step| {
            (s.at, s.of, s.meaning) == (Role::Subject, Role::Subject, Meaning::Rejected)
                && matches!(s.action, Action::Own(_) | Action::AtOnce(_))
        };
        if self.renews || !self.trace.steps.iter().any(refused) {
            return false;
        }
        let Some(session) = self.session(Role::Subject).clone() else {
            return false;
        };
        let until = Instant::now() + self.run.exchange.client.limits().settle;
        let (mut pause, mut accepted) = (PAUSE, false);
        while accepted || Instant::now() < until {
            sleep(pause).await;
            let before = accepted;
            accepted = self.accepted_everywhere(&session).await;
            if before && accepted {
                return true;
            }
            pause = if accepted { PAUSE } else { pause * 2 };
        }
        false
    }

    async fn accepted_everywhere(&self, session: &Session) -> bool {
        let (run, subject) = (self.run, self.subject);
        let artifacts = run.artifacts();
        let checks = artifacts.iter().flat_map(|artifact| {
            (0..AT_ONCE).map(move |_| {
                let mut session = session.clone();
                async move { run.check(subject, &mut session, Some(*artifact)).await }
            })
        });
        join_all(checks).await.iter().all(Outcome::accepted)
    }
}
