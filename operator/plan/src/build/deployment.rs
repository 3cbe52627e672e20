//! The servers.

use accord_crds::meta::{GATE_AGREES, LABEL_REVISION};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, Lifecycle, LifecycleHandler, PodReadinessGate, PodSpec, PodTemplateSpec,
    SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::binding::Rendered;
use crate::build::{pod, probes};
use crate::context::Context;
use crate::diff;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};
use crate::phases::cutover::Stage;
use crate::revision::Revision;

/// The container that serves logins.
pub const CONTAINER: &str = "server";

/// Seconds for which kubelet holds back a container that has started. In this time Accord closes the gate of one that was
/// restarted, before kubelet copies it for the last time (ADR 3).
const SETTLE: i64 = 2;

/// Seconds for which ready pods of a cutover don't count as available: until users are switched the Deployment keeps the old
/// ones. It bounds how long the operator may be away between the two (ADR 8), and is less than the progress deadline.
const HOLD: i32 = 600;

/// The Deployment of a revision with its bindings.
pub fn servers(context: &Context, revision: &Revision, rendered: &Rendered, binding: &str) -> Object {
    let name = context.names.server();
    let whole = context.cutover().stage == Stage::Proving && revision.digest == context.declared().digest;
    let deployment = Deployment {
        metadata: labels::owned(context.service, &name, Role::Server),
        spec: Some(DeploymentSpec {
            replicas: Some(context.spec().replicas),
            selector: labels::label_selector(context.names.service(), Role::Server),
            // Never fewer than declared: a new pod has to agree before an old one goes.
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String(if whole { "100%" } else { "25%" }.into())),
                }),
            }),
            min_ready_seconds: if whole {
                Some(HOLD)
            } else {
                released_hold(context, &name)
            },
            revision_history_limit: Some(10),
            progress_deadline_seconds: Some(startup(revision) + 600),
            template: template(context, revision, rendered, binding),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    let mut object = Object::new(Kind::Deployment, &name, &deployment);
    let template = &mut object.value["spec"]["template"];
    pod::closed_lists(template);
    if let Some(patch) = revision
        .spec
        .server
        .as_ref()
        .and_then(|s| s.pod_template.as_ref())
    {
        diff::strategic_merge(template, patch);
        // What everything rests on is not up for patching.
        template["metadata"]["labels"][LABEL_REVISION] = revision.digest.clone().into();
        for (key, value) in labels::selector(context.names.service(), Role::Server) {
            template["metadata"]["labels"][key] = value.into();
        }
    }
    object
}

/// 0 where there is a hold to take back: the API server doesn't store a zero, so it is sent for no other reason.
fn released_hold(context: &Context, name: &str) -> Option<i32> {
    let live = context.observed.objects.get(Kind::Deployment, name)?;
    (live.value["spec"]["minReadySeconds"].as_i64()? > 0).then_some(0)
}

fn startup(revision: &Revision) -> i32 {
    revision
        .spec
        .server
        .as_ref()
        .and_then(|s| s.startup_seconds)
        .unwrap_or(300)
}

fn sleep(seconds: i64) -> LifecycleHandler {
    LifecycleHandler {
        sleep: Some(SleepAction { seconds }),
        ..LifecycleHandler::default()
    }
}

fn template(context: &Context, revision: &Revision, rendered: &Rendered, binding: &str) -> PodTemplateSpec {
    let spec = &revision.spec;
    let server = spec.server.clone().unwrap_or_default();
    let drain = i64::from(server.drain_seconds.unwrap_or(5));
    let probes = probes::servers(spec);
    let (volumes, volume_mounts) = pod::files(rendered, binding);
    let list = |items: Vec<String>| (!items.is_empty()).then_some(items);
    let container = Container {
        name: CONTAINER.into(),
        image: Some(spec.image.clone()),
        image_pull_policy: spec.image_pull_policy.map(|p| p.as_str().to_owned()),
        command: list(server.command),
        args: list(server.args),
        env: Some(pod::environment(spec, rendered, binding, &[])),
        ports: Some(vec![ContainerPort {
            name: Some("http".into()),
            container_port: port(spec),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        resources: Some(
            server
                .resources
                .unwrap_or_else(|| pod::resources(&[("cpu", "100m"), ("memory", "128Mi")], &[])),
        ),
        startup_probe: Some(probes.startup),
        readiness_probe: Some(probes.readiness),
        liveness_probe: Some(probes.liveness),
        lifecycle: Some(Lifecycle {
            post_start: Some(sleep(SETTLE)),
            pre_stop: (drain > 0).then(|| sleep(drain)),
            ..Lifecycle::default()
        }),
        security_context: Some(pod::restricted(false)),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::labels(
                context.names.service(),
                Role::Server,
                Some(&revision.digest),
            )),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container],
            volumes: Some(volumes),
            readiness_gates: Some(vec![PodReadinessGate {
                condition_type: GATE_AGREES.into(),
            }]),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            image_pull_secrets: (!spec.image_pull_secrets.is_empty())
                .then(|| spec.image_pull_secrets.clone()),
            security_context: Some(pod::security(None)),
            termination_grace_period_seconds: Some(drain + 30),
            topology_spread_constraints: Some(
                ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                    .map(|key| TopologySpreadConstraint {
                        max_skew: 1,
                        topology_key: key.into(),
                        when_unsatisfiable: "ScheduleAnyway".into(),
                        label_selector: Some(labels::label_selector(context.names.service(), Role::Server)),
                        ..TopologySpreadConstraint::default()
                    })
                    .into(),
            ),
            ..PodSpec::default()
        }),
    }
}

/// The port that the server listens on.
pub fn port(spec: &accord_crds::AuthServiceSpec) -> i32 {
    spec.server
        .as_ref()
        .and_then(|s| s.port)
        .unwrap_or_else(|| Context::preset(spec).port)
}
