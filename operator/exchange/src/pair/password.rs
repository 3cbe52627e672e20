//! Whether a change of password takes effect at both at once, and the way back to the declared password.
//!
//! The account has to have the declared password in the end, whatever fails: it is changed back in the same exchange, at
//! the other replica where the first one can't, and by the next login where this exchange didn't get that far.

use accord_plan::agreement::{Action, Meaning, Role};

use super::Pair;
use crate::password::Password;
use crate::requests::Run;
use crate::session::Session;
use crate::trace::{Halt, Outcome};

use Role::{Subject, Witness};

impl Pair<'_> {
    /// Changes the password at the witness and tries both passwords at either.
    ///
    /// A successful login with a password that is about to be taken back may be remembered by whoever caches users, so
    /// nothing is tried that couldn't add to what is known.
    pub(super) async fn change_password(&mut self) -> Result<(), Halt> {
        if self.run.exchange.recipe.change_password.is_none() {
            return Ok(());
        }
        let Some(mut session) = self.new_session(Witness).await else {
            return Ok(());
        };
        let (run, witness) = (self.run, self.replica(Witness));
        let changed = run.change_password(witness, &mut session, Password::Declared, Password::Other);
        let Some(changed) = changed.await else {
            return Ok(());
        };
        // A refusal has changed nothing. Anything else may have.
        let refused = changed.meaning == Meaning::Rejected;
        let compared = match self.add(Action::ChangePassword, Witness, Witness, changed) {
            Ok(Meaning::Accepted) => self.compare().await,
            Ok(_) => Ok(()),
            Err(halt) => Err(halt),
        };
        if !refused {
            let restored = self.restore(session).await;
            self.trace
                .steps
                .push(restored.step(Action::RestorePassword, Witness, Witness));
        }
        compared
    }

    async fn compare(&mut self) -> Result<(), Halt> {
        let (old, new) = (Password::Declared, Password::Other);
        // The control first: where the change was made the old one has to be refused.
        let control = self.try_password(Action::OldPassword, Witness, old).await?;
        let there = self.try_password(Action::OldPassword, Subject, old).await?;
        if (control, there) != (Meaning::Rejected, Meaning::Rejected) {
            return Ok(());
        }
        if self.try_password(Action::NewPassword, Witness, new).await? == Meaning::Accepted {
            self.try_password(Action::NewPassword, Subject, new).await?;
        }
        Ok(())
    }

    async fn try_password(&mut self, action: Action, at: Role, password: Password) -> Result<Meaning, Halt> {
        let outcome = login_and_out(&self.run, self.replica(at), password).await;
        self.add(action, at, at, outcome)
    }

    /// Changes the password back, with time of its own: first with the session that changed it, at the witness.
    async fn restore(&self, session: Session) -> Outcome {
        let run = Run::new(self.run.exchange);
        let (from, to) = (Password::Other, Password::Declared);
        let mut known = Some(session);
        let mut last = None;
        for role in [Witness, Subject] {
            let at = self.replica(role);
            // Of the sessions that may be had, one that the application still honours.
            for password in [None, Some(from), Some(to)] {
                let session = match password {
                    None => known.take(),
                    Some(password) => log_in(&run, at, password).await.ok(),
                };
                let Some(mut session) = session else { continue };
                let Some(outcome) = run.change_password(at, &mut session, from, to).await else {
                    continue;
                };
                let _ = run.logout(at, &session).await;
                if outcome.accepted() {
                    return outcome;
                }
                last = Some(outcome);
            }
            // An answer that was lost on the way may have been a success.
            let declared = login_and_out(&run, at, to).await;
            if declared.accepted() && !login_and_out(&run, at, from).await.accepted() {
                return declared;
            }
            last.get_or_insert(declared);
        }
        match last {
            Some(outcome) => outcome,
            None => login_and_out(&run, self.replica(Witness), to).await,
        }
    }

    /// After the declared password was refused: whether the canary has the one that an exchange that was cut off left
    /// it. Then it is changed back, and the login is made again.
    pub(super) async fn recover(&mut self, role: Role) -> Option<(Session, Outcome)> {
        self.run.exchange.recipe.change_password.as_ref()?;
        let (run, at) = (self.run, self.replica(role));
        let mut left = Session::default();
        let outcome = attempt(&run, at, &mut left, Password::Other).await;
        if !outcome.accepted() {
            return None;
        }
        self.trace
            .steps
            .push(outcome.step(Action::LeftPassword, role, role));
        let back = run
            .change_password(at, &mut left, Password::Other, Password::Declared)
            .await;
        let _ = run.logout(at, &left).await;
        if !back.is_some_and(|outcome| outcome.accepted()) {
            return None;
        }
        let mut session = Session::default();
        let outcome = attempt(&run, at, &mut session, Password::Declared).await;
        Some((session, outcome))
    }

    pub(super) async fn new_session(&self, role: Role) -> Option<Session> {
        log_in(&self.run, self.replica(role), Password::Declared)
            .await
            .ok()
    }
}

/// Logs in, with the CSRF token before where there is one.
async fn attempt(run: &Run<'_>, at: &crate::Replica, session: &mut Session, password: Password) -> Outcome {
    if let Some(csrf) = run.csrf(at, session).await
        && !csrf.accepted()
    {
        return csrf;
    }
    run.login(at, session, password).await
}

async fn log_in(run: &Run<'_>, at: &crate::Replica, password: Password) -> Result<Session, Outcome> {
    let mut session = Session::default();
    let outcome = attempt(run, at, &mut session, password).await;
    if outcome.accepted() {
        Ok(session)
    } else {
        Err(outcome)
    }
}

/// What a login comes to; the session that it gave is ended.
async fn login_and_out(run: &Run<'_>, at: &crate::Replica, password: Password) -> Outcome {
    let mut session = Session::default();
    let outcome = attempt(run, at, &mut session, password).await;
    if outcome.accepted() {
        let _ = run.logout(at, &session).await;
    }
    outcome
}
