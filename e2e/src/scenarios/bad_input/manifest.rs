//! Bad input around the spec: manifests that are none, names, sizes, and Accord's own annotations with nonsense in them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::cycle::Subject;
use crate::api::{APPLY_YAML, MERGE_PATCH};
use crate::audit::Mark;
use crate::scenarios::kit::NOTICE;

/// Without a change for so long an annotation counts as without consequence.
const AFTER: Duration = Duration::from_secs(4);
/// Status travels with every read of the service.
const STATUS: usize = 16 * 1024;

/// A manifest, and what the sentence that refuses it has to say.
struct Manifest {
    what: &'static str,
    says: &'static str,
    text: fn(&str) -> String,
}

/// What kubectl and the API server make of whole manifests. `{}` is the service's name.
const MANIFESTS: &[Manifest] = &[
    Manifest {
        what: "a field twice",
        says: "\"replicas\" already set",
        text: |name| {
            format!(
                "apiVersion: accord.dev/v1alpha1\nkind: AuthService\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  replicas: 3\n"
            )
        },
    },
    Manifest {
        what: "no YAML",
        says: "yaml",
        text: |_| "apiVersion: accord.dev/v1alpha1\nkind: [AuthService\n".to_owned(),
    },
    Manifest {
        what: "a version that isn't served",
        says: "v9",
        text: |name| {
            format!(
                "apiVersion: accord.dev/v9\nkind: AuthService\nmetadata: {{name: {name}}}\nspec: {{replicas: 2}}\n"
            )
        },
    },
    Manifest {
        what: "another name than the address",
        says: "name",
        text: |_| {
            "apiVersion: accord.dev/v1alpha1\nkind: AuthService\nmetadata: {name: others}\nspec: {replicas: 2}\n".to_owned()
        },
    },
    Manifest {
        what: "a spec that is a list",
        says: "spec",
        text: |name| {
            format!(
                "apiVersion: accord.dev/v1alpha1\nkind: AuthService\nmetadata: {{name: {name}}}\nspec: [1, 2]\n"
            )
        },
    },
    Manifest {
        what: "2 MB of annotation",
        says: "annotations: Too long",
        text: |name| {
            format!(
                "apiVersion: accord.dev/v1alpha1\nkind: AuthService\nmetadata: {{name: {name}, annotations: {{a: {}}}}}\n",
                "x".repeat(2_000_000)
            )
        },
    },
    Manifest {
        what: "2 MB of command",
        says: "too large",
        text: |name| {
            format!(
                "apiVersion: accord.dev/v1alpha1\nkind: AuthService\nmetadata: {{name: {name}}}\nspec: {{server: {{args: [{}]}}}}\n",
                "x".repeat(2_000_000)
            )
        },
    },
];

/// The annotations that Accord reads, and one that it doesn't.
const ANNOTATIONS: &[&str] = &[
    "accord.dev/paused",
    "accord.dev/retry",
    "accord.dev/accept-incompatible",
    "accord.dev/nonsense",
];

/// Nonsense for an annotation. `true`, which pauses, isn't among it.
fn nonsense() -> [String; 4] {
    [
        String::new(),
        "TRUE\nfalse".to_owned(),
        "\u{202e}\u{1f9d1}\u{200d}\u{1f680}".to_owned(),
        // All of them together may have 256 KiB.
        "x".repeat(50_000),
    ]
}

/// All manifests, each refused. Returns how many there were.
pub(super) fn refused(subject: &Subject<'_>) -> Result<usize> {
    // The last one is within the size of a request, and too large to be stored: only a write that is meant shows it.
    for manifest in MANIFESTS {
        let text = (manifest.text)(&subject.kit.service.name);
        let path = format!(
            "{}?fieldManager=somebody&fieldValidation=Strict&force=true",
            subject.path()
        );
        let reply = subject.api.send("PATCH", &path, APPLY_YAML, text.into_bytes())?;
        let head: String = reply.message().chars().take(300).collect();
        ensure!(
            !reply.is_success(),
            "{}: it was accepted, but should have been refused",
            manifest.what
        );
        ensure!(
            reply
                .message()
                .to_lowercase()
                .contains(&manifest.says.to_lowercase()),
            "{}: {} without {:?}: {head}",
            manifest.what,
            reply.code,
            manifest.says
        );
    }
    Ok(MANIFESTS.len())
}

/// Nonsense in annotations: nothing follows from it. Returns how many values there were.
pub(super) fn annotated(subject: &Subject<'_>) -> Result<usize> {
    let mut tried = 0;
    for value in nonsense() {
        let short: String = value.chars().take(12).collect();
        let all: Value = ANNOTATIONS
            .iter()
            .map(|name| ((*name).to_owned(), json!(value)))
            .collect();
        let none: Value = ANNOTATIONS
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect();
        let mark = subject.kit.cluster.is_embedded().then(Mark::now).transpose()?;
        annotate(subject, &all)?;
        std::thread::sleep(AFTER);
        let size = subject.kit.service.object()?["status"].to_string().len();
        let kept = subject
            .kit
            .until("Ready under nonsense in annotations", NOTICE, |object| {
                crate::demo::service::current_condition(object, "Ready")
                    .is_some_and(|c| c["status"] == "True")
            });
        let taken_away = annotate(subject, &none)?;
        kept.with_context(|| format!("annotations of {short:?}"))?;
        subject.as_before(&taken_away)?;
        ensure!(
            size <= STATUS,
            "annotations of {short:?}: status has {size} bytes, more than {STATUS}"
        );
        if let Some(mark) = mark {
            let writes = subject.kit.writes(&mark)?;
            // A new value of `retry` proves every replica again, which shows in status.
            ensure!(
                writes.len() <= 12,
                "annotations of {short:?}: {} writes",
                writes.len()
            );
        }
        tried += ANNOTATIONS.len();
    }
    Ok(tried)
}

fn annotate(subject: &Subject<'_>, annotations: &Value) -> Result<Value> {
    let patch = json!({"metadata": {"annotations": annotations}});
    subject
        .api
        .patch(&subject.path(), MERGE_PATCH, &patch)?
        .object("annotations")
}
