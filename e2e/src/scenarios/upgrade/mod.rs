//! An upgrade of the operator, by Helm: what one version made is taken over by the next, and no server is touched. Users
//! of twenty services log in all the while, and those who were logged in stay so.
//!
//! What CI runs needs no second build: the version before is this one's image under another tag, which is all that tells the
//! pods of two releases apart that render the same. So everything has to stay as it is, to the last resourceVersion. With
//! `ACCORD_LONG=1` it is an earlier commit with the chart of then, and what may not change is what users meet.

mod objects;
mod services;
mod users;
mod version;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use self::objects::Objects;
use self::users::Users;
use self::version::Version;
use super::idle;
use super::kit::{self, CHANGE, Kit, NOTICE, seconds};
use crate::audit::{Mark, Request};
use crate::cluster::Cluster;
use crate::demo::SYSTEM;
use crate::wait::{Seen, wait};

/// How many services there are.
const SERVICES: usize = 20;

pub(super) fn run(cluster: &Cluster) -> Result<()> {
    if !cluster.is_embedded() {
        kit::left_out(
            "it reads the audit log and gives an image another name, which only the embedded cluster lets it",
        );
        return Ok(());
    }
    kit::with(cluster, "scenario-upgrade", "accounts", |kit| {
        let now = Version::installed(cluster)?;
        let before = if kit::either(false, true) {
            Version::earlier(cluster)?
        } else {
            now.under_another_tag()?
        };
        let told = before
            .install(cluster)
            .and_then(|()| taken_over(kit, &before, &now));
        // Whatever was seen: what comes next needs it.
        let back = now.install(cluster).and_then(|()| before.forget());
        told.and_then(|told| back.map(|()| told))
    })
}

fn taken_over(kit: &Kit<'_>, before: &Version, now: &Version) -> Result<String> {
    let (mark, begun) = (Mark::now()?, Instant::now());
    let names = services::declare(kit, SERVICES)?;
    let made = begun.elapsed();
    idle::settled(kit, mark)?;
    let users = Users::log_in(kit, &names)?;
    let objects = Objects::now(kit)?;

    let (mark, begun, mut took) = (Mark::now()?, Instant::now(), Duration::ZERO);
    let logins = users.go_on_while(|| {
        now.install(kit.cluster)?;
        took = begun.elapsed();
        proved(kit, now, &names)?;
        idle::settled(kit, mark)
    })?;
    users.are_still_logged_in()?;
    let after = Objects::now(kit)?;
    let (changed, writes) = (objects.changed(&after), written(kit, &mark)?);
    if before.is_the_same() {
        ensure!(
            changed.is_empty(),
            "the upgrade touched {} of {} objects: {}",
            changed.len(),
            objects.count(),
            changed.join("; ")
        );
        ensure!(
            writes.is_empty(),
            "the new one wrote: {}",
            writes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        );
    }
    let moved = objects.moved(&after);
    ensure!(
        moved.is_empty(),
        "the upgrade moved what users meet: {}",
        moved.join("; ")
    );

    // The new one is at work: it admits a replica.
    let begun = Instant::now();
    kit.scale(2)?;
    kit.ready(CHANGE)?;
    Ok(format!(
        "{} services, made in {} by {before}, were taken over in {}: {} of {} objects touched, {} writes besides {} of status \
         and events; {logins} of {logins} logins worked, all {} sessions of before live on; then a scale-up was admitted in {}",
        names.len(),
        seconds(made),
        seconds(took),
        changed.len(),
        objects.count(),
        writes.len(),
        kit.writes(&mark)?.len() - writes.len(),
        names.len(),
        seconds(begun.elapsed())
    ))
}

/// Waits until the new leader has logged in at a replica of each service: from then on it knows them all.
fn proved(kit: &Kit<'_>, now: &Version, names: &[String]) -> Result<()> {
    wait(
        kit.cluster,
        SYSTEM,
        "the new leader to have looked at every service",
        NOTICE,
        || {
            let leader = now.leader(kit.cluster)?;
            let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{leader}:8080/proxy/metrics");
            let metrics = kit.cluster.kubectl(&["get", "--raw", &path])?;
            let logins: Vec<&str> = metrics
                .lines()
                .filter(|line| is_login(line, kit.namespace))
                .collect();
            let service = |name: &str| format!("service=\"{name}\"");
            let left = names
                .iter()
                .filter(|n| !logins.iter().any(|l| l.contains(&service(n))));
            Ok(match left.count() {
                0 => Seen::Done(()),
                left => Seen::NotYet(format!("{left} of {} aren't", names.len())),
            })
        },
    )
}

/// True for a count of the prober's logins in a namespace that were as they should be. It is there from the first on.
fn is_login(line: &str, namespace: &str) -> bool {
    let labels = [
        format!("namespace=\"{namespace}\""),
        "step=\"login\"".to_owned(),
        "result=\"ok\"".to_owned(),
    ];
    line.starts_with("accord_probe_requests_total{") && labels.iter().all(|l| line.contains(l))
}

/// What Accord wrote since, but for its word on each service: that may be said anew.
fn written(kit: &Kit<'_>, since: &Mark) -> Result<Vec<Request>> {
    let mut writes = kit.writes(since)?;
    writes.retain(|w| w.resource != "authservices/status" && w.resource != "events");
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_login_that_worked_in_the_namespace_shows_that_a_service_was_looked_at() {
        let line = r#"accord_probe_requests_total{namespace="n",service="a",step="login",result="ok"} 1"#;
        assert!(is_login(line, "n"));
        assert!(!is_login(line, "elsewhere"));
        assert!(!is_login(&line.replace("login", "check"), "n"));
        assert!(!is_login(&line.replace("ok", "refused"), "n"));
        assert!(!is_login(&line.replace("_total", "_created"), "n"));
    }
}
