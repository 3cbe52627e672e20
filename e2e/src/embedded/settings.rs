//! The numbers and names of the embedded cluster. They keep away from the usual ones, so that it can live beside
//! another Kubernetes, Docker or a developer's own services.

/// The node's name.
pub(crate) const NODE: &str = "accord";
/// The node's address, which is also the address of the API server, of the DNS server and the pods' gateway.
pub(crate) const NODE_IP: &str = "10.213.0.1";
/// Addresses of pods, and the first that is given out.
pub(crate) const POD_CIDR: &str = "10.213.0.0/24";
pub(crate) const FIRST_POD: &str = "10.213.0.10";
/// Addresses of Services, and the one of the API server.
pub(crate) const SERVICE_CIDR: &str = "10.214.0.0/20";
pub(crate) const API_SERVICE: &str = "10.214.0.1";
/// The interface that holds the node's address, and the table that lets pods out.
pub(crate) const INTERFACE: &str = "accord0";
pub(crate) const TABLE: &str = "accord_cluster";
/// The control group that holds every pod, one below the root of each hierarchy.
pub(crate) const CGROUP: &str = "accord-cluster";

pub(crate) const API_PORT: u16 = 16443;
pub(crate) const ETCD_PORT: u16 = 23790;
pub(crate) const ETCD_PEER_PORT: u16 = 23800;
pub(crate) const KUBELET_PORT: u16 = 20250;
pub(crate) const KUBELET_HEALTH_PORT: u16 = 20248;
pub(crate) const CONTROLLER_PORT: u16 = 20257;
pub(crate) const SCHEDULER_PORT: u16 = 20259;
pub(crate) const PROXY_METRICS_PORT: u16 = 20249;
pub(crate) const PROXY_HEALTH_PORT: u16 = 20256;
pub(crate) const DNS_HEALTH_PORT: u16 = 20280;

/// The container runtime's socket.
pub(crate) const SOCKET: &str = "/run/accord-cluster/containerd.sock";
/// The image of every pod's sandbox.
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";

/// What a control plane stands on. One machine can hold several that differ in all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory of its state.
    pub(crate) state: &'static str,
    /// The address that the API server listens on.
    pub(crate) address: &'static str,
    pub(crate) api_port: u16,
    pub(crate) etcd_port: u16,
    pub(crate) etcd_peer_port: u16,
    pub(crate) controller_port: u16,
}

/// The embedded cluster's.
pub(crate) const CLUSTER: Place = Place {
    state: crate::paths::STATE,
    // The node's own address only: other machines don't see it.
    address: NODE_IP,
    api_port: API_PORT,
    etcd_port: ETCD_PORT,
    etcd_peer_port: ETCD_PEER_PORT,
    controller_port: CONTROLLER_PORT,
};
