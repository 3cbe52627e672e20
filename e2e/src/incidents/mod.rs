//! `cargo xtask demo --incident`: the incidents that Accord exists for, each on real applications in four ways: as a plain
//! Deployment, as a first declaration under Accord, as an update of a release that works, and mended.
//!
//! An incident is a line in [`ALL`]; an application is an entry in `apps`. What users meet is measured by their visits
//! from outside; what Accord says is read from status.

mod apps;
pub(crate) mod cutover;
pub(crate) mod later;
mod load;
pub(crate) mod plain;
mod replica;
mod report;
mod stages;
mod visit;

use anyhow::{Context, Result, ensure};

use self::apps::App;
use self::report::Report;
use crate::cluster::Cluster;
use crate::demo;
use crate::progress;

/// One incident.
pub struct Incident {
    /// What it is called with `--incident`.
    pub name: &'static str,
    /// What was reported.
    pub reported: &'static str,
    /// The application.
    app: &'static App,
    /// The value of the application's fault variable.
    fault: &'static str,
    /// What Accord has to say of the pods: any of these, and nothing else.
    reasons: &'static [&'static str],
    /// False where a faulty replica keeps sessions in signed cookies, which nobody can end: not what is at fault.
    sessions_end: bool,
    /// What a visit is.
    visit: Kind,
    /// What becomes of an update with the fault.
    update: Outcome,
    /// Stores of its own, and the declaration with them in place of the managed ones.
    stores: Option<Stores>,
    /// The recipe, as YAML, where the preset's isn't enough.
    recipe: Option<&'static str>,
    /// How many users are sent to the plain replicas.
    plain_users: usize,
    /// What was done by hand on the plain replicas, as in the report.
    by_hand: plain::ByHand,
}

/// Brings up stores in a namespace, and puts them into a declaration.
type Stores = fn(&Cluster, &str, &str) -> Result<String>;

/// What users do when they visit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Log in, look, refresh, log out.
    Session,
    /// Change the password.
    Password,
}

/// What becomes of an update with a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// What was released comes back by itself.
    Withdrawn,
    /// It waits: that a replica is slow is no proof that it diverges. What was released serves on.
    Held,
}

/// What most incidents have in common.
const USUAL: Incident = Incident {
    name: "",
    reported: "",
    app: &apps::ORDERS,
    fault: "",
    reasons: &[],
    sessions_end: true,
    visit: Kind::Session,
    update: Outcome::Withdrawn,
    stores: None,
    recipe: None,
    plain_users: 60,
    by_hand: plain::ByHand::NOTHING,
};

/// Every incident.
pub const ALL: &[Incident] = &[
    Incident {
        name: "orders-local-database",
        reported: "a SQLite file on each machine; users were made by hand on one of them",
        fault: "local-database",
        reasons: &["LocalDatabase"],
        by_hand: plain::ByHand {
            on_each: &["python", "manage.py", "migrate", "--noinput"],
            on_first: &["python", "manage.py", "create_demo_users"],
        },
        ..USUAL
    },
    Incident {
        name: "orders-local-database-seeded",
        reported: "a SQLite file on each machine, and the entry point fills it: users of the shared one are nowhere",
        fault: "local-database-seeded",
        reasons: &["LocalDatabase"],
        ..USUAL
    },
    Incident {
        name: "orders-local-session",
        reported: "sessions in the memory of each process",
        fault: "local-session",
        reasons: &["LocalSession"],
        ..USUAL
    },
    Incident {
        name: "orders-local-revocation",
        reported: "a logout is known to one server only",
        fault: "local-revocation",
        reasons: &["LocalRevocation"],
        ..USUAL
    },
    Incident {
        name: "orders-key-per-start",
        reported: "a new secret key at each start",
        fault: "key-per-start",
        reasons: &["KeyMismatch"],
        ..USUAL
    },
    Incident {
        name: "orders-worker-state",
        reported: "several workers in one pod, each with sessions of its own",
        fault: "worker-state",
        reasons: &["LocalSession"],
        ..USUAL
    },
    Incident {
        name: "orders-stale-password",
        reported: "each server believes its own cache of users for five minutes: a changed password is unknown elsewhere",
        fault: "stale-password",
        reasons: &["StaleCache"],
        visit: Kind::Password,
        recipe: Some(apps::ORDERS_RECIPE),
        // Each of the demo users once.
        plain_users: 4,
        ..USUAL
    },
    Incident {
        name: "orders-lagging-replica",
        reported: "users and revoked tokens are read from a replica of the database that is behind",
        fault: "lagging-replica",
        reasons: &["StaleReplica"],
        update: Outcome::Held,
        stores: Some(replica::stores),
        ..USUAL
    },
    Incident {
        name: "tickets-memory-sessions",
        reported: "sessions in the memory of a process, lost with it",
        app: &apps::TICKETS,
        fault: "memory-sessions",
        // An opaque id that another replica doesn't know looks like one that it can't verify, unless the store is seen.
        reasons: &["LocalSession", "Ambiguous"],
        ..USUAL
    },
    Incident {
        name: "tickets-key-per-start",
        reported: "signed sessions, and a key that is made at start",
        app: &apps::TICKETS,
        fault: "key-per-start",
        reasons: &["KeyMismatch"],
        sessions_end: false,
        ..USUAL
    },
    Incident {
        name: "tickets-non-permanent-session",
        reported: "the session isn't marked permanent: it ends with the browser, and not after 31 days",
        app: &apps::TICKETS,
        fault: "non-permanent-session",
        reasons: &["CookieAttributes"],
        recipe: Some(apps::TICKETS_RECIPE),
        ..USUAL
    },
    Incident {
        name: "tickets-cookie-attributes",
        reported: "a cookie without Secure, HttpOnly and SameSite",
        app: &apps::TICKETS,
        fault: "cookie-attributes",
        reasons: &["CookieAttributes"],
        recipe: Some(apps::TICKETS_RECIPE),
        ..USUAL
    },
    Incident {
        name: "workflows-token-format",
        reported: "tokens of two formats in one fleet",
        app: &apps::WORKFLOWS,
        fault: "token-format",
        reasons: &["TokenFormat"],
        ..USUAL
    },
    Incident {
        name: "workflows-two-formats",
        reported: "one server issues both formats in turn, and honours one of them",
        app: &apps::WORKFLOWS,
        fault: "two-formats-in-one-pod",
        reasons: &["TokenFormat"],
        ..USUAL
    },
    Incident {
        name: "workflows-memory-sessions",
        reported: "sessions and refresh tokens in the memory of a process",
        app: &apps::WORKFLOWS,
        fault: "memory-sessions",
        reasons: &["LocalSession"],
        ..USUAL
    },
    Incident {
        name: "workflows-wrong-environment",
        reported: "the production host isn't in the list of production hosts: cookies for localhost",
        app: &apps::WORKFLOWS,
        fault: "wrong-environment",
        reasons: &["HostnameMismatch"],
        ..USUAL
    },
    Incident {
        name: "workflows-blocking-login",
        reported: "a login blocks the event loop for 30 seconds, and nobody else is answered",
        app: &apps::WORKFLOWS,
        fault: "blocking-login",
        reasons: &["Slow"],
        update: Outcome::Held,
        // Each waits for its time limit.
        plain_users: 4,
        ..USUAL
    },
];

/// Says which incidents there are.
pub fn list() {
    for incident in ALL {
        println!("{:<26} {}", incident.name, incident.reported);
    }
}

/// The incidents of a name, or `all`.
fn choose(name: &str) -> Result<Vec<&'static Incident>> {
    if name == "all" {
        return Ok(ALL.iter().collect());
    }
    let found = ALL.iter().find(|i| i.name == name).with_context(|| {
        let known: Vec<&str> = ALL.iter().map(|i| i.name).collect();
        format!(
            "there is no incident `{name}`; there are: {}, and all",
            known.join(", ")
        )
    })?;
    Ok(vec![found])
}

/// Runs an incident, or all; true when each was as Accord promises.
pub fn run(cluster: &Cluster, name: &str) -> Result<bool> {
    let chosen = choose(name)?;
    ensure!(
        cluster.is_embedded(),
        "the incidents send users to a Service's own address, which is reached on the embedded cluster only: leave out \
         --context"
    );
    demo::install(cluster)?;
    let mut report = Report::default();
    for incident in chosen {
        progress::say(&format!("── {}: {}", incident.name, incident.reported));
        report.add(stages::run(cluster, incident)?);
    }
    report.print();
    Ok(report.is_perfect())
}

/// One incident as a scenario: an error when anything was otherwise than promised.
pub(crate) fn show(cluster: &Cluster, name: &str) -> Result<String> {
    let mut words = Vec::new();
    for incident in choose(name)? {
        let row = stages::run(cluster, incident)?;
        row.ensure_kept()?;
        words.push(row.sentence());
    }
    Ok(words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_an_unknown_one_lists_the_known() {
        let mut names: Vec<&str> = ALL.iter().map(|i| i.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let error = choose("no-such").err().unwrap().to_string();
        assert!(
            error.contains("orders-local-database") && error.contains("all"),
            "{error}"
        );
        assert_eq!(choose("all").unwrap().len(), ALL.len());
    }
}
