//! A cluster as the demo and the scenarios see it: the embedded one, or the user's own by its context.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::exec::{Cmd, find};
use crate::http::PodHttp;
use crate::images::Image;
use crate::images::store::Builder;
use crate::{embedded, progress};

/// A cluster to work on.
#[derive(Debug, Clone)]
pub struct Cluster {
    kubectl: PathBuf,
    target: Target,
}

/// An image that the nodes have or can pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The name by which pods ask for it.
    pub reference: String,
    /// What it was built from: another key, another content under the same name.
    pub key: String,
}

#[derive(Debug, Clone)]
enum Target {
    Embedded,
    Context {
        name: String,
        registry: Option<String>,
        builder: Builder,
    },
}

impl Cluster {
    /// The embedded cluster, brought up if it isn't.
    pub fn embedded() -> Result<Self> {
        embedded::up()?;
        Ok(Self {
            kubectl: embedded::tools().join("kubectl"),
            target: Target::Embedded,
        })
    }

    /// The user's own cluster. Images are loaded into kind, k3d or minikube by the context's name, or pushed to
    /// `registry`.
    pub fn context(name: &str, registry: Option<&str>) -> Result<Self> {
        let kubectl = match find("kubectl") {
            Some(kubectl) => kubectl,
            None => {
                embedded::kubectl_binary().context("there is no kubectl here, and it could not be built")?
            }
        };
        let registry = registry.map(|r| r.trim_end_matches('/').to_owned());
        let cluster = Self {
            kubectl,
            target: Target::Context {
                name: name.to_owned(),
                registry,
                builder: Builder::of_user()?,
            },
        };
        cluster
            .kubectl(&["get", "--raw", "/readyz", "--request-timeout=10s"])
            .with_context(|| format!("the cluster of the context `{name}` doesn't answer"))?;
        Ok(cluster)
    }

    /// True for the embedded cluster: pods can be reached by their addresses, and images are the local ones.
    pub fn is_embedded(&self) -> bool {
        matches!(self.target, Target::Embedded)
    }

    /// Runs kubectl and returns what it printed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_cmd().args(args).output()
    }

    /// kubectl on this cluster, for what `kubectl` doesn't cover.
    pub fn kubectl_cmd(&self) -> Cmd {
        let kubectl = Cmd::new(&self.kubectl);
        match &self.target {
            Target::Embedded => kubectl.arg("--kubeconfig").arg(embedded::kubeconfig()),
            Target::Context { name, .. } => kubectl.args(["--context", name]),
        }
    }

    /// Where kubectl lies, for scripts.
    pub fn kubectl_path(&self) -> &std::path::Path {
        &self.kubectl
    }

    /// A kubeconfig whose current context is this cluster, for scripts that take no context.
    pub fn kubeconfig_alone(&self) -> Result<PathBuf> {
        let Target::Context { name, .. } = &self.target else {
            return Ok(embedded::kubeconfig());
        };
        let minified = self.kubectl(&["config", "view", "--minify", "--flatten"])?;
        let file = crate::paths::cache_dir("contexts")?.join(name.replace('/', "_"));
        crate::paths::write(&file, minified)?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(file)
    }

    /// Applies YAML from memory, as a user would with `kubectl apply`; what holds a Secret is on no command line.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.kubectl_cmd().args(["apply", "-f", "-"]).stdin(yaml).output()
    }

    /// Applies YAML to a namespace.
    pub fn apply_in(&self, namespace: &str, yaml: &str) -> Result<String> {
        self.kubectl_cmd()
            .args(["apply", "-n", namespace, "-f", "-"])
            .stdin(yaml)
            .output()
    }

    /// An object; an error when it isn't there.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        self.find(kind, namespace, name)?
            .with_context(|| format!("there is no {kind} {namespace}/{name}"))
    }

    /// An object, if it is there.
    pub fn find(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>> {
        let text = self.kubectl(&[
            "get",
            kind,
            name,
            "-n",
            namespace,
            "-o",
            "json",
            "--ignore-not-found",
        ])?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{kind} {namespace}/{name} isn't JSON"))
    }

    /// A value of a Secret, which has to be text.
    pub fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<String> {
        let secret = self.get("secret", namespace, name)?;
        let encoded = secret["data"][key]
            .as_str()
            .with_context(|| format!("the Secret {namespace}/{name} has no key {key}"))?;
        Ok(String::from_utf8(STANDARD.decode(encoded)?)?)
    }

    /// The objects of a kind in a namespace that a label selector picks; all of them with an empty one.
    pub fn list(&self, kind: &str, namespace: &str, selector: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", kind, "-n", namespace, "-l", selector, "-o", "json"])?;
        let mut list: Value =
            serde_json::from_str(&text).with_context(|| format!("the list of {kind} isn't JSON"))?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("the list of {kind} has no items"),
        }
    }

    /// Makes a namespace if it isn't there.
    pub fn namespace(&self, name: &str) -> Result<()> {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"
        ))
        .map(drop)
    }

    /// Deletes a namespace with all that is in it and waits until it is gone.
    pub fn delete_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(&[
            "delete",
            "namespace",
            name,
            "--ignore-not-found",
            "--timeout=120s",
        ])
        .map(drop)
    }

    /// Runs Helm and returns what it printed.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let helm = match (find("helm"), &self.target) {
            (Some(helm), Target::Context { .. }) => helm,
            _ => embedded::helm()?,
        };
        let helm = Cmd::new(helm);
        let helm = match &self.target {
            Target::Embedded => helm.arg("--kubeconfig").arg(embedded::kubeconfig()),
            Target::Context { name, .. } => helm.args(["--kube-context", name]),
        };
        helm.args(args).output()
    }

    /// Builds an image where its inputs changed and brings it to the nodes where they lack it. Returns nothing for an
    /// image that this cluster pulls from its public registry.
    pub fn load(&self, image: &Image) -> Result<Option<Loaded>> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _building = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.target {
            Target::Embedded => {
                let built = image.build(Builder::Chroot)?;
                let label = format!("accord.dev/key={}", built.key);
                let listed = embedded::ctr(&["images", "ls", &format!("name=={}", built.reference)])?;
                if !listed.contains(&label) {
                    progress::say(&format!("loading {}", built.reference));
                    let archive = built
                        .archive
                        .as_ref()
                        .context("an image of the embedded cluster has an archive")?;
                    embedded::ctr(&["images", "import", &archive.to_string_lossy()])?;
                    embedded::ctr(&["images", "label", &built.reference, &label])?;
                }
                Ok(Some(Loaded {
                    reference: built.reference,
                    key: built.key,
                }))
            }
            Target::Context {
                name,
                registry,
                builder,
            } => {
                if matches!(
                    image,
                    Image::Postgres | Image::Valkey | Image::Python | Image::Node
                ) {
                    return Ok(None);
                }
                let built = image.build(*builder)?;
                if let Some(registry) = registry {
                    let name = built.reference.trim_start_matches("localhost/");
                    let remote = format!("{registry}/{name}");
                    progress::say(&format!("pushing {remote}"));
                    builder.push(&built.reference, &remote)?;
                    return Ok(Some(Loaded {
                        reference: remote,
                        key: built.key,
                    }));
                }
                progress::say(&format!("loading {}", built.reference));
                load_into_local(name, &built.reference, built.archive.as_deref())?;
                Ok(Some(Loaded {
                    reference: built.reference,
                    key: built.key,
                }))
            }
        }
    }

    /// A way to talk HTTP to one pod, past every Service and router. On the embedded cluster that is the pod's own
    /// address; elsewhere it goes through `kubectl port-forward`, which ends with the value.
    pub fn pod_http(&self, namespace: &str, pod: &str, port: u16) -> Result<PodHttp> {
        if !self.is_embedded() {
            return PodHttp::forward(&self.kubectl_cmd(), namespace, pod, port);
        }
        let address = self.get("pod", namespace, pod)?["status"]["podIP"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if address.is_empty() {
            bail!("the pod {namespace}/{pod} has no address yet");
        }
        Ok(PodHttp::direct(pod, &address, port))
    }

    /// A way to a Service by its own address, on port 80: each connection may reach another pod.
    pub fn front(&self, namespace: &str, name: &str) -> Result<PodHttp> {
        let service = self.get("service", namespace, name)?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        Ok(PodHttp::direct(&format!("of the Service {name}"), address, 80))
    }

    /// What happened last in a namespace, for a failure's report: events, and the last lines of pods that aren't ready.
    pub fn recent(&self, namespace: &str) -> String {
        use std::fmt::Write as _;
        let mut report = String::new();
        let events = self
            .kubectl(&[
                "get",
                "events",
                "-n",
                namespace,
                "--sort-by=.lastTimestamp",
                "-o",
                "custom-columns=TYPE:.type,REASON:.reason,OBJECT:.involvedObject.name,MESSAGE:.message",
                "--no-headers",
            ])
            .unwrap_or_default();
        let _ = writeln!(
            report,
            "Last events in {namespace}:\n{}",
            crate::exec::last_lines(&events, 8)
        );
        for pod in self.list("pods", namespace, "").unwrap_or_default() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let phase = pod["status"]["phase"].as_str().unwrap_or_default();
            let ready = pod["status"]["containerStatuses"]
                .as_array()
                .is_some_and(|all| !all.is_empty() && all.iter().all(|c| c["ready"] == true));
            if ready || phase == "Succeeded" {
                continue;
            }
            let log = self
                .kubectl(&[
                    "logs",
                    "-n",
                    namespace,
                    name,
                    "--all-containers",
                    "--tail=6",
                    "--prefix",
                ])
                .unwrap_or_else(|error| crate::exec::last_lines(&error.to_string(), 2));
            let _ = writeln!(report, "Pod {name} ({phase}):\n{}", log.trim_end());
        }
        report
    }
}

/// Loads an image into a cluster that runs on this machine, by what the context's name says it is.
fn load_into_local(context: &str, reference: &str, archive: Option<&std::path::Path>) -> Result<()> {
    let archive = archive.map(|a| a.to_string_lossy().into_owned());
    if let Some(cluster) = context.strip_prefix("kind-") {
        let what = match &archive {
            Some(archive) => ["image-archive", archive],
            None => ["docker-image", reference],
        };
        return Cmd::new("kind")
            .arg("load")
            .args(what)
            .args(["--name", cluster])
            .run();
    }
    let image = archive.as_deref().unwrap_or(reference);
    if let Some(cluster) = context.strip_prefix("k3d-") {
        return Cmd::new("k3d")
            .args(["image", "import", image, "--cluster", cluster])
            .run();
    }
    if context == "minikube" {
        return Cmd::new("minikube").args(["image", "load", image]).run();
    }
    bail!(
        "how do images get to the nodes of `{context}`? It is neither kind, k3d nor minikube by its name.\n\
         Way out: `--registry HOST/PATH`, a registry that you may push to and the nodes may pull from."
    )
}
