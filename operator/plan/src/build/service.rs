//! Services: the servers' and the data stores'.

use accord_crds::meta::LABEL_REVISION;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::context::Context;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// A Service of one port. kubelet and the readiness gate decide which pods are behind it.
pub fn cluster_ip(context: &Context, name: &str, role: Role, port: i32, port_name: &str) -> Object {
    let service = Service {
        metadata: labels::owned(context.service, name, role),
        spec: Some(ServiceSpec {
            selector: Some(labels::selector(context.names.service(), role)),
            ports: Some(vec![ServicePort {
                name: Some(port_name.to_owned()),
                port,
                target_port: Some(IntOrString::String(port_name.to_owned())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    Object::new(Kind::Service, name, &service)
}

/// The Service of the servers, kept to one revision where that is asked for.
pub fn servers(context: &Context, kept_to: Option<&str>) -> Object {
    let mut object = cluster_ip(context, &context.names.server(), Role::Server, 80, "http");
    if let Some(revision) = kept_to {
        object.value["spec"]["selector"][LABEL_REVISION] = revision.into();
    }
    object
}
