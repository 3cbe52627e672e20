//! The field reference, in Markdown.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Nested Kubernetes types are named, not unfolded: their reference is Kubernetes' own.
const KUBERNETES: &[(&str, &str)] = &[
    ("env", "[]EnvVar"),
    ("resources", "ResourceRequirements"),
    ("imagePullSecrets", "[]LocalObjectReference"),
    ("conditions", "[]Condition"),
];

/// The reference of every field of spec and status.
pub(crate) fn markdown(crd: &CustomResourceDefinition) -> String {
    let mut out = String::from(
        "# AuthService reference\n\n`accord.dev/v1alpha1`. Made from the types in `crds/src` by `cargo xtask gen`.\n",
    );
    let schema = crd
        .spec
        .versions
        .first()
        .and_then(|v| v.schema.as_ref())
        .and_then(|s| s.open_api_v3_schema.as_ref());
    for part in ["spec", "status"] {
        if let Some(props) = schema
            .and_then(|s| s.properties.as_ref())
            .and_then(|p| p.get(part))
        {
            let _ = write!(
                out,
                "\n## {part}\n\n| field | type | what it is |\n|---|---|---|\n"
            );
            rows(&mut out, part, props);
        }
    }
    out
}

fn rows(out: &mut String, path: &str, schema: &JSONSchemaProps) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, field) in schema.properties.iter().flatten() {
        let at = format!("{path}.{name}");
        let foreign = KUBERNETES.iter().find(|(n, _)| n == name).map(|(_, t)| *t);
        let kind = foreign.map_or_else(|| type_name(field), str::to_owned);
        let must = if required.contains(name) {
            " (required)"
        } else {
            ""
        };
        let text = field
            .description
            .as_deref()
            .unwrap_or_default()
            .replace('\n', " ")
            .replace('|', "\\|");
        let _ = writeln!(out, "| `{at}`{must} | {kind} | {text}{} |", values(field));
        if foreign.is_none() {
            rows(out, &at, item(field).unwrap_or(field));
        }
    }
}

fn item(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(s) => Some(s),
        JSONSchemaPropsOrArray::Schemas(s) => s.first(),
    }
}

fn type_name(schema: &JSONSchemaProps) -> String {
    match item(schema) {
        Some(inner) => format!("[]{}", type_name(inner)),
        None => schema.type_.clone().unwrap_or_else(|| "any".into()),
    }
}

fn values(schema: &JSONSchemaProps) -> String {
    let list: Vec<String> = schema
        .enum_
        .iter()
        .flatten()
        .filter_map(|v| v.0.as_str())
        .map(|v| format!("`{v}`"))
        .collect();
    if list.is_empty() {
        String::new()
    } else {
        format!(" One of {}.", list.join(", "))
    }
}
