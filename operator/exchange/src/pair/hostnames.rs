//! The subject by each other declared hostname: one request, the same that it answered by the canonical one.

use accord_plan::agreement::{Action, CookieScope, HostAnswer, Role};

use super::Pair;
use crate::redact::snippet;
use crate::requests::{Run, get};
use crate::session::Session;

impl Pair<'_> {
    /// Asks for what needs no credential. What comes is weighed against what came by the canonical hostname.
    pub(super) async fn hostnames(&mut self) {
        let run = self.run;
        let path = &run.exchange.recipe.check.path;
        let seen =
            |s: &&accord_plan::agreement::Step| (s.action, s.at) == (Action::NoCredential, Role::Subject);
        let canonical = self.trace.steps.iter().find(seen).and_then(|s| s.status);
        for alias in run.exchange.aliases {
            let client = run.exchange.client;
            let reply = client.send(self.subject, alias, run.deadline, get(path)).await;
            let session = Session::default();
            let (status, detail) = match &reply {
                Ok(reply) => (Some(reply.status), run.detail(reply, &session)),
                // Silence is told by the steps of the exchange itself.
                Err(_) => (None, String::new()),
            };
            self.seen.hosts.push(HostAnswer {
                hostname: alias.clone(),
                status,
                canonical,
                detail,
            });
            self.cookies_by(alias).await;
        }
    }

    /// The CSRF cookie by another hostname: a page that is opened by that name sends it back from there.
    async fn cookies_by(&mut self, alias: &str) {
        let run = self.run;
        let csrf = run.exchange.recipe.csrf.as_ref();
        let Some(path) = csrf.and_then(|csrf| csrf.path.as_deref()) else {
            return;
        };
        let request = get(path);
        let client = run.exchange.client;
        if let Ok(reply) = client.send(self.subject, alias, run.deadline, request).await {
            let mut session = Session::default();
            session.set(&reply.set_cookies);
            self.seen.cookies.extend(run.scopes(alias, &session));
        }
    }
}

impl Run<'_> {
    /// Session and CSRF cookies that were set with a `Domain`; all of them where the recipe names none.
    pub(crate) fn scopes(&self, hostname: &str, session: &Session) -> Vec<CookieScope> {
        let recipe = self.exchange.recipe;
        let csrf = recipe.csrf.as_ref().map(|c| c.cookie.as_str());
        let named = [recipe.login.session_cookie.as_deref(), csrf];
        let counts = |name: &str| named == [None, None] || named.contains(&Some(name));
        let domains = session.domains.iter().filter(|(name, _)| counts(name));
        domains
            .map(|(cookie, domain)| CookieScope {
                hostname: hostname.to_owned(),
                cookie: cookie.clone(),
                domain: snippet(domain, &[]),
            })
            .collect()
    }
}
