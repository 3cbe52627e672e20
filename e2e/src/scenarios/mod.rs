//! What is shown on a real cluster, one scenario a file. Each makes its own namespace and leaves nothing.

mod away;
mod bad_input;
mod blocked;
mod calm;
mod chart;
mod conflict;
mod crd_rules;
mod custom;
mod cutover;
mod django_orders;
mod django_page;
mod drift;
mod edge;
mod express;
mod external;
mod idle;
mod incident;
pub(crate) mod kit;
mod later;
mod leader;
mod local_database;
mod loss;
mod migration_failed;
mod node;
mod observe;
mod paused;
mod port_forward;
mod preflight;
mod restart;
mod retain;
mod rights;
mod secrets;
mod upgrade;

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;

/// A scenario.
pub struct Scenario {
    /// What it is called with `--scenario`.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// What else may run meanwhile.
    pub room: Room,
    /// Runs it; an error says what was otherwise.
    pub run: fn(&Cluster) -> Result<()>,
}

/// How much of the cluster a scenario needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// The operator, the node or the network are its subject: nothing else runs meanwhile.
    Cluster,
    /// It keeps to its namespace: another one runs beside it.
    Namespace,
}

/// Every scenario, in the order in which they run: what others rest on comes first, and what takes longest before what
/// runs beside it.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "node",
        shows: "a pod with a volume answers another by its Service's name, and sees the other's own address",
        room: Room::Cluster,
        run: node::run,
    },
    Scenario {
        name: "port-forward",
        shows: "a pod is asked through the API server, with the declared host, where its address can't be reached",
        room: Room::Cluster,
        run: port_forward::run,
    },
    Scenario {
        name: "crd-rules",
        shows: "the API server refuses declarations that can't work, with a sentence that says what to do",
        room: Room::Cluster,
        run: crd_rules::run,
    },
    Scenario {
        name: "chart-policy",
        shows: "the policy on pods/status leaves Accord's account one condition and nothing else",
        room: Room::Cluster,
        run: chart::policy,
    },
    Scenario {
        name: "chart-lifecycle",
        shows: "the chart installs, upgrades its CRD, keeps it on uninstall and takes it over again",
        room: Room::Cluster,
        run: chart::lifecycle,
    },
    Scenario {
        name: "calm",
        shows: "minutes of scaling and rolling a healthy service raise no alarm (ACCORD_LONG=1: an hour)",
        room: Room::Namespace,
        run: calm::run,
    },
    Scenario {
        name: "django-orders",
        shows: "every replica honours what the others issue, from one to five and back, and through restarts",
        room: Room::Namespace,
        run: django_orders::run,
    },
    Scenario {
        name: "local-database",
        shows: "replicas with a database each never take traffic, are named, and are withdrawn as an update",
        room: Room::Namespace,
        run: local_database::run,
    },
    Scenario {
        name: "preflight",
        shows: "a revision that would keep users in files gets no server, says what to paste, and stops nobody",
        room: Room::Namespace,
        run: preflight::run,
    },
    Scenario {
        name: "observe",
        shows: "a Deployment that somebody else made is judged and not touched",
        room: Room::Namespace,
        run: observe::run,
    },
    Scenario {
        name: "edge",
        shows: "the way in from outside is tried, and a router that strips Set-Cookie is named",
        room: Room::Namespace,
        run: edge::run,
    },
    Scenario {
        name: "incident",
        shows: "sessions in each replica's memory: a plain Deployment loses users, Accord none, and says why",
        room: Room::Namespace,
        run: incident::run,
    },
    Scenario {
        name: "later",
        shows: "a replica that diverges after an hour is named by a sweep, isolated, and replaced",
        room: Room::Namespace,
        run: later::run,
    },
    Scenario {
        name: "cutover",
        shows: "a release that ends all sessions is stopped, and users are moved at once when it is accepted",
        room: Room::Namespace,
        run: cutover::run,
    },
    Scenario {
        name: "migration-failed",
        shows: "a failed migration serves nothing, says why without secrets, and what was released serves on",
        room: Room::Namespace,
        run: migration_failed::run,
    },
    Scenario {
        name: "django-page",
        shows: "the project that the documentation's page on Django makes runs as three replicas that agree",
        room: Room::Namespace,
        run: django_page::run,
    },
    Scenario {
        name: "custom",
        shows: "an application without a preset agrees by what is written out in its declaration",
        room: Room::Namespace,
        run: custom::run,
    },
    Scenario {
        name: "express",
        shows: "an application that no preset knows agrees, and sessions in memory and a key per start are named",
        room: Room::Namespace,
        run: express::run,
    },
    Scenario {
        name: "external",
        shows: "a database and a cache that Accord doesn't run serve as well, and are checked",
        room: Room::Namespace,
        run: external::run,
    },
    Scenario {
        name: "idle",
        shows: "a service at rest is not written to, while sweeps go on",
        room: Room::Namespace,
        run: idle::run,
    },
    Scenario {
        name: "drift",
        shows: "what somebody changes by hand is put right, once",
        room: Room::Namespace,
        run: drift::run,
    },
    Scenario {
        name: "bad-input",
        shows: "whatever is wrong with a declaration is refused or told, harms nobody, and leaves nothing once it is taken back",
        room: Room::Namespace,
        run: bad_input::run,
    },
    Scenario {
        name: "conflict",
        shows: "an object of somebody else is left alone and named",
        room: Room::Namespace,
        run: conflict::run,
    },
    Scenario {
        name: "paused",
        shows: "the annotation accord.dev/paused stops every write",
        room: Room::Namespace,
        run: paused::run,
    },
    Scenario {
        name: "secrets",
        shows: "no value of a Secret stands in a log, event, status, object, metric or command line",
        room: Room::Namespace,
        run: secrets::run,
    },
    Scenario {
        name: "retain",
        shows: "a service that is declared again finds its keys, volumes and users; with Delete nothing is left",
        room: Room::Namespace,
        run: retain::run,
    },
    Scenario {
        name: "lost",
        shows: "what is lost or written over while it serves comes back or is named, and nothing is made anew",
        room: Room::Namespace,
        run: loss::serving::run,
    },
    Scenario {
        name: "restore",
        shows: "a namespace that was deleted comes back from a backup with its users, sessions and tokens",
        room: Room::Namespace,
        run: loss::restore::run,
    },
    Scenario {
        name: "restart",
        shows: "a restarted container takes no traffic on the proof of the one before it",
        room: Room::Cluster,
        run: restart::run,
    },
    Scenario {
        name: "blocked",
        shows: "a network that stops the prober is named, and nobody is isolated for it",
        room: Room::Cluster,
        run: blocked::run,
    },
    Scenario {
        name: "away",
        shows: "without any operator those admitted serve on, and new ones wait until it is back",
        room: Room::Cluster,
        run: away::run,
    },
    Scenario {
        name: "leader",
        shows: "another operator pod takes over, and no server is touched",
        room: Room::Cluster,
        run: leader::run,
    },
    Scenario {
        name: "lost-while-down",
        shows: "what is lost while no operator is there isn't taken for what was never there",
        room: Room::Cluster,
        run: loss::while_down::run,
    },
    Scenario {
        name: "upgrade",
        shows: "another version of the operator takes over twenty services, and no server, user or object is touched",
        room: Room::Cluster,
        run: upgrade::run,
    },
    // Last: it reads what all of them did.
    Scenario {
        name: "rights",
        shows: "each right of Accord's account is used or known to be rare, and none was missing in the whole run",
        room: Room::Cluster,
        run: rights::run,
    },
];

/// The scenarios of these names; all without names.
pub fn choose(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let found = ALL.iter().find(|s| s.name == name);
            found.with_context(|| {
                let known: Vec<&str> = ALL.iter().map(|s| s.name).collect();
                format!("there is no scenario `{name}`; there are: {}", known.join(", "))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_an_unknown_one_lists_the_known() {
        let mut names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        let error = choose(&["no-such".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("crd-rules"), "{error}");
    }
}
