//! Whether a login at the subject is what makes it honour the witness's sessions: whom it knows it keeps to itself then.

use accord_plan::agreement::{Action, Artifact, Meaning, Role, Step};

use super::Pair;
use crate::trace::Halt;

use Role::{Subject, Witness};

impl Pair<'_> {
    /// What the subject refused of the witness's before the canary had logged in there, once more with a new session: of two
    /// copies one of which is late the new one is refused like the first.
    pub(super) async fn first_login(&mut self) -> Result<(), Halt> {
        let refused = self.refused_by_the_subject();
        if refused.is_empty() || self.seen.late.contains(&Witness) {
            return Ok(());
        }
        let Some(mut session) = self.new_session(Witness).await else {
            return Ok(());
        };
        let mut found = Ok(());
        for artifact in refused {
            let outcome = self.run.check(self.subject, &mut session, Some(artifact)).await;
            found = self
                .add(Action::SinceLogin(artifact), Subject, Witness, outcome)
                .map(drop);
            if found.is_err() {
                break;
            }
        }
        let _ = self.run.logout(self.replica(Witness), &session).await;
        found
    }

    /// What the subject refused of the witness's, as of somebody who isn't logged in, and didn't end by that.
    pub(super) fn refused_by_the_subject(&self) -> Vec<Artifact> {
        let means = |action, at, meaning| {
            let said = |s: &Step| (s.action, s.at, s.of, s.meaning) == (action, at, Witness, meaning);
            self.trace.steps.iter().any(said)
        };
        let mut artifacts = self.run.artifacts();
        artifacts.retain(|artifact| {
            means(Action::Cross(*artifact), Subject, Meaning::Rejected)
                && means(Action::Again(*artifact), Witness, Meaning::Accepted)
        });
        artifacts
    }
}
