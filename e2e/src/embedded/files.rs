//! The configuration files of the cluster's components: a pure function of the machine, so that two checkouts with
//! the same files have the same cluster.

use super::settings::{
    CGROUP, DNS_HEALTH_PORT, FIRST_POD, KUBELET_HEALTH_PORT, KUBELET_PORT, NODE_IP, PAUSE_IMAGE, POD_CIDR,
    SOCKET,
};
use crate::machine::Machine;
use crate::paths::{RUN, STATE};

/// The objects that a new cluster starts with.
pub(crate) const MANIFESTS: &str = include_str!("manifests.yaml");

/// Every file by its path below the state directory.
pub(crate) fn all(machine: Machine) -> Vec<(&'static str, String)> {
    vec![
        ("containerd.toml", containerd(machine)),
        ("kubelet.yaml", kubelet(machine)),
        ("cni/10-accord.conflist", cni()),
        ("Corefile", corefile()),
        ("audit-policy.yaml", AUDIT_POLICY.to_owned()),
        // Pods get no search domains or servers of the host: names outside of the cluster aren't resolved.
        ("resolv.conf", String::new()),
        ("manifests.yaml", MANIFESTS.to_owned()),
    ]
}

fn containerd(machine: Machine) -> String {
    let restrict = !machine.may_lower_oom_score;
    format!(
        r#"version = 2
root = "{STATE}/containerd"
state = "{RUN}/containerd"

[grpc]
  address = "{SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{STATE}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {restrict}
  # Below the state directory, so that they are known to be this cluster's when they have to be removed.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{STATE}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{RUN}/runc"
        SystemdCgroup = false
"#
    )
}

fn kubelet(machine: Machine) -> String {
    let accept_v1 = if machine.cgroup_v1 {
        "failCgroupV1: false\n"
    } else {
        ""
    };
    format!(
        r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {NODE_IP}
port: {KUBELET_PORT}
healthzPort: {KUBELET_HEALTH_PORT}
cgroupDriver: cgroupfs
cgroupRoot: /{CGROUP}
{accept_v1}containerRuntimeEndpoint: unix://{SOCKET}
volumePluginDir: {STATE}/volume-plugins
podLogsDir: {STATE}/pod-logs
failSwapOn: false
# Services are kube-proxy's business and masquerading is done by a table of our own: no chains in the host's tables.
makeIPTablesUtilChains: false
clusterDNS: ["{NODE_IP}"]
clusterDomain: cluster.local
resolvConf: {STATE}/resolv.conf
# A developer's disk is often nearly full, and images can't be fetched again from anywhere.
evictionHard: {{nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%", memory.available: "100Mi"}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 100
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {STATE}/pki/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {STATE}/pki/kubelet.crt
tlsPrivateKeyFile: {STATE}/pki/kubelet.key
"#
    )
}

/// Every pod hangs on a routed link of its own. With a bridge, the answer of a Service's pod to a pod beside it would
/// take the short way past the address translation, unless the kernel has `br_netfilter`; and what passes between two
/// pods can be cut by a rule on their addresses, as a network policy would.
fn cni() -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "accord", "plugins": [
  {{"type": "ptp", "ipMasq": false, "ipam": {{
    "type": "host-local", "dataDir": "{STATE}/ipam",
    "ranges": [[{{"subnet": "{POD_CIDR}", "rangeStart": "{FIRST_POD}", "gateway": "{NODE_IP}"}}]],
    "routes": [{{"dst": "0.0.0.0/0"}}]}}}}
]}}
"#
    )
}

fn corefile() -> String {
    format!(
        ".:53 {{\n  bind {NODE_IP}\n  errors\n  health 127.0.0.1:{DNS_HEALTH_PORT}\n  \
         kubernetes cluster.local in-addr.arpa ip6.arpa {{\n    kubeconfig {STATE}/dns.conf\n    pods insecure\n    \
         ttl 5\n  }}\n  cache 5\n}}\n"
    )
}

/// Who wrote what, and what the accounts in pods do at all: scenarios count an idle operator's writes here, and
/// compare the rights it has with those it uses. Never bodies: Secrets are among them.
pub(crate) const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver", "system:kube-scheduler", "system:kube-controller-manager"], verbs: [get, list, watch]}
- {level: None, resources: [{group: coordination.k8s.io, resources: [leases]}], userGroups: ["system:nodes"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"]}
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_machine_with_the_first_version_of_control_groups_is_told_to_accept_it() {
        let v1 = Machine {
            cgroup_v1: true,
            may_lower_oom_score: true,
        };
        let v2 = Machine {
            cgroup_v1: false,
            may_lower_oom_score: true,
        };
        assert!(kubelet(v1).contains("failCgroupV1: false"));
        assert!(!kubelet(v2).contains("failCgroupV1"));
    }

    #[test]
    fn without_the_capability_scores_are_not_lowered() {
        let without = Machine {
            cgroup_v1: true,
            may_lower_oom_score: false,
        };
        assert!(containerd(without).contains("restrict_oom_score_adj = true"));
    }

    #[test]
    fn the_network_configuration_is_json() {
        serde_json::from_str::<serde_json::Value>(&cni()).unwrap();
    }
}
