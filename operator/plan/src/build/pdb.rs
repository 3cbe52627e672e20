//! The eviction limit of the servers.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::Context;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// One server at a time may be evicted; one that isn't ready always, or a drain would hang on a pod that never agrees.
pub fn servers(context: &Context) -> Object {
    let name = context.names.server();
    let pdb = PodDisruptionBudget {
        metadata: labels::owned(context.service, &name, Role::Server),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(labels::label_selector(context.names.service(), Role::Server)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    };
    Object::new(Kind::PodDisruptionBudget, &name, &pdb)
}
