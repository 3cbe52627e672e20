//! The node's address and the way out for pods.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::settings::{API_PORT, ETCD_PORT, INTERFACE, NODE_IP, POD_CIDR, SERVICE_CIDR, TABLE};
use crate::exec::Cmd;
use crate::paths::{self, STATE};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Puts up the interface with the node's address, the masquerading table and forwarding.
pub(crate) fn up() -> Result<()> {
    refuse_neighbours()?;
    let address = format!("{NODE_IP}/32");
    let ip = |args: &[&str]| Cmd::new("ip").args(args).run();
    // A bridge without ports: every kernel that can run pods has it, and an address on it is local.
    ip(&["link", "add", INTERFACE, "type", "bridge"])?;
    ip(&["addr", "add", &address, "dev", INTERFACE])?;
    ip(&["link", "set", INTERFACE, "up"])?;
    let rules = format!(
        "add table ip {TABLE}\n\
         add chain ip {TABLE} out {{ type nat hook postrouting priority srcnat; }}\n\
         add rule ip {TABLE} out ip saddr {POD_CIDR} ip daddr != {{ {POD_CIDR}, {SERVICE_CIDR} }} masquerade\n"
    );
    Cmd::new("nft").args(["-f", "-"]).stdin(rules).run()?;
    let before = paths::read(Path::new(FORWARDING))?;
    if before.trim() != "1" {
        paths::write(&Path::new(STATE).join("ip_forward.before"), &before)?;
        std::fs::write(FORWARDING, "1").with_context(|| format!("can't set {FORWARDING}"))?;
    }
    Ok(())
}

/// Takes down what `up` put up, and the tables of kube-proxy.
pub(crate) fn down() {
    let quietly = |program: &str, args: &[&str]| drop(Cmd::new(program).args(args).outcome());
    quietly("ip", &["link", "del", INTERFACE]);
    quietly("nft", &["delete", "table", "ip", TABLE]);
    for family in ["ip", "ip6"] {
        quietly("nft", &["delete", "table", family, "kube-proxy"]);
    }
    let saved = Path::new(STATE).join("ip_forward.before");
    if let Ok(before) = std::fs::read(&saved) {
        let _ = std::fs::write(FORWARDING, before);
    }
    forget_attachments();
}

/// The CNI library remembers each attachment in a place that can't be configured: `accord-ID-eth0` for ours, and
/// `cni-loopback-ID-lo` for the same pod's loopback.
fn forget_attachments() {
    let Ok(entries) = std::fs::read_dir("/var/lib/cni/results") else {
        return;
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let ours: Vec<&str> = names
        .iter()
        .filter_map(|n| n.strip_prefix("accord-")?.strip_suffix("-eth0"))
        .collect();
    for name in &names {
        if ours.iter().any(|id| name.contains(id)) {
            let _ = std::fs::remove_file(Path::new("/var/lib/cni/results").join(name));
        }
    }
}

/// True while the interface is there.
pub(crate) fn is_up() -> bool {
    Path::new("/sys/class/net").join(INTERFACE).exists()
}

/// Says what on this machine would be in the way, before anything is changed.
fn refuse_neighbours() -> Result<()> {
    if Cmd::new("nft")
        .args(["list", "table", "ip", "kube-proxy"])
        .succeeds()
    {
        bail!(
            "another Kubernetes node runs on this machine (there is an nftables table `kube-proxy`), and two can't \
             share it.\nWay out: use that one, `cargo xtask --context NAME …`; or stop it; or, if it is gone and only \
             its table is left: `nft delete table ip kube-proxy; nft delete table ip6 kube-proxy`."
        );
    }
    for (address, what) in [
        (format!("127.0.0.1:{ETCD_PORT}"), "etcd"),
        (format!("127.0.0.1:{API_PORT}"), "the API server"),
    ] {
        if std::net::TcpStream::connect(&address).is_ok() {
            bail!(
                "{address}, the port of {what}, is in use by another program on this machine: stop that one first."
            );
        }
    }
    let begun = Instant::now();
    while let Some(route) = foreign_route()? {
        // The kernel takes the pods' interfaces away some time after their processes: a cluster that was just taken down.
        if route.contains(" dev veth") && begun.elapsed() < LINGER {
            std::thread::sleep(Duration::from_millis(500));
            continue;
        }
        bail!(
            "this machine already has a route into the cluster's addresses ({POD_CIDR}, {SERVICE_CIDR}): {route}\n\
             Way out: leave that network for the time, or use a cluster that you have: `cargo xtask --context NAME …`."
        );
    }
    Ok(())
}

/// For how long interfaces of pods that are gone are waited for.
const LINGER: Duration = Duration::from_mins(2);

/// A route into the addresses that the cluster is to have.
fn foreign_route() -> Result<Option<String>> {
    let routes = Cmd::new("ip").args(["-4", "route", "show"]).output()?;
    let ours = ["10.213.", "10.214."];
    let found = routes.lines().find(|r| ours.iter().any(|p| r.starts_with(p)));
    Ok(found.map(|route| route.trim().to_owned()))
}
