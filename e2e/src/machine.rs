//! What this machine is and has: refuses early, with the way out, and installs what Debian has.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::exec::{Cmd, find};
use crate::progress;

/// A program or file that the cluster needs, and the Debian package that brings it.
const NEEDS: [(&str, &str); 12] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("mmdebstrap", "mmdebstrap"),
    ("buildah", "buildah"),
    ("openssl", "openssl"),
    ("setsid", "util-linux"),
];

/// What differs between machines and changes the cluster's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Control groups of version 1: the kubelet has to be told that this is accepted.
    pub(crate) cgroup_v1: bool,
    /// Without `CAP_SYS_RESOURCE` no process may lower its out-of-memory score, and every sandbox would die of trying.
    pub(crate) may_lower_oom_score: bool,
}

impl Machine {
    /// Looks at this machine; an error says what is missing and the way out.
    pub(crate) fn detect() -> Result<Self> {
        if !cfg!(target_os = "linux") {
            bail!(
                "the embedded cluster needs Linux: its kubelet and containerd run here, on this machine.\n\
                 Way out: `cargo xtask --context NAME …` uses a cluster that you have (kind, minikube, a real one)."
            );
        }
        if !rustix::process::geteuid().is_root() {
            bail!(
                "the embedded cluster needs root: it makes network interfaces, mounts and control groups.\n\
                 Way out: run it as root (`sudo -E env PATH=\"$PATH\" cargo xtask …`), or use a cluster that you \
                 have: `cargo xtask --context NAME …`."
            );
        }
        Ok(Self {
            cgroup_v1: !Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
            may_lower_oom_score: has_capability(24),
        })
    }
}

/// True if this process's effective set holds the capability of that number (capabilities(7)).
fn has_capability(number: u32) -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("CapEff:"))?
                .trim()
                .to_owned();
            u64::from_str_radix(&line, 16).ok()
        })
        .is_some_and(|set| set >> number & 1 == 1)
}

/// Installs the Debian packages whose programs aren't here yet.
pub(crate) fn install_packages() -> Result<()> {
    let mut missing: Vec<&str> = NEEDS
        .iter()
        .filter(|(thing, _)| {
            if thing.starts_with('/') {
                !Path::new(thing).exists()
            } else {
                find(thing).is_none()
            }
        })
        .map(|&(_, package)| package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!(
            "missing on this machine: {}. There is no apt-get here to install them with.\n\
             Way out: install them by your system's own means, or use a cluster that you have: \
             `cargo xtask --context NAME …`.",
            missing.join(", ")
        );
    }
    apt_install(&missing)
}

/// Installs packages with apt-get, after one `apt-get update`.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    let what = format!("installing {}", packages.join(" "));
    progress::during(&what, "from Debian, about 20 s", || {
        // Another apt may be at work on a fresh machine: wait for it instead of failing.
        let apt = || {
            Cmd::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-o", "DPkg::Lock::Timeout=300", "-qq"])
        };
        // A list of packages that isn't Debian's may be out of reach; what matters is whether the install works.
        let update = apt().arg("update").outcome()?;
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
            .run()
            .with_context(|| {
                format!(
                    "apt-get could not install {}.\nWhat `apt-get update` said before:\n{}",
                    packages.join(" "),
                    crate::exec::last_lines(&update.stderr, 5)
                )
            })
    })
}

/// The Go toolchain, at least as new as the modules in `e2e/cluster` want.
pub(crate) fn go() -> Result<std::path::PathBuf> {
    let Some(go) = find("go") else {
        bail!(
            "the embedded cluster's binaries are built with Go, and there is no `go` here.\n\
             Way out: install Go 1.26 or newer (https://go.dev/dl, or Debian's package golang-go where it is new \
             enough), or use a cluster that you have: `cargo xtask --context NAME …`."
        );
    };
    Ok(go)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_names_a_package() {
        assert!(
            NEEDS
                .iter()
                .all(|(thing, package)| !thing.is_empty() && !package.is_empty())
        );
    }

    #[test]
    fn capability_numbers_past_the_last_are_absent() {
        assert!(!has_capability(63));
    }
}
