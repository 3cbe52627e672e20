//! The Job that asks an image what its servers would use: their environment, their files, and their own patch of the pod
//! template as far as it has to do with settings.

use accord_crds::meta::ANNOTATION_RETRY;
use serde_json::{Map, Value};

use crate::binding::{RING_KEYS, Rendered};
use crate::build::deployment::CONTAINER;
use crate::build::job::{self, Task};
use crate::build::pod;
use crate::context::Context;
use crate::diff;
use crate::key::Object;
use crate::labels::Role;
use crate::probe;
use crate::revision::Revision;

/// Tells the application that it is asked for what a server would use.
const ASKED: &str = "ACCORD_FACTS";
/// What fingerprints of keys are made with, where the servers take theirs from the ring.
const KEY: &str = "ACCORD_FACTS_KEY";

/// What of a container's patch says which settings it has.
const OF_CONTAINER: [&str; 6] = [
    "env",
    "envFrom",
    "volumeMounts",
    "workingDir",
    "securityContext",
    "resources",
];
/// The same of a pod's.
const OF_POD: [&str; 8] = [
    "volumes",
    "securityContext",
    "serviceAccountName",
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "affinity",
    "hostAliases",
];

/// The Job of a revision.
pub fn ask(
    context: &Context,
    revision: &Revision,
    (name, digest): (&str, &str),
    command: Vec<String>,
    (rendered, binding): (&Rendered, &str),
) -> Object {
    let mut env = vec![pod::plain(ASKED, "1")];
    if !probe::keys(context, &revision.spec).is_empty() {
        env.push(pod::from_secret(KEY, binding, RING_KEYS[0]));
    }
    let task = Task {
        name: name.to_owned(),
        role: Role::Preflight,
        entry: "facts",
        revision: digest,
        command,
        env,
        runner_args: Vec::new(),
        retry: context.annotation(ANNOTATION_RETRY),
        account: "",
    };
    let mut object = job::task(context, &revision.spec, rendered, binding, task);
    let patch = revision
        .spec
        .server
        .as_ref()
        .and_then(|s| s.pod_template.as_ref());
    if let Some(patch) = patch {
        diff::strategic_merge(&mut object.value["spec"]["template"], &settings_of(patch));
    }
    object
}

/// The part of a patch of the servers' template that the Job needs too: a database that it names, or a file that it mounts,
/// would else be missing, and be taken for a fault of the image.
fn settings_of(patch: &Value) -> Value {
    let pick = |from: &Value, fields: &[&str]| -> Map<String, Value> {
        let chosen = fields.iter().filter(|f| !from[**f].is_null());
        chosen.map(|f| ((*f).to_owned(), from[*f].clone())).collect()
    };
    let mut spec = pick(&patch["spec"], &OF_POD);
    let containers = patch["spec"]["containers"].as_array();
    let server = containers.into_iter().flatten().find(|c| c["name"] == CONTAINER);
    if let Some(server) = server {
        let mut container = pick(server, &OF_CONTAINER);
        container.insert("name".into(), Role::Preflight.as_str().into());
        spec.insert("containers".into(), Value::Array(vec![container.into()]));
    }
    serde_json::json!({"spec": spec})
}
