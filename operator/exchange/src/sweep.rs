//! The sweep: one session, made at one replica, checked at all, ended at a second one and rejected by all.
//!
//! O(N) requests and one login. It finds out who is to be examined; a finding becomes a verdict only by an exchange.

use accord_plan::agreement::{Action, Artifact, Observations, Role, Step};

use crate::password::Password;
use crate::requests::Run;
use crate::session::Session;
use crate::trace::Outcome;
use crate::{Exchange, Replica};

use Role::{Subject, Witness};

impl Exchange<'_> {
    /// Makes a session at `replicas[issuer]` and ends it at `replicas[ender]`. One report for each replica that was
    /// asked, seen as the subject with the issuer as its witness; the issuer's own has the ender as witness.
    /// Where the issuer itself fails, its report is the only one.
    pub async fn sweep(&self, replicas: &[Replica], issuer: usize, ender: usize) -> Vec<Observations> {
        let run = Run::new(*self);
        let (Some(home), Some(end)) = (replicas.get(issuer), replicas.get(ender)) else {
            return Vec::new();
        };
        let mut session = Session::default();
        let blank = |subject: &Replica, witness: Option<&Replica>, steps: Vec<Step>| Observations {
            subject: subject.name.clone(),
            witness: witness.map(|w| w.name.clone()),
            conventions: run.conventions(),
            after_logout: run.after_logout(),
            steps,
            ..Observations::default()
        };

        // At the issuer: login and check.
        let mut at_home = Vec::new();
        if let Some(csrf) = run.csrf(home, &mut session).await {
            at_home.push((Action::Csrf, csrf));
        }
        if at_home.iter().all(|(_, outcome)| outcome.accepted()) {
            at_home.push((
                Action::Login,
                run.login(home, &mut session, Password::Declared).await,
            ));
        }
        if at_home.iter().all(|(_, outcome)| outcome.accepted()) {
            for artifact in run.artifacts() {
                let outcome = run.check(home, &mut session, Some(artifact)).await;
                at_home.push((Action::Own(artifact), outcome));
            }
        }
        let told = |role: Role| -> Vec<Step> {
            at_home
                .iter()
                .cloned()
                .map(|(action, outcome)| outcome.step(action, role, role))
                .collect()
        };
        let works = at_home.iter().all(|(_, outcome)| outcome.accepted());
        if !works {
            if !session.cookies.is_empty() || session.access.is_some() {
                let _ = run.logout(home, &session).await;
            }
            return vec![blank(home, None, told(Subject))];
        }

        // At the others: check, and at the issuer again where one refuses.
        let mut reports = vec![blank(home, (ender != issuer).then_some(end), told(Subject))];
        let peers: Vec<&Replica> = replicas
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != issuer)
            .map(|(_, replica)| replica)
            .collect();
        for peer in &peers {
            let mut report = blank(peer, Some(home), told(Witness));
            for artifact in run.artifacts() {
                let outcome = run.check(peer, &mut session, Some(artifact)).await;
                let (halts, accepted) = (outcome.halts(), outcome.accepted());
                report
                    .steps
                    .push(outcome.step(Action::Cross(artifact), Subject, Witness));
                if halts {
                    break;
                }
                if !accepted {
                    let again = run.check(home, &mut session, Some(artifact)).await;
                    report
                        .steps
                        .push(again.step(Action::Again(artifact), Witness, Witness));
                }
            }
            reports.push(report);
        }

        // The end, at the ender first, and then everywhere. A replica that didn't answer before isn't asked again.
        let Some(logout) = run.logout(end, &session).await else {
            return reports;
        };
        let mut control: Vec<(Action, Outcome)> = Vec::new();
        if logout.accepted() {
            control = replay(&run, end, &session, true).await;
        }
        for (report, replica) in reports.iter_mut().zip(std::iter::once(home).chain(peers)) {
            let is_ender = replica.name == end.name;
            let is_issuer = replica.name == home.name;
            let of = if is_issuer { Subject } else { Witness };
            let at = if is_ender { Subject } else { Witness };
            // A logout that fails is the ender's affair.
            if is_ender || logout.accepted() {
                report.steps.push(logout.clone().step(Action::Logout, at, of));
            }
            let known = control.iter().cloned();
            report
                .steps
                .extend(known.map(|(action, outcome)| outcome.step(action, at, of)));
            let silent = report.steps.iter().any(|s| s.at == Subject && s.status.is_none());
            if is_ender || silent || control.is_empty() {
                continue;
            }
            let refused = control
                .iter()
                .all(|(action, outcome)| *action != Action::Replay(Artifact::Refresh) || !outcome.accepted());
            for (action, outcome) in replay(&run, replica, &session, refused).await {
                report.steps.push(outcome.step(action, Subject, of));
            }
        }
        reports
    }
}

/// Tries every artifact of an ended session at one replica.
async fn replay(run: &Run<'_>, at: &Replica, session: &Session, refresh: bool) -> Vec<(Action, Outcome)> {
    let mut outcomes = Vec::new();
    for artifact in run.artifacts() {
        let outcome = run.check(at, &mut session.clone(), Some(artifact)).await;
        let halts = outcome.halts();
        outcomes.push((Action::Replay(artifact), outcome));
        if halts {
            return outcomes;
        }
    }
    if refresh && let Some(outcome) = run.refresh(at, &mut session.clone()).await {
        outcomes.push((Action::Replay(Artifact::Refresh), outcome));
    }
    outcomes
}
