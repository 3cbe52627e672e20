//! The Kubernetes kinds that Accord reads and writes, and objects as they travel between core and cluster.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($version:literal, $plural:literal)),* $(,)?) => {
        /// A kind that Accord reads or writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind),* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// `kind` as in a manifest.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind)),* }
            }

            /// `apiVersion` as in a manifest.
            pub const fn api_version(self) -> &'static str {
                match self { $(Self::$kind => $version),* }
            }

            /// The resource's name in paths.
            pub const fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural),* }
            }
        }
    };
}

kinds! {
    /// Credentials and rendered bindings. Accord never deletes one.
    Secret("v1", "secrets"),
    /// Recorded identities.
    ConfigMap("v1", "configmaps"),
    /// Addresses.
    Service("v1", "services"),
    /// Volumes; read only, but for owner references when data is to go with its service.
    PersistentVolumeClaim("v1", "persistentvolumeclaims"),
    /// Pods; read only, but for the readiness gate.
    Pod("v1", "pods"),
    /// Servers.
    Deployment("apps/v1", "deployments"),
    /// Database and cache.
    StatefulSet("apps/v1", "statefulsets"),
    /// Read only: which pod template names which binding Secret.
    ReplicaSet("apps/v1", "replicasets"),
    /// The released declaration.
    ControllerRevision("apps/v1", "controllerrevisions"),
    /// Migrations, seeds, the canary.
    Job("batch/v1", "jobs"),
    /// Eviction limits.
    PodDisruptionBudget("policy/v1", "poddisruptionbudgets"),
}

impl Kind {
    /// `group` of the API, empty for the core group.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// `version` of the API.
    pub fn version(self) -> &'static str {
        self.api_version()
            .split_once('/')
            .map_or(self.api_version(), |(_, version)| version)
    }
}

/// An object's kind and name; the namespace is always the service's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// `metadata.name`
    pub name: String,
}

impl ObjectKey {
    /// A key.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// An object with its kind, as JSON: what the API server gets or gives.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Kind and name.
    pub key: ObjectKey,
    /// The whole manifest.
    pub value: Value,
}

/// Without the contents: they may be secret.
impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({})", self.key)
    }
}

impl Object {
    /// An object from a typed one. `apiVersion` and `kind` are added.
    pub fn new(kind: Kind, name: &str, typed: &impl Serialize) -> Self {
        let mut value = serde_json::to_value(typed).unwrap_or_default();
        prune(&mut value);
        value["apiVersion"] = kind.api_version().into();
        value["kind"] = kind.as_str().into();
        Self {
            key: ObjectKey::new(kind, name),
            value,
        }
    }

    /// The object as a typed one; `None` when it isn't of that type.
    pub fn typed<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(&self.value).ok()
    }

    /// `metadata.uid`, empty for an object that isn't in the cluster yet.
    pub fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// `metadata.resourceVersion`
    pub fn resource_version(&self) -> &str {
        self.value["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["labels"][name].as_str()
    }

    /// The revision that its pods are of, where it has a pod template.
    pub fn template_revision(&self) -> Option<&str> {
        self.value["spec"]["template"]["metadata"]["labels"][accord_crds::meta::LABEL_REVISION].as_str()
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.value["metadata"]["annotations"][name].as_str()
    }

    /// True while the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        !self.value["metadata"]["deletionTimestamp"].is_null()
    }

    /// A Secret's value under a key, decoded.
    pub fn secret_bytes(&self, key: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD
            .decode(self.value["data"][key].as_str()?)
            .ok()
    }

    /// A Secret's value under a key, as text.
    pub fn secret_text(&self, key: &str) -> Option<String> {
        String::from_utf8(self.secret_bytes(key)?).ok()
    }
}

/// Drops nulls: a field that is not set is not sent.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(prune);
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}
