//! The control group that holds every pod of the cluster, and nothing else: what is in it is ours to end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::settings::CGROUP;
use crate::machine::Machine;
use crate::process;

const ROOT: &str = "/sys/fs/cgroup";

/// Makes the group in every hierarchy.
pub(crate) fn make(machine: Machine) -> Result<()> {
    for hierarchy in hierarchies(machine) {
        let dir = hierarchy.join(CGROUP);
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("can't make the control group {}", dir.display()))?;
        if machine.cgroup_v1 {
            // A new cpuset is empty and takes no process until it has been given CPUs and memory nodes.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(all) = std::fs::read(hierarchy.join(file)) {
                    let _ = std::fs::write(dir.join(file), all);
                }
            }
        } else {
            for group in [&hierarchy, &dir] {
                let controllers =
                    std::fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
                for controller in controllers.split_whitespace() {
                    // One at a time: some can't be delegated on some machines, and the rest must be all the same.
                    let _ = std::fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
    }
    Ok(())
}

/// Ends every process in the group, and removes the group.
pub(crate) fn remove() {
    let Ok(entries) = std::fs::read_dir(ROOT) else {
        return;
    };
    let roots: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path().join(CGROUP))
        .chain([Path::new(ROOT).join(CGROUP)])
        .filter(|dir| dir.is_dir())
        .collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    for root in roots {
        while root.is_dir() && Instant::now() < deadline {
            process::kill_all(&members(&root));
            remove_tree(&root);
            if root.is_dir() {
                // The kernel lets go of the dead a moment later.
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// The processes in a group and in those below it.
fn members(dir: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = std::fs::read_to_string(dir.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|l| l.parse().ok())
        .collect();
    for below in subgroups(dir) {
        pids.extend(members(&below));
    }
    pids
}

fn remove_tree(dir: &Path) {
    for below in subgroups(dir) {
        remove_tree(&below);
    }
    let _ = std::fs::remove_dir(dir);
}

fn subgroups(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn hierarchies(machine: Machine) -> Vec<PathBuf> {
    if !machine.cgroup_v1 {
        return vec![PathBuf::from(ROOT)];
    }
    // Links like `cpu -> cpu,cpuacct` name a hierarchy twice; only real directories count. `unified` is the second
    // version's tree beside the first, without controllers.
    subgroups(Path::new(ROOT))
        .into_iter()
        .filter(|dir| !dir.ends_with("unified"))
        .collect()
}
