//! kubelet's probes of the servers.

use accord_crds::AuthServiceSpec;
use k8s_openapi::api::core::v1::{HTTPGetAction, HTTPHeader, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::Context;

/// Start-up, readiness and liveness.
pub struct Probes {
    /// Gives a server the time it needs to start.
    pub startup: Probe,
    /// Says when to take it out of traffic; whether it may be in it is the gate's.
    pub readiness: Probe,
    /// Restarts what hangs.
    pub liveness: Probe,
}

/// Seconds between two looks during start-up.
const STARTUP_PERIOD: i32 = 2;

/// The probes of a spec. They send the canonical hostname: an application that checks its hosts refuses the pod's address.
pub fn servers(spec: &AuthServiceSpec) -> Probes {
    let server = spec.server.clone().unwrap_or_default();
    let preset = Context::preset(spec);
    let port = IntOrString::String("http".into());
    let path = server
        .health_path
        .or_else(|| preset.health_path.map(str::to_owned));
    let header = |name: &str, value: String| HTTPHeader {
        name: name.into(),
        value,
    };
    let base = match path {
        Some(path) => Probe {
            http_get: Some(HTTPGetAction {
                path: Some(path),
                port,
                http_headers: Some(vec![
                    header("Host", spec.hostnames.first().cloned().unwrap_or_default()),
                    header("X-Forwarded-Proto", "https".into()),
                ]),
                ..HTTPGetAction::default()
            }),
            ..Probe::default()
        },
        None => Probe {
            tcp_socket: Some(TCPSocketAction { port, host: None }),
            ..Probe::default()
        },
    };
    let budget = server.startup_seconds.unwrap_or(300);
    Probes {
        startup: Probe {
            period_seconds: Some(STARTUP_PERIOD),
            timeout_seconds: Some(5),
            failure_threshold: Some((budget / STARTUP_PERIOD).max(1)),
            ..base.clone()
        },
        readiness: Probe {
            period_seconds: Some(3),
            timeout_seconds: Some(5),
            failure_threshold: Some(3),
            ..base.clone()
        },
        liveness: Probe {
            period_seconds: Some(10),
            timeout_seconds: Some(10),
            failure_threshold: Some(6),
            ..base
        },
    }
}
