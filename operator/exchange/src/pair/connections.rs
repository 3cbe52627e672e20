//! One artifact over several new connections to the subject, so that each of its workers is asked.

use std::time::{Duration, Instant};

use accord_plan::agreement::{Action, Artifact, Meaning, Role};

use super::Pair;
use crate::session::Session;
use crate::trace::{Halt, Outcome};

use Role::Subject;

/// Measured with two and more workers of one thread each: eight at once found each of them, four in a row never did.
const AT_ONCE: usize = 8;

/// Measured with workers that have threads: one of them took all eight in 8 of 24 trials; those that followed each other
/// found the others in 23 of 24.
const IN_A_ROW: usize = 6;

/// No more of them after so long: a server that takes its time is found out by those that come at once.
const LONG: Duration = Duration::from_secs(3);

impl Pair<'_> {
    /// Checks an artifact at the subject over several connections at once, so that each worker gets one.
    pub(super) async fn at_once(&mut self, artifact: Artifact) -> Result<bool, Halt> {
        let Some(session) = self.session(Subject).clone() else {
            return Ok(false);
        };
        let (run, subject) = (self.run, self.subject);
        let (mut outcomes, given): (Vec<_>, Vec<_>) = self
            .over_connections(&session, artifact)
            .await
            .into_iter()
            .unzip();
        if artifact == Artifact::Session
            && self.renews
            && outcomes.iter().any(|o| o.meaning == Meaning::Rejected)
            && let Some(in_turn) = self.in_turn().await
        {
            // What the first of them was given instead.
            for (outcome, session) in outcomes.iter().zip(given) {
                if outcome.accepted() {
                    let _ = run.logout(subject, &session).await;
                }
            }
            outcomes = in_turn;
        }
        let mut all = true;
        let mut halt = None;
        // Each answer is kept, also those after one that ends the exchange.
        for outcome in outcomes {
            match self.add(Action::AtOnce(artifact), Subject, Subject, outcome) {
                Ok(meaning) => all &= meaning == Meaning::Accepted,
                Err(end) => halt = Some(end),
            }
        }
        halt.map_or(Ok(all), Err)
    }

    /// Checks an artifact at the subject over new connections, so that each of its workers gets one: several at once, and
    /// then one after the other. Each outcome with the session as it then was.
    pub(super) async fn over_connections(
        &self,
        session: &Session,
        artifact: Artifact,
    ) -> Vec<(Outcome, Session)> {
        let (run, subject) = (self.run, self.subject);
        let one = || {
            let mut session = session.clone();
            async move {
                let outcome = run.check(subject, &mut session, Some(artifact)).await;
                (outcome, session)
            }
        };
        let mut given = futures::future::join_all((0..AT_ONCE).map(|_| one())).await;
        // What is renewed with each request can't be used again, and silence is known by now.
        if self.renews || given.iter().any(|(outcome, _)| outcome.halts()) {
            return given;
        }
        let since = Instant::now();
        while given.len() < AT_ONCE + IN_A_ROW && since.elapsed() < LONG {
            given.push(one().await);
        }
        given
    }

    /// An id that is renewed with each request can't be used by several at once: each is asked with what the one before
    /// it gave, in a session of its own. `None` unless all of them are accepted.
    async fn in_turn(&mut self) -> Option<Vec<Outcome>> {
        let mut session = self.new_session(Subject).await?;
        let mut outcomes = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            let check = self
                .run
                .check(self.subject, &mut session, Some(Artifact::Session));
            outcomes.push(check.await);
        }
        let all = outcomes.iter().all(Outcome::accepted);
        // The one before may have ended with its id.
        let unused = if all {
            self.session(Subject).replace(session)
        } else {
            Some(session)
        };
        if let Some(unused) = unused {
            let _ = self.run.logout(self.subject, &unused).await;
        }
        all.then_some(outcomes)
    }
}
