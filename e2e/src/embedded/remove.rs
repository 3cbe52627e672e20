//! Taking the cluster down, whole or in whatever state a crash left it: processes, pods, mounts, network namespaces,
//! interfaces, tables, control groups, files. Each part is looked for and not taken from memory, so that it can be
//! run at any time and any number of times.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::settings::SOCKET;
use super::{cgroup, network};
use crate::exec::Cmd;
use crate::paths::{RUN, STATE};
use crate::process::{self, Record};

/// True when anything of a cluster is on this machine.
pub(crate) fn anything_left() -> bool {
    Path::new(STATE).exists() || Path::new(RUN).exists() || network::is_up()
}

/// Removes everything; an error names what could not be removed.
pub(crate) fn everything() -> Result<()> {
    let state = Path::new(STATE);
    let records = Record::all(state);
    let stop = |names: &[&str]| {
        let patience = Duration::from_secs(5);
        std::thread::scope(|scope| {
            for record in records.iter().filter(|r| names.contains(&r.name())) {
                scope.spawn(move || record.stop(patience));
            }
        });
    };
    // The kubelet first, or it starts again what is ended below.
    stop(&[
        "kubelet",
        "kube-proxy",
        "coredns",
        "kube-controller-manager",
        "kube-scheduler",
        "volume-provisioner",
    ]);
    end_pods();
    stop(&["containerd"]);
    // The API server does not end by itself once etcd is gone: it goes first.
    stop(&["kube-apiserver"]);
    stop(&["etcd"]);
    process::end_marked(state);
    cgroup::remove();
    unmount()?;
    network::down();
    remove_log_links();
    for dir in [RUN, STATE] {
        if Path::new(dir).exists() {
            std::fs::remove_dir_all(dir)
                .with_context(|| format!("can't remove {dir}; is a shell or an editor in it?"))?;
        }
    }
    Ok(())
}

/// Ends the containers through the runtime while it lives, so that it cleans up after each. What it doesn't get to
/// is ended by its control group.
fn end_pods() {
    let ctr = |args: &[&str]| {
        Cmd::new("ctr")
            .args(["-a", SOCKET, "--timeout", "5s", "-n", "k8s.io"])
            .args(args)
            .outcome()
    };
    let list = |what: &str| {
        ctr(&[what, "ls", "-q"])
            .map(|o| o.stdout)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    if !Path::new(SOCKET).exists() || !ctr(&["version"]).is_ok_and(|o| o.status.success()) {
        return;
    }
    let tasks = list("tasks");
    std::thread::scope(|scope| {
        for chunk in tasks.chunks(tasks.len().div_ceil(4).max(1)) {
            scope.spawn(move || {
                for task in chunk {
                    let _ = ctr(&["tasks", "rm", "-f", task]);
                    let _ = ctr(&["containers", "rm", task]);
                }
            });
        }
    });
    for container in list("containers") {
        let _ = ctr(&["containers", "rm", &container]);
    }
}

/// Unmounts everything below the state directories, the deepest first.
fn unmount() -> Result<()> {
    // A mount may hide another at the same place: look again until nothing is left.
    for _ in 0..10 {
        let table = std::fs::read_to_string("/proc/self/mounts").context("can't read the table of mounts")?;
        let mounts = below(&table, &[STATE, RUN]);
        if mounts.is_empty() {
            return Ok(());
        }
        for mount in mounts {
            use rustix::mount::{UnmountFlags, unmount};
            let path = mount.as_str();
            if unmount(path, UnmountFlags::empty()).is_err() {
                let _ = unmount(path, UnmountFlags::DETACH);
            }
        }
    }
    Ok(())
}

/// The mount points of a mount table that lie below one of the directories, the last made first.
fn below(table: &str, dirs: &[&str]) -> Vec<String> {
    let mut mounts: Vec<String> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        // The table writes blanks as octal escapes.
        .map(|path| path.replace("\\040", " "))
        .filter(|path| {
            dirs.iter().any(|d| {
                path.strip_prefix(d)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
        .collect();
    mounts.reverse();
    mounts
}

/// The kubelet links each log in `/var/log/containers`, a place that can't be configured.
fn remove_log_links() {
    let Ok(entries) = std::fs::read_dir("/var/log/containers") else {
        return;
    };
    for entry in entries.flatten() {
        if std::fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(STATE)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directories_are_taken_and_the_last_one_first() {
        let table = "overlay /run/accord-cluster/a overlay rw 0 0\n\
                     tmpfs /run/accord-cluster-of-another tmpfs rw 0 0\n\
                     tmpfs /run/accord-cluster/a/b\\040c tmpfs rw 0 0\n\
                     proc /proc proc rw 0 0\n";
        assert_eq!(
            below(table, &[RUN]),
            ["/run/accord-cluster/a/b c", "/run/accord-cluster/a"]
        );
    }
}
