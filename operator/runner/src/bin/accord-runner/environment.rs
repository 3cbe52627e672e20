//! What is read from the environment, and what the command gets of it.

use std::ffi::OsString;
use std::time::Duration;

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
    let mut options = OsString::new();
    let mut env: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| {
            if name == "PGOPTIONS" {
                options.clone_from(value);
            }
            let name = name.to_string_lossy();
            name != "PGOPTIONS" && (!name.starts_with("ACCORD_") || name.starts_with("ACCORD_CANARY_"))
        })
        .collect();
    let ours = pg_options(lock_timeout, server_version);
    if !options.is_empty() {
        options.push(" ");
    }
    options.push(ours);
    env.push(("PGOPTIONS".into(), options));
    env
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
    fn old_servers_are_not_sent_what_they_refuse() {
        assert_eq!(
            pg_options(Duration::from_secs(30), 150_004),
            "-c lock_timeout=30000ms -c client_connection_check_interval=1s"
        );
        assert_eq!(pg_options(Duration::ZERO, 130_000), "-c lock_timeout=0ms");
    }
}
