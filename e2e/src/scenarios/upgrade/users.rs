//! Users of all the services: each through the Service, by a connection of its own, asked once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::services::USERS;
use crate::http::{PodHttp, Request};
use crate::scenarios::kit::Kit;

const HOST: &str = "accounts.example.com";
const USER: &str = "member1";
const COOKIE: &str = "sid";
/// Between two logins.
const PACE: Duration = Duration::from_millis(100);
/// An hour of logins: whatever becomes of what goes on meanwhile.
const MOST: usize = 36_000;

pub(super) struct Users {
    login: Request,
    /// The way in to each service, and a session there.
    ways: Vec<(PodHttp, String)>,
}

impl Users {
    /// Logs in once at each service.
    pub(super) fn log_in(kit: &Kit<'_>, names: &[String]) -> Result<Self> {
        let password = kit.cluster.secret(kit.namespace, USERS, "password")?;
        let login = Request::post("/api/login", &json!({"username": USER, "password": password})).host(HOST);
        let way = |name: &String| {
            let front = kit.cluster.front(kit.namespace, name)?;
            let answer = front.send(&login)?;
            let session = answer
                .cookie(COOKIE)
                .with_context(|| format!("the login at {name} was answered {}", answer.status))?;
            Ok((front, session))
        };
        let ways = names.iter().map(way).collect::<Result<_>>()?;
        Ok(Self { login, ways })
    }

    /// Logs in at one service after the other for as long as `body` runs. Returns how often; an error when one login failed.
    pub(super) fn go_on_while(&self, body: impl FnOnce() -> Result<()>) -> Result<usize> {
        let over = AtomicBool::new(false);
        let (done, (count, wrong)) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.ask_until(&over));
            let done = body();
            over.store(true, Ordering::Relaxed);
            (done, asking.join().unwrap_or_default())
        });
        done?;
        ensure!(
            wrong.is_empty() && count > 0,
            "{} of {count} logins failed: {:?}",
            wrong.len(),
            wrong.iter().take(5).collect::<Vec<_>>()
        );
        Ok(count)
    }

    fn ask_until(&self, over: &AtomicBool) -> (usize, Vec<String>) {
        let (mut count, mut wrong) = (0, Vec::new());
        for (front, _) in self.ways.iter().cycle().take(MOST) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let begun = Instant::now();
            count += 1;
            match front.send(&self.login) {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => wrong.push(format!("{}: {}", front.pod(), answer.status)),
                Err(error) => wrong.push(format!("{error:#}")),
            }
            std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
        }
        (count, wrong)
    }

    /// Asks every service who it is that has a session of before.
    pub(super) fn are_still_logged_in(&self) -> Result<()> {
        for (front, session) in &self.ways {
            let answer = front.send(&Request::get("/api/me").host(HOST).cookie(COOKIE, session))?;
            ensure!(
                answer.status == 200 && answer.json["username"] == USER,
                "a session of before is answered {} by that {}",
                answer.status,
                front.pod()
            );
        }
        Ok(())
    }
}
