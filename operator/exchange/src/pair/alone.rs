//! What each side shows by itself: negative controls, its login and what is seen beside it, its own artifacts.

use accord_plan::agreement::{Action, Artifact, Meaning, Role, Step};
use tokio::sync::oneshot;

use super::Pair;
use crate::anchors;
use crate::password::Password;
use crate::session::Session;
use crate::trace::{Halt, Outcome};

use Role::{Subject, Witness};

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
        let shape = self.run.token(&session);
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
                self.seen.signature = self.run.signature(&session);
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
            self.seen.second_token = self.run.token(&session);
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
            if !all && self.settles().await {
                self.seen.late.insert(Subject);
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
}

/// For negative controls: success as anybody is a success.
pub(super) fn credited(mut outcome: Outcome) -> Outcome {
    if outcome.meaning == Meaning::OtherIdentity {
        outcome.meaning = Meaning::Accepted;
    }
    outcome
}
