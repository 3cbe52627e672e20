//! Values that the schema lets through and Kubernetes doesn't. An object made of them would be refused, in words about that
//! object; here they are told by the field that was written.

use std::collections::BTreeMap;

use accord_crds::Quantity as Amount;
use accord_crds::spec::AuthServiceSpec;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;

/// The longest quotation of a value, in characters.
const QUOTED: usize = 40;

/// The first value that can't work: the field, the value and the way out.
pub(super) fn wrong(spec: &AuthServiceSpec) -> Option<String> {
    let server = spec.server.as_ref();
    let database = spec.database.as_ref().and_then(|d| d.managed.as_ref());
    let cache = spec.cache.as_ref().and_then(|c| c.managed.as_ref());
    let amounts = [
        ("spec.server.resources", server.and_then(|s| s.resources.as_ref())),
        (
            "spec.database.managed.resources",
            database.and_then(|d| d.resources.as_ref()),
        ),
        (
            "spec.cache.managed.resources",
            cache.and_then(|c| c.resources.as_ref()),
        ),
    ];
    let mut texts: Vec<(String, &[String])> = Vec::new();
    let mut variables: Vec<(String, &[EnvVar])> = Vec::new();
    if let Some(server) = server {
        texts.push(("spec.server.command".into(), &server.command));
        texts.push(("spec.server.args".into(), &server.args));
        variables.push(("spec.server.env".into(), &server.env));
    }
    if let Some(migration) = &spec.migration {
        texts.push(("spec.migration.command".into(), &migration.command));
        variables.push(("spec.migration.env".into(), &migration.env));
    }
    for (index, seed) in spec.seeds.iter().enumerate() {
        texts.push((format!("spec.seeds[{index}].command"), &seed.command));
        variables.push((format!("spec.seeds[{index}].env"), &seed.env));
    }
    if let Some(preflight) = &spec.preflight {
        texts.push(("spec.preflight.command".into(), &preflight.command));
    }
    if let Some(canary) = spec.verification.as_ref().and_then(|v| v.canary.as_ref()) {
        texts.push(("spec.verification.canary.command".into(), &canary.command));
    }
    let template = server.and_then(|s| s.pod_template.as_ref());
    amounts
        .into_iter()
        .find_map(|(field, amounts)| resources(field, amounts?))
        .or_else(|| texts.iter().find_map(|(field, list)| command(field, list)))
        .or_else(|| {
            variables
                .iter()
                .find_map(|(field, list)| environment(field, list))
        })
        .or_else(|| template.and_then(pod_template))
}

fn resources(field: &str, resources: &ResourceRequirements) -> Option<String> {
    let none = BTreeMap::new();
    let requests = resources.requests.as_ref().unwrap_or(&none);
    let limits = resources.limits.as_ref().unwrap_or(&none);
    for (which, amounts) in [("requests", requests), ("limits", limits)] {
        for (name, Quantity(text)) in amounts {
            let Ok(amount) = text.parse::<Amount>() else {
                return Some(format!(
                    "{field}.{which}.{name} is {}, which is not a quantity: write a number with a suffix, for example 500m or 256Mi.",
                    quoted(text)
                ));
            };
            if "0".parse().is_ok_and(|zero: Amount| amount < zero) {
                return Some(format!(
                    "{field}.{which}.{name} is {}, less than nothing: write a number that isn't negative.",
                    quoted(text)
                ));
            }
        }
    }
    let parsed = |q: &Quantity| q.0.parse::<Amount>().ok();
    requests.iter().find_map(|(name, request)| {
        let limit = limits.get(name)?;
        (parsed(request)? > parsed(limit)?).then(|| {
            format!(
                "{field}.requests.{name} is {}, more than {field}.limits.{name}, which is {}: lower the one or raise the other.",
                request.0, limit.0
            )
        })
    })
}

fn command(field: &str, words: &[String]) -> Option<String> {
    let index = words.iter().position(|word| word.contains('\0'))?;
    Some(format!(
        "{field}[{index}] holds a NUL character, which no process can be given: take it out."
    ))
}

fn environment(field: &str, variables: &[EnvVar]) -> Option<String> {
    variables.iter().enumerate().find_map(|(index, variable)| {
        let field = format!("{field}[{index}]");
        let name = &variable.name;
        let is_name = !name.is_empty() && name.chars().all(|c| matches!(c, ' '..='~') && c != '=');
        if !is_name {
            return Some(format!(
                "{field}.name is {}, which no variable can be called: use letters, digits and underscores.",
                quoted(name)
            ));
        }
        let value = variable.value.as_deref().unwrap_or_default();
        if value.contains('\0') {
            return Some(format!(
                "{field}.value ({name}) holds a NUL character, which no process can be given: take it out."
            ));
        }
        let source = variable.value_from.as_ref()?;
        if !value.is_empty() {
            return Some(format!(
                "{field} ({name}) has a value and a valueFrom: keep one of them."
            ));
        }
        let sources = sources(source);
        (sources != 1).then(|| {
            format!("{field}.valueFrom ({name}) names {sources} sources: name exactly one, for example secretKeyRef.")
        })
    })
}

fn sources(from: &EnvVarSource) -> usize {
    [
        from.config_map_key_ref.is_some(),
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.secret_key_ref.is_some(),
    ]
    .into_iter()
    .filter(|is_set| *is_set)
    .count()
}

/// What isn't looked at here is left to the API server: it is an escape hatch. But labels are put into it.
fn pod_template(patch: &Value) -> Option<String> {
    let parts = ["/metadata", "/metadata/labels", "/metadata/annotations", "/spec"];
    parts.iter().find_map(|part| {
        let value = patch.pointer(part).filter(|value| !value.is_object())?;
        Some(format!(
            "spec.server.podTemplate{} is {}: it has to be an object, as in a pod template.",
            part.replace('/', "."),
            quoted(&value.to_string())
        ))
    })
}

/// A value as it is quoted: short, and on one line.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(QUOTED).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
