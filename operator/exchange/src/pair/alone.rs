//! What each side shows by itself: negative controls, its login and what is seen beside it, its own artifacts.

use accord_plan::agreement::{Action, Artifact, Meaning, Role, Step};
use tokio::sync::oneshot;

use super::Pair;
use crate::password::Password;
use crate::session::Session;
use crate::trace::{Halt, Outcome};
use crate::{anchors, token};

use Role::{Subject, Witness};

/// Measured with two and more workers: eight at once found each of them, four in a row never did.
pub(super) const AT_ONCE: usize = 8;

impl Pair<'_> {
    /// Negative controls that need no login.
    pub(super) async fn controls(&mut self) -> Result<(), Halt> {
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
        let mut outcome = self.run.login(self.subject, &mut session, Password::Wrong).await;
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
    pub(super) async fn log_in(&mut self, role: Role) -> Result<bool, Halt> {
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
            let outcome = self.run.login(at, &mut session, Password::Declared).await;
            drop((over, cache_over));
            outcome
        };
        let (mut outcome, database, cache) = tokio::join!(
            login,
            anchors::seen(database, until),
            anchors::seen(cache, cache_until)
        );
        if outcome.meaning == Meaning::Rejected
            && let Some((recovered, again)) = self.recover(role).await
        {
            (session, outcome) = (recovered, again);
        }
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
                self.seen.clock = session.clock;
                self.seen.cookie = self.run.declared_cookie(&session);
                self.seen.signed_cookie = self.run.signed_cookie(&session);
                let hostname = self.run.exchange.hostname;
                self.seen.cookies.extend(self.run.scopes(hostname, &session));
            }
            Witness => {
                self.seen.witness_database = database;
                self.seen.witness_cache = cache;
                self.seen.witness_token = shape;
                self.seen.witness_key = key;
                self.seen.witness_clock = session.clock;
            }
        }
        let accepted = self.add(Action::Login, role, role, outcome)? == Meaning::Accepted;
        if accepted {
            *self.session(role) = Some(session);
        }
        Ok(accepted)
    }

    /// Where the subject refuses the canary: how does the witness refuse somebody whom it doesn't know? It locks nobody's
    /// account.
    pub(super) async fn stranger(&mut self) -> Result<(), Halt> {
        let refused =
            |s: &&Step| s.action == Action::Login && s.at == Subject && s.meaning != Meaning::Accepted;
        if !self.trace.steps.iter().any(|s| refused(&s)) {
            return Ok(());
        }
        let at = self.replica(Witness);
        let mut session = Session::default();
        if self
            .run
            .csrf(at, &mut session)
            .await
            .is_some_and(|outcome| !outcome.accepted())
        {
            return Ok(());
        }
        let outcome = self.run.login_as_stranger(at, &mut session).await;
        if outcome.accepted() {
            // A session of nobody.
            let _ = self.run.logout(at, &session).await;
        }
        self.add(Action::Stranger, Witness, Witness, outcome)?;
        Ok(())
    }

    /// Logs in at the subject once more, to see whether it issues tokens of one shape only. A refusal says nothing: it may
    /// limit logins.
    pub(super) async fn second_login(&mut self) {
        if self.seen.token.is_none() {
            return;
        }
        let mut session = Session::default();
        let csrf = self.run.csrf(self.subject, &mut session).await;
        if csrf.is_some_and(|outcome| !outcome.accepted()) {
            return;
        }
        if self
            .run
            .login(self.subject, &mut session, Password::Declared)
            .await
            .accepted()
        {
            self.seen.second_token = session.access.as_deref().and_then(token::shape);
            let _ = self.run.logout(self.subject, &session).await;
        }
    }

    /// Checks each artifact at its issuer; at the subject also one that was tampered with.
    pub(super) async fn own(&mut self, role: Role) -> Result<bool, Halt> {
        let mut all = true;
        for artifact in self.run.artifacts() {
            let before = self.session(role).as_ref().map(|s| s.cookies.clone());
            all &= self.check(Action::Own(artifact), artifact, role, role).await? == Meaning::Accepted;
            self.renews |= before != self.session(role).as_ref().map(|s| s.cookies.clone());
        }
        self.stored(role).await;
        if role == Subject {
            for artifact in self.run.artifacts() {
                all &= self.at_once(artifact).await?;
            }
            self.seen.settled = !all && self.settles().await;
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
        let Some(session) = self.session(role).clone() else {
            return;
        };
        let anchors = run.exchange.anchors;
        let holds = match (run.session_key(&session), run.session_row(&session)) {
            (Some(key), _) => anchors.holds(&key).await,
            (None, Some((row, id))) => anchors.has_row(row, &id).await,
            (None, None) => None,
        };
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
            async move {
                let outcome = run.check(subject, &mut session, Some(artifact)).await;
                (outcome, session)
            }
        });
        let (mut outcomes, given): (Vec<_>, Vec<_>) =
            futures::future::join_all(checks).await.into_iter().unzip();
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
        if artifact == Artifact::Session {
            self.tampered_signature().await?;
        }
        Ok(())
    }

    /// A signature in a cookie of its own (`NAME.sig`, as Express' cookie-session and Koa have it).
    async fn tampered_signature(&mut self) -> Result<(), Halt> {
        let named = self.run.exchange.recipe.login.session_cookie.as_deref();
        let signature = named.map(|name| format!("{name}.sig"));
        let Some(mut session) = self.session(Subject).clone() else {
            return Ok(());
        };
        let Some(value) = signature.and_then(|name| session.cookies.get_mut(&name)) else {
            return Ok(());
        };
        *value = token::tamper(value);
        let check = self
            .run
            .check(self.subject, &mut session, Some(Artifact::Session));
        let outcome = credited(check.await);
        self.add(Action::Tampered(Artifact::Session), Subject, Subject, outcome)?;
        Ok(())
    }
}

/// For negative controls: success as anybody is a success.
fn credited(mut outcome: Outcome) -> Outcome {
    if outcome.meaning == Meaning::OtherIdentity {
        outcome.meaning = Meaning::Accepted;
    }
    outcome
}
