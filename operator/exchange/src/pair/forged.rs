//! Negative controls with what the subject issued, changed by one character.

use accord_plan::agreement::{Action, Artifact, Role};

use super::Pair;
use super::alone::credited;
use crate::session::Session;
use crate::token;
use crate::trace::Halt;

use Role::Subject;

impl Pair<'_> {
    pub(super) async fn tampered(&mut self, artifact: Artifact) -> Result<(), Halt> {
        let Some(mut session) = self.session(Subject).clone() else {
            return Ok(());
        };
        match artifact {
            Artifact::Session => {
                let named = self.run.exchange.recipe.login.session_cookie.as_deref();
                let alone = self.logged_in_by_others(&session, named).await;
                for (name, value) in &mut session.cookies {
                    if alone || named.is_none_or(|n| n == name) {
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

    /// Whether the other cookies log in without the named one: "remember me" is a credential of its own, and a session
    /// that was tampered with shows nothing beside it.
    async fn logged_in_by_others(&self, session: &Session, named: Option<&str>) -> bool {
        let mut others = session.clone();
        let removed = named.and_then(|name| others.cookies.remove(name));
        if removed.is_none() || others.cookies.is_empty() {
            return false;
        }
        let check = self.run.check(self.subject, &mut others, Some(Artifact::Session));
        // No logout of what this may have made: it would forget the user whom the exchange goes on with.
        credited(check.await).accepted()
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
