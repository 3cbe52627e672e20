//! The cluster's processes: programs and arguments, in the order in which they start.

use std::path::{Path, PathBuf};

use super::settings::{
    CLUSTER, NODE, NODE_IP, POD_CIDR, PROXY_HEALTH_PORT, PROXY_METRICS_PORT, Place, SCHEDULER_PORT,
    SERVICE_CIDR,
};
use crate::paths::STATE;
use crate::process::Component;

/// The part that holds and reconciles objects. It runs no pod, and needs nothing of the machine but ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlPlane {
    pub(crate) etcd: Component,
    pub(crate) apiserver: Component,
    pub(crate) controller_manager: Component,
}

impl ControlPlane {
    pub(crate) fn new(binaries: &Path, place: &Place) -> Self {
        let program = |name: &str| binaries.join(name);
        let state = place.state;
        let config = |name: &str| format!("{state}/{name}.conf");
        let pki = |name: &str| format!("{state}/pki/{name}");
        let etcd_url = format!("http://127.0.0.1:{}", place.etcd_port);
        let etcd_peer_url = format!("http://127.0.0.1:{}", place.etcd_peer_port);
        let etcd = component(
            "etcd",
            program("etcd"),
            &[
                ("data-dir", &format!("{state}/etcd")),
                ("name", "accord"),
                ("listen-client-urls", &etcd_url),
                ("advertise-client-urls", &etcd_url),
                ("listen-peer-urls", &etcd_peer_url),
                ("initial-advertise-peer-urls", &etcd_peer_url),
                ("initial-cluster", &format!("accord={etcd_peer_url}")),
                // The cluster is made anew after a crash of the machine; nothing in it is worth waiting for a disk.
                ("unsafe-no-fsync", "true"),
                ("log-level", "warn"),
            ],
        );
        let apiserver = component(
            "kube-apiserver",
            program("kube-apiserver"),
            &[
                ("etcd-servers", &etcd_url),
                ("service-cluster-ip-range", SERVICE_CIDR),
                ("bind-address", place.address),
                ("secure-port", &place.api_port.to_string()),
                ("advertise-address", place.address),
                ("tls-cert-file", &pki("apiserver.crt")),
                ("tls-private-key-file", &pki("apiserver.key")),
                ("client-ca-file", &pki("ca.crt")),
                ("service-account-key-file", &pki("sa.pub")),
                ("service-account-signing-key-file", &pki("sa.key")),
                ("service-account-issuer", "https://kubernetes.default.svc"),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
                ("kubelet-client-certificate", &pki("kubelet-client.crt")),
                ("kubelet-client-key", &pki("kubelet-client.key")),
                ("kubelet-certificate-authority", &pki("ca.crt")),
                ("kubelet-preferred-address-types", "InternalIP"),
                ("allow-privileged", "true"),
                ("audit-policy-file", &format!("{state}/audit-policy.yaml")),
                ("audit-log-path", &format!("{state}/log/audit.log")),
                ("audit-log-maxsize", "100"),
                ("audit-log-maxbackup", "2"),
                ("cert-dir", &pki("")),
            ],
        );
        let controller_manager = component(
            "kube-controller-manager",
            program("kube-controller-manager"),
            &[
                ("kubeconfig", &config("controller")),
                ("authentication-kubeconfig", &config("controller")),
                ("authorization-kubeconfig", &config("controller")),
                ("service-account-private-key-file", &pki("sa.key")),
                ("root-ca-file", &pki("ca.crt")),
                ("cluster-signing-cert-file", &pki("ca.crt")),
                ("cluster-signing-key-file", &pki("ca.key")),
                ("use-service-account-credentials", "true"),
                ("leader-elect", "false"),
                ("bind-address", "127.0.0.1"),
                ("secure-port", &place.controller_port.to_string()),
                ("cert-dir", &pki("")),
            ],
        );
        Self {
            etcd,
            apiserver,
            controller_manager,
        }
    }
}

/// Every component, by what has to be there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Components {
    pub(crate) etcd: Component,
    pub(crate) apiserver: Component,
    pub(crate) containerd: Component,
    /// What talks to the API server and to nothing else of ours.
    pub(crate) controllers: Vec<Component>,
    /// What needs the container runtime or the node's address as well.
    pub(crate) node: Vec<Component>,
}

impl Components {
    pub(crate) fn new(binaries: &Path, containerd: PathBuf) -> Self {
        let program = |name: &str| binaries.join(name);
        let config = |name: &str| format!("{STATE}/{name}.conf");
        let pki = |name: &str| format!("{STATE}/pki/{name}");
        let ControlPlane {
            etcd,
            apiserver,
            controller_manager,
        } = ControlPlane::new(binaries, &CLUSTER);
        let controllers = vec![
            controller_manager,
            component(
                "kube-scheduler",
                program("kube-scheduler"),
                &[
                    ("kubeconfig", &config("scheduler")),
                    ("authentication-kubeconfig", &config("scheduler")),
                    ("authorization-kubeconfig", &config("scheduler")),
                    ("leader-elect", "false"),
                    ("bind-address", "127.0.0.1"),
                    ("secure-port", &SCHEDULER_PORT.to_string()),
                    ("cert-dir", &pki("")),
                ],
            ),
            component(
                "volume-provisioner",
                program("volume-provisioner"),
                &[
                    ("kubeconfig", &config("volumes")),
                    ("root", &format!("{STATE}/volumes")),
                ],
            ),
        ];
        let containerd = component(
            "containerd",
            containerd,
            &[("config", &format!("{STATE}/containerd.toml"))],
        );
        let node = vec![
            component(
                "kubelet",
                program("kubelet"),
                &[
                    ("config", &format!("{STATE}/kubelet.yaml")),
                    ("kubeconfig", &config("kubelet")),
                    ("hostname-override", NODE),
                    ("node-ip", NODE_IP),
                    ("root-dir", &format!("{STATE}/kubelet")),
                    ("cert-dir", &pki("")),
                ],
            ),
            component(
                "kube-proxy",
                program("kube-proxy"),
                &[
                    ("kubeconfig", &config("proxy")),
                    ("hostname-override", NODE),
                    ("cluster-cidr", POD_CIDR),
                    ("proxy-mode", "nftables"),
                    // The machine's own limit of tracked connections stays.
                    ("conntrack-max-per-core", "0"),
                    ("metrics-bind-address", &format!("127.0.0.1:{PROXY_METRICS_PORT}")),
                    ("healthz-bind-address", &format!("127.0.0.1:{PROXY_HEALTH_PORT}")),
                ],
            ),
            Component {
                name: "coredns",
                program: program("dns"),
                args: vec!["-conf".to_owned(), format!("{STATE}/Corefile")],
            },
        ];
        Self {
            etcd,
            apiserver,
            containerd,
            controllers,
            node,
        }
    }

    /// All of them, in the order in which they start.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Component> {
        [&self.etcd, &self.containerd, &self.apiserver]
            .into_iter()
            .chain(&self.controllers)
            .chain(&self.node)
    }
}

fn component(name: &'static str, program: PathBuf, flags: &[(&str, &str)]) -> Component {
    Component {
        name,
        program,
        args: flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}"))
            .collect(),
    }
}
