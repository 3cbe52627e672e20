//! What no schema gives away: parts that contradict each other, and values that are well formed and can't work.

use serde_json::{Value, json};

use super::mutation::Mutation;

/// A field, what is wrong with it, and a merge patch of the spec.
type Case = (&'static str, &'static str, fn() -> Value);

/// Contradictions, refused when they are declared.
pub(super) const CONTRADICTIONS: &[Case] = &[
    ("spec.database", "taken away", || json!({"database": null})),
    ("spec.cache", "taken away", || json!({"cache": null})),
    (
        "spec.database",
        "of two kinds",
        || json!({"database": {"external": {"secretRef": {"name": "a"}}}}),
    ),
    (
        "spec.cache",
        "of two kinds",
        || json!({"cache": {"external": {"secretRef": {"name": "a"}}}}),
    ),
    (
        "spec.database",
        "of no kind",
        || json!({"database": {"managed": null}}),
    ),
    (
        "spec.database",
        "of another kind",
        || json!({"database": {"managed": null, "external": {"secretRef": {"name": "a"}}}}),
    ),
    (
        "spec.database.managed.name",
        "changed",
        || json!({"database": {"managed": {"name": "other"}}}),
    ),
    (
        "spec.database.managed",
        "moved to another class",
        || json!({"database": {"managed": {"storage": {"className": "other"}}}}),
    ),
    (
        "spec.database.managed",
        "shrunk",
        || json!({"database": {"managed": {"storage": {"size": "1Mi"}}}}),
    ),
    (
        "spec.cache.managed",
        "shrunk",
        || json!({"cache": {"managed": {"storage": {"size": "1"}}}}),
    ),
    ("spec.mode", "changed", || json!({"mode": "Observe"})),
    (
        "spec.selector",
        "without Observe",
        || json!({"selector": {"matchLabels": {"app": "orders"}}}),
    ),
    (
        "spec.verification.canary",
        "with a Secret, without Observe",
        || json!({"verification": {"canary": {"secretRef": {"name": "a"}}}}),
    ),
    (
        "spec.verification.canary",
        "with both",
        || json!({"verification": {"canary": {"secretRef": {"name": "a"}, "command": ["true"]}}}),
    ),
    (
        "spec.verification.canary",
        "with neither",
        || json!({"verification": {"canary": {}}}),
    ),
    (
        "spec.verification.isolation.minAvailable",
        "as many as replicas",
        || json!({"verification": {"isolation": {"minAvailable": 2}}}),
    ),
    (
        "spec.verification.recipe",
        "none for Custom",
        || json!({"framework": "Custom", "verification": {"recipe": null}}),
    ),
    (
        "spec.verification.canary",
        "none for Custom",
        || json!({"framework": "Custom"}),
    ),
    (
        "spec.verification.recipe.login",
        "attributes of no cookie",
        || json!({"verification": {"recipe": {"login": {"sessionCookie": null}}}}),
    ),
    (
        "spec.verification.recipe.login",
        "a key of no token",
        || json!({"verification": {"recipe": {"login": {"accessToken": null}}}}),
    ),
    (
        "spec.verification.recipe.login",
        "two places of a session",
        || {
            json!({"verification": {"recipe": {"login": {
            "sessionKey": "s:{id}", "sessionRow": {"table": "t", "column": "c"}}}}})
        },
    ),
    (
        "spec.seeds",
        "two of a name",
        || json!({"seeds": [{"name": "a", "command": ["a"]}, {"name": "a", "command": ["b"]}]}),
    ),
    (
        "spec.bindings[0]",
        "variable and file",
        || json!({"bindings": [{"env": "A", "file": "a", "source": "hostname"}]}),
    ),
    (
        "spec.bindings[0]",
        "neither variable nor file",
        || json!({"bindings": [{"source": "hostname"}]}),
    ),
    ("spec.image", "with a blank", || json!({"image": "a b"})),
    ("spec.image", "empty", || json!({"image": ""})),
];

/// Well formed, and taken by the API server or not: whichever it is, it mustn't do harm. The first ones are carried out in
/// every run, all of them with `ACCORD_LONG=1`.
pub(super) const HOPELESS: &[Case] = &[
    (
        "spec.server.podTemplate",
        "metadata that are a text",
        || json!({"server": {"podTemplate": {"metadata": "text"}}}),
    ),
    (
        "spec.server.podTemplate",
        "labels that are a list",
        || json!({"server": {"podTemplate": {"metadata": {"labels": ["a"]}}}}),
    ),
    (
        "spec.server.resources",
        "no quantity",
        || json!({"server": {"resources": {"limits": {"memory": "plenty"}}}}),
    ),
    (
        "spec.server.env",
        "a name that is none",
        || json!({"server": {"env": [{"name": "A=B", "value": "c"}]}}),
    ),
    (
        "spec.verification.recipe.check.path",
        "asks elsewhere",
        || json!({"verification": {"recipe": {"check": {"path": "/nowhere/"}}}}),
    ),
    (
        "spec.image",
        "that isn't there",
        || json!({"image": "localhost/nowhere:1", "imagePullPolicy": "Never"}),
    ),
    (
        "spec.preflight.command",
        "that fails",
        || json!({"preflight": {"command": ["false"]}}),
    ),
    // With ACCORD_LONG=1.
    (
        "spec.server.podTemplate",
        "a spec that is a text",
        || json!({"server": {"podTemplate": {"spec": "text"}}}),
    ),
    (
        "spec.server.podTemplate",
        "the server taken out",
        || json!({"server": {"podTemplate": {"spec": {"containers": [{"name": "server", "$patch": "delete"}]}}}}),
    ),
    (
        "spec.server.podTemplate",
        "a restart policy that a Deployment can't have",
        || json!({"server": {"podTemplate": {"spec": {"restartPolicy": "Never"}}}}),
    ),
    (
        "spec.server.podTemplate",
        "another service's labels",
        || json!({"server": {"podTemplate": {"metadata": {"labels": {"accord.dev/service": "other"}}}}}),
    ),
    (
        "spec.server.podTemplate",
        "a node that isn't there",
        || json!({"server": {"podTemplate": {"spec": {"nodeSelector": {"example.com/none": "x"}}}}}),
    ),
    (
        "spec.server.resources",
        "a request above the limit",
        || json!({"server": {"resources": {"requests": {"memory": "1Gi"}}}}),
    ),
    (
        "spec.server.resources",
        "more than any node has",
        || json!({"server": {"resources": {"requests": {"cpu": "4096"}}}}),
    ),
    (
        "spec.server.env",
        "value and source",
        || json!({"server": {"env": [{"name": "A", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}}),
    ),
    (
        "spec.server.env",
        "a source that is empty",
        || json!({"server": {"env": [{"name": "A", "valueFrom": {}}]}}),
    ),
    (
        "spec.server.env",
        "a Secret that isn't there",
        || json!({"server": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "k"}}}]}}),
    ),
    (
        "spec.server.env",
        "twice the same",
        || json!({"server": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}}),
    ),
    (
        "spec.server.env",
        "a binding's name",
        || json!({"server": {"env": [{"name": "DATABASE_URL", "value": "x"}]}}),
    ),
    (
        "spec.server.command",
        "that isn't there",
        || json!({"server": {"command": ["/nowhere"]}}),
    ),
    (
        "spec.server.port",
        "where nobody listens",
        || json!({"server": {"port": 9}}),
    ),
    (
        "spec.server.healthPath",
        "that answers 404",
        || json!({"server": {"healthPath": "/nowhere", "startupSeconds": 5}}),
    ),
    (
        "spec.migration.command",
        "that fails",
        || json!({"migration": {"command": ["false"]}}),
    ),
    (
        "spec.migration.command",
        "that isn't there",
        || json!({"migration": {"command": ["/nowhere"]}}),
    ),
    (
        "spec.seeds",
        "one that fails",
        || json!({"seeds": [{"name": "bad", "command": ["false"], "idempotent": true}]}),
    ),
    (
        "spec.bindings",
        "twice the same variable",
        || json!({"bindings": [{"env": "A", "source": "hostname"}, {"env": "A", "source": "origin"}]}),
    ),
    (
        "spec.bindings",
        "a source that isn't declared",
        || json!({"bindings": [{"env": "A", "source": "database.replicaUri"}]}),
    ),
    (
        "spec.hostnames",
        "twice the same",
        || json!({"hostnames": ["orders.example.com", "orders.example.com"]}),
    ),
    (
        "spec.verification.recipe.login.path",
        "logs in elsewhere",
        || json!({"verification": {"recipe": {"login": {"path": "/nowhere/"}}}}),
    ),
    (
        "spec.verification.recipe.login.status",
        "another status",
        || json!({"verification": {"recipe": {"login": {"status": 302}}}}),
    ),
    (
        "spec.verification.canary.command",
        "that fails",
        || json!({"verification": {"canary": {"command": ["false"]}}}),
    ),
    (
        "spec.verification.edge",
        "a router that isn't there",
        || json!({"verification": {"edge": {"address": "nowhere.invalid"}}}),
    ),
    (
        "spec.verification.edge.caSecretRef",
        "that isn't there",
        || json!({"verification": {"edge": {"caSecretRef": {"name": "nowhere"}}}}),
    ),
];

/// The changes that cases make to a spec.
pub(super) fn mutations(cases: &[Case], spec: &Value) -> Vec<Mutation> {
    cases
        .iter()
        .map(|(field, how, patch)| {
            let mut changed = spec.clone();
            merge(&mut changed, &patch());
            Mutation {
                field: (*field).to_owned(),
                how,
                unknown: false,
                spec: changed,
            }
        })
        .collect()
}

/// A JSON merge patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_changes_the_declaration() {
        let spec = super::super::rich::spec("i");
        for mutation in mutations(CONTRADICTIONS, &spec)
            .iter()
            .chain(&mutations(HOPELESS, &spec))
        {
            assert_ne!(mutation.spec, spec, "{} {}", mutation.field, mutation.how);
        }
    }

    #[test]
    fn a_null_takes_a_field_out_and_a_list_is_replaced() {
        let mut target = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1});
        merge(&mut target, &json!({"a": {"b": null, "c": [3]}, "e": {"f": 1}}));
        assert_eq!(target, json!({"a": {"c": [3]}, "d": 1, "e": {"f": 1}}));
    }
}
