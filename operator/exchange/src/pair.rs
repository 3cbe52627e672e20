//! The exchange for a new container: by itself, or with a witness that was proved before.

mod alone;
mod connections;
mod first_login;
mod forged;
mod hostnames;
mod password;
mod settle;

use accord_plan::agreement::{Action, Artifact, Meaning, Observations, Role};

use crate::requests::Run;
use crate::session::Session;
use crate::trace::{Halt, Outcome, Trace};
use crate::{Exchange, Replica};

use Role::{Subject, Witness};

impl Exchange<'_> {
    /// Examines `subject`, with `witness` where there is one, and ends every session that it made.
    pub async fn pair(&self, subject: &Replica, witness: Option<&Replica>) -> Observations {
        let run = Run::new(*self);
        let mut pair = Pair {
            run,
            subject,
            witness,
            trace: Trace::default(),
            sessions: [None, None],
            renews: false,
            seen: Observations {
                subject: subject.name.clone(),
                witness: witness.map(|w| w.name.clone()),
                conventions: run.conventions(),
                after_logout: run.after_logout(),
                declared_cookie: self.recipe.login.session_cookie_attributes.clone(),
                ..Observations::default()
            },
        };
        let _: Result<(), Halt> = pair.examine().await;
        // At the end: logins and logouts are what it may be without.
        pair.seen.replica_behind = self.anchors.replica_behind().await;
        pair.clean_up().await;
        pair.seen.steps = pair.trace.steps;
        pair.seen
    }
}

struct Pair<'a> {
    run: Run<'a>,
    subject: &'a Replica,
    witness: Option<&'a Replica>,
    trace: Trace,
    /// Of the subject and of the witness, while they live.
    sessions: [Option<Session>; 2],
    /// True when a check changed a cookie.
    renews: bool,
    seen: Observations,
}

impl Pair<'_> {
    async fn examine(&mut self) -> Result<(), Halt> {
        self.controls().await?;
        self.hostnames().await;
        if self.witness.is_none() {
            if self.works(Subject).await? {
                self.refresh(Subject).await?;
                self.end(Subject).await?;
            }
            self.second_login().await;
            return Ok(());
        }
        // The witness's first: the subject has to honour them also where the canary has never logged in at itself. Also
        // where the subject fails later: a witness that succeeds tells that the canary and the recipe are right.
        // One session after the other: where a user has only one, a login ends that before it, and where a logout is meant
        // for all of them, it ends the other's.
        let theirs = match self.exchanged(Witness).await {
            Err(Halt) if self.stopped_at(Witness) => None,
            theirs => theirs?,
        };
        if theirs == Some(false) && self.catches_up().await {
            self.seen.late.insert(Witness);
        }
        let works = self.works(Subject).await?;
        if !works {
            if theirs.is_some() {
                self.stranger().await?;
            }
            self.second_login().await;
            return Ok(());
        }
        let Some(theirs) = theirs else {
            return Ok(());
        };
        // Both directions, even after a contradiction: together they tell causes apart.
        let honoured = self.handed_over(Subject).await?;
        if !theirs {
            self.first_login().await?;
        }
        if !(theirs && honoured) {
            return Ok(());
        }
        self.second_login().await;
        if self.run.exchange.change_password {
            self.change_password().await?;
        }
        Ok(())
    }

    /// A login, and what it gave is honoured at home.
    async fn works(&mut self, role: Role) -> Result<bool, Halt> {
        Ok(self.log_in(role).await? && self.own(role).await?)
    }

    /// A session of `of`, from its login to its end: whether the other honours it. `None` where it isn't even at home.
    async fn exchanged(&mut self, of: Role) -> Result<Option<bool>, Halt> {
        if !self.works(of).await? {
            return Ok(None);
        }
        self.handed_over(of).await.map(Some)
    }

    /// The session of `of`, from what the other makes of it to its end.
    async fn handed_over(&mut self, of: Role) -> Result<bool, Halt> {
        let honoured = self.cross(of).await?;
        if honoured {
            self.refresh(of).await?;
            self.end(of).await?;
        }
        Ok(honoured)
    }

    fn stopped_at(&self, role: Role) -> bool {
        self.trace.steps.last().is_some_and(|step| step.at == role)
    }

    /// Checks each artifact of `of` at the other replica, and then at its issuer again.
    async fn cross(&mut self, of: Role) -> Result<bool, Halt> {
        let mut all = true;
        for artifact in self.run.artifacts() {
            let there = self
                .check(Action::Cross(artifact), artifact, of.other(), of)
                .await?;
            let again = self.check(Action::Again(artifact), artifact, of, of).await?;
            all &= there == Meaning::Accepted && again == Meaning::Accepted;
        }
        Ok(all)
    }

    /// Exchanges the refresh token of `of` at the other replica, where there is one, and uses what it gives at home.
    async fn refresh(&mut self, of: Role) -> Result<(), Halt> {
        let at = if self.witness.is_some() { of.other() } else { of };
        let Some(mut session) = self.session(of).take() else {
            return Ok(());
        };
        let outcome = self.run.refresh(self.replica(at), &mut session).await;
        let mut refreshed = outcome.as_ref().is_some_and(Outcome::accepted);
        let mut control = None;
        if outcome.is_some() && !refreshed && at != of {
            // The control: does it work at its issuer?
            control = self.run.refresh(self.replica(of), &mut session).await;
            refreshed = false;
        }
        *self.session(of) = Some(session);
        for (at, outcome) in [(at, outcome), (of, control)] {
            if let Some(outcome) = outcome {
                self.add(Action::Refresh, at, of, outcome)?;
            }
        }
        if refreshed {
            let home = self.check(Action::Refreshed, Artifact::Access, of, of).await?;
            // What either has accepted either may remember, also after it was ended.
            if at != of && home == Meaning::Accepted {
                self.check(Action::Refreshed, Artifact::Access, at, of).await?;
            }
        }
        Ok(())
    }

    /// Ends the session of `of` where it was made, then tries what is left of it there (V0) and at the other (V1).
    async fn end(&mut self, of: Role) -> Result<(), Halt> {
        let Some(session) = self.session(of).clone() else {
            return Ok(());
        };
        let Some(outcome) = self.run.logout(self.replica(of), &session).await else {
            return Ok(());
        };
        if self.add(Action::Logout, of, of, outcome)? != Meaning::Accepted {
            return Ok(());
        }
        for artifact in self.run.artifacts() {
            if of == Subject {
                for outcome in self.ended_everywhere(&session, artifact).await {
                    self.add(Action::Replay(artifact), of, of, outcome)?;
                }
            } else {
                self.check(Action::Replay(artifact), artifact, of, of).await?;
            }
            if self.witness.is_some() {
                self.check(Action::Replay(artifact), artifact, of.other(), of)
                    .await?;
            }
        }
        let here = self.replay_refresh(&session, of, of).await?;
        // One that is still accepted is used up now: the other could only show that.
        if self.witness.is_some() && here.is_some_and(|m| m != Meaning::Accepted) {
            self.replay_refresh(&session, of.other(), of).await?;
        }
        *self.session(of) = None;
        Ok(())
    }

    async fn replay_refresh(
        &mut self,
        session: &Session,
        at: Role,
        of: Role,
    ) -> Result<Option<Meaning>, Halt> {
        match self.run.refresh(self.replica(at), &mut session.clone()).await {
            None => Ok(None),
            Some(outcome) => self
                .add(Action::Replay(Artifact::Refresh), at, of, outcome)
                .map(Some),
        }
    }

    async fn check(
        &mut self,
        action: Action,
        artifact: Artifact,
        at: Role,
        of: Role,
    ) -> Result<Meaning, Halt> {
        let Some(mut session) = self.session(of).take() else {
            return Ok(Meaning::Unexpected);
        };
        let outcome = self
            .run
            .check(self.replica(at), &mut session, Some(artifact))
            .await;
        *self.session(of) = Some(session);
        self.add(action, at, of, outcome)
    }

    /// Leaves no session behind. What the answers are doesn't matter any more.
    async fn clean_up(&mut self) {
        for role in [Subject, Witness] {
            if let Some(session) = self.session(role).take() {
                let _ = self.run.logout(self.replica(role), &session).await;
            }
        }
    }

    fn add(&mut self, action: Action, at: Role, of: Role, outcome: Outcome) -> Result<Meaning, Halt> {
        self.trace.add(action, at, of, outcome)
    }

    fn session(&mut self, role: Role) -> &mut Option<Session> {
        let [subject, witness] = &mut self.sessions;
        match role {
            Subject => subject,
            Witness => witness,
        }
    }
}

impl<'a> Pair<'a> {
    fn replica(&self, role: Role) -> &'a Replica {
        match role {
            Subject => self.subject,
            Witness => self.witness.unwrap_or(self.subject),
        }
    }
}
