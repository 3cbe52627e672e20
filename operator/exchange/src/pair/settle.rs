//! Whether what the subject refuses, or accepts after its end, is only late: a copy that has still to catch up.

use std::time::Duration;

use accord_plan::agreement::{Action, Artifact, Meaning, Role, Step};
use tokio::time::{Instant, sleep};

use super::Pair;
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
        let artifacts = self.run.artifacts();
        let (mut pause, mut accepted) = (PAUSE, false);
        while accepted || Instant::now() < until {
            sleep(pause).await;
            let before = accepted;
            accepted = self.accepted_everywhere(&session, &artifacts).await;
            if before && accepted {
                return true;
            }
            pause = if accepted { PAUSE } else { pause * 2 };
        }
        false
    }

    /// True when the subject, which refused what the witness had issued, accepts it soon afterwards, on every connection and
    /// before the canary has logged in there.
    pub(super) async fn catches_up(&mut self) -> bool {
        let late = self.refused_by_the_subject();
        let Some(session) = self.session(Role::Witness).clone().filter(|_| !late.is_empty()) else {
            return false;
        };
        // Twice, within a quarter of the limit: where it isn't late, that is lost.
        let settle = self.run.exchange.client.limits().settle;
        for pause in [settle / 12, settle / 6] {
            sleep(pause).await;
            if self.accepted_everywhere(&session, &late).await {
                return true;
            }
        }
        false
    }

    async fn accepted_everywhere(&self, session: &Session, artifacts: &[Artifact]) -> bool {
        for artifact in artifacts {
            let given = self.over_connections(session, *artifact).await;
            if !given.iter().all(|(outcome, _)| outcome.accepted()) {
                return false;
            }
        }
        true
    }

    /// An ended artifact over new connections to the subject. Where some of its workers accept it still, they may only be
    /// late: they are asked again until the limit, and the last answers count.
    pub(super) async fn ended_everywhere(&self, session: &Session, artifact: Artifact) -> Vec<Outcome> {
        let until = Instant::now() + self.run.exchange.client.limits().settle;
        let mut pause = PAUSE;
        loop {
            let given = self.over_connections(session, artifact).await;
            let outcomes: Vec<_> = given.into_iter().map(|(outcome, _)| outcome).collect();
            let accepted = outcomes.iter().filter(|outcome| outcome.accepted()).count();
            if accepted == 0 || accepted == outcomes.len() || Instant::now() >= until {
                return outcomes;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}
