//! What all pods share: security, environment and files from bindings.

use accord_crds::AuthServiceSpec;
use k8s_openapi::api::core::v1::{
    Capabilities, EnvVar, EnvVarSource, KeyToPath, ObjectFieldSelector, PodSecurityContext,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use serde_json::Value;

use crate::binding::{MOUNT, Rendered};
use crate::context::Context;

/// Pod-level security that the `restricted` profile asks for. The user comes from the image unless one is given.
pub fn security(user: Option<i64>) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        fs_group: user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// Container-level security that the `restricted` profile asks for.
pub fn restricted(read_only: bool) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(read_only),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

/// Requests, and limits where there are any.
pub fn resources(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let map = |list: &[(&str, &str)]| {
        (!list.is_empty()).then(|| {
            list.iter()
                .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                .collect()
        })
    };
    ResourceRequirements {
        requests: map(requests),
        limits: map(limits),
        ..ResourceRequirements::default()
    }
}

/// A plain variable.
pub fn plain(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// A variable from a Secret.
pub fn from_secret(name: &str, secret: &str, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// A variable from a field of the pod.
pub fn from_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The environment of an application's container. Later entries win: the preset's, the declared, then the bindings.
pub fn environment(
    spec: &AuthServiceSpec,
    rendered: &Rendered,
    binding: &str,
    own: &[EnvVar],
) -> Vec<EnvVar> {
    let mut env: Vec<EnvVar> = Context::preset(spec)
        .env
        .iter()
        .map(|(name, value)| plain(name, *value))
        .collect();
    // Postgres shows it in pg_stat_activity: which pod a connection belongs to.
    env.push(from_field("PGAPPNAME", "metadata.name"));
    env.extend(rendered.plain.iter().map(|(name, value)| plain(name, value)));
    env.extend(spec.server.iter().flat_map(|s| s.env.iter().cloned()));
    env.extend(
        rendered
            .env
            .iter()
            .map(|(name, key)| from_secret(name, binding, key)),
    );
    env.extend(own.iter().cloned());
    let mut unique: Vec<EnvVar> = Vec::with_capacity(env.len());
    for variable in env {
        unique.retain(|v| v.name != variable.name);
        unique.push(variable);
    }
    unique
}

/// The volume of the bindings' files, and its mount; none when there is no file.
pub fn files(rendered: &Rendered, binding: &str) -> (Vec<Volume>, Vec<VolumeMount>) {
    if rendered.files.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let items = rendered
        .files
        .iter()
        .map(|f| KeyToPath {
            key: f.clone(),
            path: f.clone(),
            mode: None,
        })
        .collect();
    let volume = Volume {
        name: "accord".into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(binding.to_owned()),
            items: Some(items),
            default_mode: Some(0o444),
            optional: None,
        }),
        ..Volume::default()
    };
    (vec![volume], vec![mount("accord", MOUNT, true)])
}

/// A Secret as a volume.
pub fn secret_volume(name: &str, secret: &str, keys: &[&str]) -> Volume {
    let items = (!keys.is_empty()).then(|| {
        keys.iter()
            .map(|k| KeyToPath {
                key: (*k).into(),
                path: (*k).into(),
                mode: None,
            })
            .collect()
    });
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items,
            default_mode: Some(0o440),
            optional: None,
        }),
        ..Volume::default()
    }
}

/// A mount.
pub fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// A list that isn't sent can't be compared: what is empty is said to be empty.
pub fn closed_lists(template: &mut Value) {
    for list in ["volumes", "initContainers"] {
        empty_unless_set(&mut template["spec"][list]);
    }
    for container in template["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        for list in ["env", "envFrom", "volumeMounts"] {
            empty_unless_set(&mut container[list]);
        }
    }
}

fn empty_unless_set(value: &mut Value) {
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
}
