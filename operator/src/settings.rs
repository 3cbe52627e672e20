//! What is set from outside: flags and environment variables. Read once, at the start.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps the replicas of auth services in agreement.
#[derive(Debug, Parser)]
#[command(name = "accord-operator", version, about, long_about = LONG_ABOUT, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The settings of `run`.
    #[command(flatten)]
    pub settings: Settings,
}

const LONG_ABOUT: &str = "Accord brings up the declared auth services (servers, shared Postgres, shared cache, keys, \
migrations, seeds) and proves, pod by pod and all the time, that what one replica issues every other one honours.

The cluster is found as kubectl finds it: by the service account inside a pod, else by KUBECONFIG. Several copies may \
run; one of them leads, and another takes over within 15 seconds.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator.
    Run(Box<Settings>),
    /// Ask a URL over plain HTTP; exit with 0 when the answer is 200 to 299. Meant for `helm test`.
    Check {
        /// The URL, for example <http://accord-operator:8080/readyz>
        #[arg(long, value_name = "URL")]
        url: String,
    },
}

/// The settings of `run`.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The namespaces to look after, separated by commas. Empty: all of them, which needs rights in the whole cluster.
    #[arg(
        long,
        env = "ACCORD_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMESPACE,…"
    )]
    pub watch_namespaces: Vec<String>,

    /// Serve what is declared with `mode: Observe` only, and refuse the rest. Needs no right to write but status and events.
    #[arg(long, env = "ACCORD_OBSERVE_ONLY")]
    pub observe_only: bool,

    /// The image that holds /accord-runner, which migrations and seeds run under: the operator's own.
    #[arg(
        long,
        env = "ACCORD_OPERATOR_IMAGE",
        default_value = "localhost/accord-operator:dev",
        value_name = "IMAGE"
    )]
    pub operator_image: String,

    /// The pull policy of that image. Default: as Kubernetes decides by the tag.
    #[arg(long, env = "ACCORD_OPERATOR_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub operator_image_pull_policy: Option<String>,

    /// The image of managed Postgres, where a service names none.
    #[arg(
        long,
        env = "ACCORD_POSTGRES_IMAGE",
        default_value = "docker.io/library/postgres:17",
        value_name = "IMAGE"
    )]
    pub postgres_image: String,

    /// The image of managed Valkey, where a service names none.
    #[arg(
        long,
        env = "ACCORD_VALKEY_IMAGE",
        default_value = "docker.io/valkey/valkey:8",
        value_name = "IMAGE"
    )]
    pub valkey_image: String,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(
        long,
        env = "ACCORD_HTTP_ADDR",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS:PORT"
    )]
    pub http_addr: SocketAddr,

    /// How log lines look. What is logged is set by `RUST_LOG`, for example `info,accord_operator=debug`.
    #[arg(long, env = "ACCORD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// The name of this copy in the lease, which no other copy may have. Default: a random one.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,

    /// The namespace of the lease. Default: the current one.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub pod_namespace: Option<String>,

    /// The lease that decides which copy leads.
    #[arg(
        long,
        env = "ACCORD_LEASE_NAME",
        default_value = "accord-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people, without colours.
    Text,
}

impl Settings {
    /// The part that reaches objects.
    pub fn for_plan(&self) -> accord_plan::observed::Settings {
        accord_plan::observed::Settings {
            operator_image: self.operator_image.clone(),
            operator_image_pull_policy: self.operator_image_pull_policy.clone().filter(|p| !p.is_empty()),
            postgres_image: self.postgres_image.clone(),
            valkey_image: self.valkey_image.clone(),
            observe_only: self.observe_only,
        }
    }

    /// The namespaces to watch, one watch each; `None` stands for all at once.
    pub fn scopes(&self) -> Vec<Option<String>> {
        let mut scopes: Vec<Option<String>> = self
            .watch_namespaces
            .iter()
            .map(|n| n.trim())
            .filter(|n| !n.is_empty())
            .map(|n| Some(n.to_owned()))
            .collect();
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            scopes.push(None);
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(args: &[&str]) -> Settings {
        Cli::parse_from([&["accord-operator"], args].concat()).settings
    }

    #[test]
    fn an_empty_list_of_namespaces_means_all_of_them() {
        assert_eq!(settings(&[]).scopes(), [None]);
        assert_eq!(settings(&["--watch-namespaces", ""]).scopes(), [None]);
    }

    #[test]
    fn the_plan_knows_where_only_observing_is_allowed() {
        assert!(!settings(&[]).for_plan().observe_only);
        assert!(settings(&["--observe-only"]).for_plan().observe_only);
    }

    #[test]
    fn namespaces_are_split_at_commas_and_told_once() {
        let scopes = settings(&["--watch-namespaces", "blue, green,blue"]).scopes();
        assert_eq!(scopes, [Some("blue".to_owned()), Some("green".to_owned())]);
    }
}
