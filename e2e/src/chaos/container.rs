//! What a container gets from its pod: variables, and the files of its volumes, written to a directory of the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::api::Api;
use crate::paths;

/// A container that can be started.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Where the pod's files lie.
    pub(crate) dir: PathBuf,
}

/// The items of an array; none of anything else.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Container {
    /// The first container of a pod, with everything that it names looked up. An error where something isn't there yet,
    /// as a kubelet would wait for it.
    pub(crate) fn of(api: Api, pod: &Value, ip: &str, dir: &Path, runner: &Path) -> Result<Self> {
        let spec = &pod["spec"];
        let container = items(&spec["containers"])
            .first()
            .context("a pod without containers")?;
        let namespace = text(&pod["metadata"]["namespace"]);
        let read = |kind: &str, name: &str| api.get(&format!("/api/v1/namespaces/{namespace}/{kind}/{name}"));
        let mut mounts = Vec::new();
        for mount in items(&container["volumeMounts"]) {
            let name = text(&mount["name"]);
            let volume = items(&spec["volumes"]).iter().find(|v| v["name"] == name);
            let volume = volume.with_context(|| format!("there is no volume {name:?}"))?;
            let place = paths::ensure(&dir.join(name))?;
            if volume["secret"].is_object() {
                let secret = read("secrets", text(&volume["secret"]["secretName"]))?;
                for item in items(&volume["secret"]["items"]) {
                    let value = secret_value(&secret, text(&item["key"]))?;
                    paths::write(&place.join(text(&item["path"])), value)?;
                }
            } else if volume["emptyDir"].is_object() {
                // What the init container would have put there.
                let link = place.join("accord-runner");
                if !link.exists() {
                    std::os::unix::fs::symlink(runner, link)?;
                }
            } else {
                bail!("a volume of this kind isn't played: {volume}");
            }
            mounts.push((text(&mount["mountPath"]).to_owned(), place));
        }
        let mut env = BTreeMap::new();
        for variable in items(&container["env"]) {
            let from = &variable["valueFrom"];
            let value = if let Some(reference) = from["secretKeyRef"].as_object() {
                let secret = read("secrets", text(&reference["name"]))?;
                String::from_utf8(secret_value(&secret, text(&reference["key"]))?)?
            } else if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
                match path {
                    "metadata.name" => text(&pod["metadata"]["name"]).to_owned(),
                    "metadata.namespace" => namespace.to_owned(),
                    "status.podIP" => ip.to_owned(),
                    other => bail!("the field {other} isn't played"),
                }
            } else {
                text(&variable["value"]).to_owned()
            };
            env.insert(text(&variable["name"]).to_owned(), placed(&value, &mounts));
        }
        let command = items(&container["command"])
            .iter()
            .chain(items(&container["args"]));
        Ok(Self {
            name: text(&container["name"]).to_owned(),
            command: command.map(|word| placed(text(word), &mounts)).collect(),
            env,
            dir: dir.to_owned(),
        })
    }
}

fn secret_value(secret: &Value, key: &str) -> Result<Vec<u8>> {
    let encoded = secret["data"][key].as_str();
    let encoded =
        encoded.with_context(|| format!("Secret {} has no key {key:?}", secret["metadata"]["name"]))?;
    Ok(STANDARD.decode(encoded)?)
}

/// A path in the container, where it is on the machine.
fn placed(value: &str, mounts: &[(String, PathBuf)]) -> String {
    for (mount, place) in mounts {
        if let Some(rest) = value.strip_prefix(mount.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return format!("{}{rest}", place.display());
        }
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_a_mount_are_moved() {
        let mounts = [("/accord/bin".to_owned(), PathBuf::from("/tmp/x/runner"))];
        assert_eq!(
            placed("/accord/bin/accord-runner", &mounts),
            "/tmp/x/runner/accord-runner"
        );
        assert_eq!(placed("/accord/binary", &mounts), "/accord/binary");
        assert_eq!(placed("run", &mounts), "run");
    }
}
