//! What is read from the environment, and what the command gets of it.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

/// Where the command's `PG…` variables wait while the runner talks to the ledger.
const SAVED: &str = "ACCORD_SAVED_";

/// Set once the environment is clean.
const CLEAN: &str = "ACCORD_CLEAN";

/// Becomes this program again without the command's `PG…` variables, which are kept for the command.
///
/// They are the command's: a `PGSSLCERT`, `PGOPTIONS` or `PGPASSWORD` of the migration role must not reach the ledger's
/// connection, and the driver reads them all by itself. `PGUSER` is set, because without it the driver asks the system
/// for a user name, for which a static program would load the libraries of an image that it doesn't know.
/// Changing the own environment in place would be unsafe; an `exec` keeps process id, pipes and arguments.
/// Returns only where there is nothing to do, or with the reason why it failed.
pub(crate) fn isolate() -> io::Result<()> {
    if std::env::var_os(CLEAN).is_some() {
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(CLEAN, "1");
    for (name, value) in std::env::vars_os() {
        if let Some(name) = name.to_str().filter(|name| name.starts_with("PG")) {
            command.env_remove(name).env(format!("{SAVED}{name}"), value);
        }
    }
    Err(command.env("PGUSER", "accord").exec())
}

/// The name of this pod, for the ledger and for `pg_stat_activity`.
pub(crate) fn pod() -> String {
    ["ACCORD_POD_NAME", "HOSTNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .chain(std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()))
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The role that the command connects as.
pub(crate) fn migration_role() -> String {
    std::env::var("ACCORD_MIGRATION_ROLE")
        .ok()
        .filter(|role| !role.is_empty())
        .unwrap_or_else(|| "migrate".to_owned())
}

/// This process' environment without Accord's own variables, and with `PGOPTIONS` extended.
pub(crate) fn of_child(lock_timeout: Duration, server_version: i32) -> Vec<(OsString, OsString)> {
    let mut env: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name_for_child(name)?, value)))
        .collect();
    let ours = pg_options(lock_timeout, server_version);
    match env.iter_mut().find(|(name, _)| name == "PGOPTIONS") {
        Some((_, options)) => {
            options.push(" ");
            options.push(ours);
        }
        None => env.push(("PGOPTIONS".into(), ours.into())),
    }
    env
}

/// The same for a command that has to do with no ledger: nothing is added to what it would have without the runner.
pub(crate) fn of_question() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name_for_child(name)?, value)))
        .collect()
}

/// The variable's name in the command, or none if it is Accord's own.
fn name_for_child(name: OsString) -> Option<OsString> {
    // A name that isn't UTF-8 can't be ours.
    let Some(text) = name.to_str() else {
        return Some(name);
    };
    if let Some(saved) = text.strip_prefix(SAVED) {
        return Some(saved.into());
    }
    let handed_on = ["ACCORD_CANARY_", "ACCORD_FACTS"];
    let ours = text.starts_with("PG")
        || (text.starts_with("ACCORD_") && !handed_on.iter().any(|prefix| text.starts_with(prefix)));
    (!ours).then_some(name)
}

/// For every connection of the command that goes through libpq:
/// - `lock_timeout`: a migration that waits for somebody's long transaction blocks everybody behind it; better fail soon;
/// - `client_connection_check_interval`: a killed command's statement ends within a second instead of running on and
///   committing. Servers before 14 don't know it, and would refuse the connection.
fn pg_options(lock_timeout: Duration, server_version: i32) -> String {
    let mut options = format!("-c lock_timeout={}ms", lock_timeout.as_millis());
    if server_version >= 140_000 {
        options.push_str(" -c client_connection_check_interval=1s");
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_gets_its_own_variables_back() {
        for (given, expected) in [
            ("HOME", Some("HOME")),
            ("ACCORD_CANARY_PASSWORD", Some("ACCORD_CANARY_PASSWORD")),
            ("ACCORD_FACTS_KEY", Some("ACCORD_FACTS_KEY")),
            ("ACCORD_SAVED_PGSSLMODE", Some("PGSSLMODE")),
            ("ACCORD_LEDGER_URL_FILE", None),
            ("ACCORD_CLEAN", None),
            ("PGUSER", None),
        ] {
            assert_eq!(
                name_for_child(given.into()),
                expected.map(OsString::from),
                "{given}"
            );
        }
    }

    #[test]
    fn old_servers_are_not_sent_what_they_refuse() {
        assert_eq!(
            pg_options(Duration::from_secs(30), 150_004),
            "-c lock_timeout=30000ms -c client_connection_check_interval=1s"
        );
        assert_eq!(pg_options(Duration::ZERO, 130_000), "-c lock_timeout=0ms");
    }
}
