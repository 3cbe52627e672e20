//! Jobs that run in the service's own image: the migration, the seeds, the canary, preflight. `accord-runner`, copied in by
//! an init container, runs the command: under a lock, and with a row in the ledger; preflight's without either.

use std::collections::BTreeMap;

use accord_crds::AuthServiceSpec;
use accord_crds::meta::{ANNOTATION_CANARY, ANNOTATION_RETRIED};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, EnvVar, PodSpec, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::binding::{RUNNER_KEY, Rendered};
use crate::build::pod;
use crate::context::Context;
use crate::key::{Kind, Object};
use crate::labels::{self, Role};

/// What a Job runs.
pub struct Task<'a> {
    /// The Job's name.
    pub name: String,
    /// `migration`, `seed`, `canary` or `preflight`.
    pub role: Role,
    /// The name in the ledger.
    pub entry: &'a str,
    /// The revision in the ledger.
    pub revision: &'a str,
    /// The command.
    pub command: Vec<String>,
    /// Environment besides the bindings.
    pub env: Vec<EnvVar>,
    /// More arguments for the runner.
    pub runner_args: Vec<String>,
    /// The value of `accord.dev/retry` it is made for.
    pub retry: &'a str,
    /// A digest of the account that it makes sure of; empty where it makes none.
    pub account: &'a str,
}

/// Where the runner is copied to.
const BIN: &str = "/accord/bin";
/// Where the ledger's URI is mounted. The application's command can read it too: it runs as the same user; but it isn't in
/// its environment, and the role may touch nothing but the ledger and the sessions of the migration.
const RUNNER_DIR: &str = "/etc/accord-runner";

/// The Job of a task.
pub fn task(
    context: &Context,
    spec: &AuthServiceSpec,
    rendered: &Rendered,
    binding: &str,
    task: Task,
) -> Object {
    let settings = &context.observed.settings;
    let (mut volumes, mut mounts) = pod::files(rendered, binding);
    volumes.push(Volume {
        name: "runner".into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    mounts.push(pod::mount("runner", BIN, true));
    let with_ledger = rendered.data.contains_key(RUNNER_KEY);
    if with_ledger {
        let mut volume = pod::secret_volume("ledger", binding, &[RUNNER_KEY]);
        if let Some(secret) = volume.secret.as_mut() {
            secret.default_mode = Some(0o444);
        }
        volumes.push(volume);
        mounts.push(pod::mount("ledger", RUNNER_DIR, true));
    }
    let run = [
        "run",
        "--kind",
        task.role.as_str(),
        "--name",
        task.entry,
        "--revision",
        task.revision,
        "--service",
        &context.ledger_key(),
    ];
    let mut command = vec![format!("{BIN}/accord-runner")];
    match task.role {
        Role::Preflight => command.push("facts".into()),
        _ => command.extend(run.map(str::to_owned)),
    }
    command.extend(task.runner_args);
    command.push("--".into());
    command.extend(task.command);
    let mut env = pod::environment(spec, rendered, binding, &task.env);
    if with_ledger {
        env.push(pod::plain(
            "ACCORD_LEDGER_URL_FILE",
            format!("{RUNNER_DIR}/{RUNNER_KEY}"),
        ));
    }
    if let Some(user) = context
        .spec()
        .database
        .as_ref()
        .filter(|d| d.managed.is_some() && with_ledger)
        .map(|_| "migrate")
    {
        env.push(pod::plain("ACCORD_MIGRATION_ROLE", user));
    }
    env.push(pod::from_field("ACCORD_POD_NAME", "metadata.name"));
    let pod = PodSpec {
        init_containers: Some(vec![Container {
            name: "runner".into(),
            image: Some(settings.operator_image.clone()),
            image_pull_policy: settings.operator_image_pull_policy.clone(),
            command: Some(["/accord-runner", "install", BIN].map(str::to_owned).into()),
            volume_mounts: Some(vec![pod::mount("runner", BIN, false)]),
            security_context: Some(pod::restricted(true)),
            resources: Some(pod::resources(&[("cpu", "10m"), ("memory", "16Mi")], &[])),
            ..Container::default()
        }]),
        containers: vec![Container {
            name: task.role.as_str().into(),
            image: Some(spec.image.clone()),
            image_pull_policy: spec.image_pull_policy.map(|p| p.as_str().to_owned()),
            command: Some(command),
            env: Some(env),
            volume_mounts: Some(mounts),
            security_context: Some(pod::restricted(false)),
            resources: Some(pod::resources(&[("cpu", "50m"), ("memory", "128Mi")], &[])),
            ..Container::default()
        }],
        volumes: Some(volumes),
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        image_pull_secrets: (!spec.image_pull_secrets.is_empty()).then(|| spec.image_pull_secrets.clone()),
        security_context: Some(pod::security(None)),
        ..PodSpec::default()
    };
    let mut metadata = labels::owned(context.service, &task.name, task.role);
    let annotations: BTreeMap<String, String> = [
        (ANNOTATION_RETRIED, task.retry),
        (ANNOTATION_CANARY, task.account),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    let job = Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(3),
            pod_failure_policy: Some(failure_policy(task.role)),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels::labels(
                        context.names.service(),
                        task.role,
                        Some(task.revision),
                    )),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    };
    Object::new(Kind::Job, &task.name, &job)
}

/// The command's own failure is final: it is recorded, and a person or a new revision decides. What the node does to a pod
/// doesn't count. Anything else (no connection, lost lock) is tried again.
fn failure_policy(role: Role) -> PodFailurePolicy {
    let rule = |action: &str, codes: Vec<i32>| PodFailurePolicyRule {
        action: action.into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            container_name: Some(role.as_str().into()),
            operator: "In".into(),
            values: codes,
        }),
        on_pod_conditions: None,
    };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".into(),
                on_exit_codes: None,
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".into(),
                    status: "True".into(),
                }]),
            },
            rule("FailJob", FINAL_EXIT_CODES.to_vec()),
        ],
    }
}

/// Exit codes of the runner (`accord-runner --help`) after which another try makes no sense: the command failed, bad usage, a
/// pooled URL, a seed that is held for a person, a command or a file that isn't there.
pub const FINAL_EXIT_CODES: [i32; 6] = [1, 2, 72, 75, 77, 78];
