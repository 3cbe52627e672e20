//! The exchange for a new container: by itself, or with a witness that was proved before.

use accord_plan::agreement::{Action, Artifact, Meaning, Observations, Role, Step};
use tokio::sync::oneshot;

use crate::requests::Run;
use crate::session::Session;
use crate::trace::{Halt, Outcome, Trace};
use crate::{Exchange, Replica, anchors, token};

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
            seen: Observations {
                subject: subject.name.clone(),
                witness: witness.map(|w| w.name.clone()),
                conventions: run.conventions(),
                after_logout: run.after_logout(),
                ..Observations::default()
            },
        };
        let _: Result<(), Halt> = pair.examine().await;
        pair.clean_up().await;
        pair.seen.steps = pair.trace.steps;
        pair.seen
    }
}

/// Measured with two and more workers: eight at once found each of them, four in a row never did.
const AT_ONCE: usize = 8;

struct Pair<'a> {
    run: Run<'a>,
    subject: &'a Replica,
    witness: Option<&'a Replica>,
    trace: Trace,
    /// Of the subject and of the witness, while they live.
    sessions: [Option<Session>; 2],
    seen: Observations,
}

impl Pair<'_> {
    async fn examine(&mut self) -> Result<(), Halt> {
        self.controls().await?;
        let works = self.log_in(Subject).await? && self.own(Subject).await?;
        if self.witness.is_none() {
            if works {
                self.refresh(Subject).await?;
                self.end(Subject).await?;
            }
            self.second_login().await;
            return Ok(());
        }
        // Also where the subject failed: a witness that succeeds tells that the canary and the recipe are right.
        if !works {
            if self.log_in(Witness).await? {
                self.own(Witness).await?;
            }
            self.second_login().await;
            return Ok(());
        }
        let honoured = self.cross(Subject).await?;
        if !(self.log_in(Witness).await? && self.own(Witness).await?) {
            return Ok(());
        }
        // Both directions, even after a contradiction: together they tell causes apart.
        if !(self.cross(Witness).await? && honoured) {
            return Ok(());
        }
        self.refresh(Subject).await?;
        self.refresh(Witness).await?;
        self.end(Subject).await?;
        self.end(Witness).await?;
        self.second_login().await;
        Ok(())
    }

    /// Negative controls that need no login.
    async fn controls(&mut self) -> Result<(), Halt> {
        let outcome = self.run.check(self.subject, &mut Session::default(), None).await;
        self.add(Action::NoCredential, Subject, Subject, credited(outcome))?;
        if !self.run.exchange.wrong_password {
            return Ok(());
        }
        let mut session = Session::default();
        if let Some(csrf) = self.run.csrf(self.subject, &mut session).await
            && !csrf.accepted()
        {
            self.add(Action::Csrf, Subject, Subject, csrf)?;
            return Ok(());
        }
        let mut outcome = self.run.login(self.subject, &mut session, true).await;
        if outcome.accepted() {
            // Some applications answer 200 and a session of nobody. It counts when it is somebody's.
            let mut believed = false;
            for artifact in self.run.artifacts() {
                let check = self.run.check(self.subject, &mut session, Some(artifact)).await;
                believed |= credited(check).accepted();
            }
            if !believed {
                outcome.meaning = Meaning::Rejected;
            }
        }
        self.add(Action::WrongPassword, Subject, Subject, outcome)?;
        Ok(())
    }

    /// Logs in at a replica while its connections to the database are watched.
    async fn log_in(&mut self, role: Role) -> Result<bool, Halt> {
        let at = self.replica(role);
        let mut session = Session::default();
        if let Some(csrf) = self.run.csrf(at, &mut session).await
            && self.add(Action::Csrf, role, role, csrf)? != Meaning::Accepted
        {
            return Ok(false);
        }
        let anchors = self.run.exchange.anchors;
        let (database, cache) = tokio::join!(
            anchors.watch(at.address.ip()),
            anchors.watch_cache(at.address.ip())
        );
        let ((over, until), (cache_over, cache_until)) = (oneshot::channel(), oneshot::channel());
        let login = async {
            let outcome = self.run.login(at, &mut session, false).await;
            drop((over, cache_over));
            outcome
        };
        let (outcome, database, cache) = tokio::join!(
            login,
            anchors::seen(database, until),
            anchors::seen(cache, cache_until)
        );
        let shape = session.access.as_deref().and_then(token::shape);
        let key = session
            .access
            .as_deref()
            .and_then(|t| self.run.signed_with_the_ring(t));
        match role {
            Subject => {
                self.seen.database = database;
                self.seen.cache = cache;
                self.seen.token = shape;
                self.seen.key = key;
                self.seen.signed_cookie = self.run.signed_cookie(&session);
            }
            Witness => {
                self.seen.witness_database = database;
                self.seen.witness_cache = cache;
                self.seen.witness_token = shape;
                self.seen.witness_key = key;
            }
        }
        let accepted = self.add(Action::Login, role, role, outcome)? == Meaning::Accepted;
        if accepted {
            *self.session(role) = Some(session);
        }
        Ok(accepted)
    }

    /// Logs in at the subject once more, to see whether it issues tokens of one shape only. A refusal says nothing: it may
    /// limit logins.
    async fn second_login(&mut self) {
        if self.seen.token.is_none() {
            return;
        }
        let mut session = Session::default();
        let csrf = self.run.csrf(self.subject, &mut session).await;
        if csrf.is_some_and(|outcome| !outcome.accepted()) {
            return;
        }
        if self.run.login(self.subject, &mut session, false).await.accepted() {
            self.seen.second_token = session.access.as_deref().and_then(token::shape);
            let _ = self.run.logout(self.subject, &session).await;
        }
    }

    /// Checks each artifact at its issuer; at the subject also one that was tampered with.
    async fn own(&mut self, role: Role) -> Result<bool, Halt> {
        let mut all = true;
        for artifact in self.run.artifacts() {
            all &= self.check(Action::Own(artifact), artifact, role, role).await? == Meaning::Accepted;
        }
        self.stored(role).await;
        if role == Subject {
            for artifact in self.run.artifacts() {
                all &= self.at_once(artifact).await?;
            }
            for artifact in self.run.artifacts() {
                self.tampered(artifact).await?;
            }
        }
        Ok(all)
    }

    /// Anchor R of a session that its issuer has accepted.
    async fn stored(&mut self, role: Role) {
        let own = Action::Own(Artifact::Session);
        let accepted = |s: &Step| (s.action, s.at, s.meaning) == (own, role, Meaning::Accepted);
        if !self.trace.steps.iter().any(accepted) {
            return;
        }
        let run = self.run;
        let Some(key) = self.session(role).as_ref().and_then(|s| run.session_key(s)) else {
            return;
        };
        let holds = run.exchange.anchors.holds(&key).await;
        match role {
            Subject => self.seen.stored = holds,
            Witness => self.seen.witness_stored = holds,
        }
    }

    /// Checks an artifact at the subject over several connections at once, so that each worker gets one.
    async fn at_once(&mut self, artifact: Artifact) -> Result<bool, Halt> {
        let Some(session) = self.session(Subject).clone() else {
            return Ok(false);
        };
        let (run, subject) = (self.run, self.subject);
        let checks = (0..AT_ONCE).map(|_| {
            let mut session = session.clone();
            async move { run.check(subject, &mut session, Some(artifact)).await }
        });
        let mut all = true;
        let mut halt = None;
        // Each answer is kept, also those after one that ends the exchange.
        for outcome in futures::future::join_all(checks).await {
            match self.add(Action::AtOnce(artifact), Subject, Subject, outcome) {
                Ok(meaning) => all &= meaning == Meaning::Accepted,
                Err(end) => halt = Some(end),
            }
        }
        halt.map_or(Ok(all), Err)
    }

    async fn tampered(&mut self, artifact: Artifact) -> Result<(), Halt> {
        let Some(mut session) = self.session(Subject).clone() else {
            return Ok(());
        };
        match artifact {
            Artifact::Session => {
                let named = self.run.exchange.recipe.login.session_cookie.clone();
                for (name, value) in &mut session.cookies {
                    if named.as_ref().is_none_or(|n| n == name) {
                        *value = token::tamper(value);
                    }
                }
            }
            Artifact::Access | Artifact::Refresh => {
                session.access = session.access.as_deref().map(token::tamper);
            }
        }
        let outcome = self.run.check(self.subject, &mut session, Some(artifact)).await;
        self.add(Action::Tampered(artifact), Subject, Subject, credited(outcome))?;
        Ok(())
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
            self.check(Action::Refreshed, Artifact::Access, of, of).await?;
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
            self.check(Action::Replay(artifact), artifact, of, of).await?;
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

/// For negative controls: success as anybody is a success.
fn credited(mut outcome: Outcome) -> Outcome {
    if outcome.meaning == Meaning::OtherIdentity {
        outcome.meaning = Meaning::Accepted;
    }
    outcome
}
