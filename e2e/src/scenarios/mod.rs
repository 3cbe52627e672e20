//! What is shown on a real cluster, one scenario a file. Each makes its own namespace and leaves nothing.

mod away;
mod blocked;
mod calm;
mod chart;
mod conflict;
mod crd_rules;
mod custom;
mod django_orders;
mod django_page;
mod drift;
mod express;
mod external;
mod idle;
mod incident;
mod kit;
mod later;
mod leader;
mod local_database;
mod migration_failed;
mod node;
mod paused;
mod port_forward;
mod restart;
mod retain;

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;

/// A scenario.
pub struct Scenario {
    /// What it is called with `--scenario`.
    pub name: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// Runs it; an error says what was otherwise.
    pub run: fn(&Cluster) -> Result<()>,
}

/// Every scenario, in the order in which they run: what others rest on comes first.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "node",
        shows: "a pod with a volume answers another by its Service's name, and sees the other's own address",
        run: node::run,
    },
    Scenario {
        name: "port-forward",
        shows: "a pod is asked through the API server, with the declared host, where its address can't be reached",
        run: port_forward::run,
    },
    Scenario {
        name: "crd-rules",
        shows: "the API server refuses declarations that can't work, with a sentence that says what to do",
        run: crd_rules::run,
    },
    Scenario {
        name: "chart-policy",
        shows: "the policy on pods/status leaves Accord's account one condition and nothing else",
        run: chart::policy,
    },
    Scenario {
        name: "chart-lifecycle",
        shows: "the chart installs, upgrades its CRD, keeps it on uninstall and takes it over again",
        run: chart::lifecycle,
    },
    Scenario {
        name: "django-orders",
        shows: "every replica honours what the others issue, from one to five and back, and through restarts",
        run: django_orders::run,
    },
    Scenario {
        name: "restart",
        shows: "a restarted container takes no traffic on the proof of the one before it",
        run: restart::run,
    },
    Scenario {
        name: "local-database",
        shows: "replicas with a database each never take traffic, are named, and are withdrawn as an update",
        run: local_database::run,
    },
    Scenario {
        name: "incident",
        shows: "sessions in each replica's memory: a plain Deployment loses users, Accord none, and says why",
        run: incident::run,
    },
    Scenario {
        name: "later",
        shows: "a replica that diverges after an hour is named by a sweep, isolated, and replaced",
        run: later::run,
    },
    Scenario {
        name: "blocked",
        shows: "a network that stops the prober is named, and nobody is isolated for it",
        run: blocked::run,
    },
    Scenario {
        name: "away",
        shows: "without any operator those admitted serve on, and new ones wait until it is back",
        run: away::run,
    },
    Scenario {
        name: "migration-failed",
        shows: "a failed migration serves nothing, says why without secrets, and what was released serves on",
        run: migration_failed::run,
    },
    Scenario {
        name: "django-page",
        shows: "the project that the documentation's page on Django makes runs as three replicas that agree",
        run: django_page::run,
    },
    Scenario {
        name: "custom",
        shows: "an application without a preset agrees by what is written out in its declaration",
        run: custom::run,
    },
    Scenario {
        name: "express",
        shows: "an application that no preset knows agrees, and sessions in memory and a key per start are named",
        run: express::run,
    },
    Scenario {
        name: "external",
        shows: "a database and a cache that Accord doesn't run serve as well, and are checked",
        run: external::run,
    },
    Scenario {
        name: "idle",
        shows: "a service at rest is not written to, while sweeps go on",
        run: idle::run,
    },
    Scenario {
        name: "drift",
        shows: "what somebody changes by hand is put right, once",
        run: drift::run,
    },
    Scenario {
        name: "conflict",
        shows: "an object of somebody else is left alone and named",
        run: conflict::run,
    },
    Scenario {
        name: "paused",
        shows: "the annotation accord.dev/paused stops every write",
        run: paused::run,
    },
    Scenario {
        name: "leader",
        shows: "another operator pod takes over, and no server is touched",
        run: leader::run,
    },
    Scenario {
        name: "calm",
        shows: "minutes of scaling and rolling a healthy service raise no alarm (ACCORD_LONG=1: an hour)",
        run: calm::run,
    },
    Scenario {
        name: "retain",
        shows: "a service that is declared again finds its keys, volumes and users; with Delete nothing is left",
        run: retain::run,
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
