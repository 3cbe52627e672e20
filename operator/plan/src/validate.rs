//! What admission can't check: the rules of the CRD once more (an old API server, a resource from a backup), and what
//! spans several fields.

mod values;

use std::sync::LazyLock;

use accord_crds::AuthService;
use accord_crds::observe::Mode;
use accord_crds::spec::BindingSource;
use kube::CustomResourceExt as _;
use kube::core::cel::{CompiledSchema, Validator, compile_schema};

use crate::binding;
use crate::names::SERVICE_LIMIT;
use crate::preset::Preset;

/// The first contradiction of a declaration: the field, the value and the way out. It hangs on the name and the spec alone,
/// and costs more than all the rest of a plan: whoever plans often asks once for each generation.
pub fn contradiction(service: &AuthService) -> Option<String> {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    if name.len() > SERVICE_LIMIT {
        return Some(format!(
            "metadata.name has {} characters, {SERVICE_LIMIT} are allowed: choose a shorter name.",
            name.len()
        ));
    }
    let spec = &service.spec;
    if Preset::of(spec.framework).is_none() {
        return Some("spec.framework names a preset that this version of Accord doesn't know: upgrade Accord, or use Custom.".into());
    }
    if spec.mode == Some(Mode::Unknown) {
        return Some("spec.mode names a mode that this version of Accord doesn't know: upgrade Accord, or use Manage or Observe.".into());
    }
    if let Some(broken) = broken_rules(service) {
        return Some(broken);
    }
    if let Some(wrong) = values::wrong(spec) {
        return Some(wrong);
    }
    if let Some((index, binding)) = spec
        .bindings
        .iter()
        .enumerate()
        .find(|(_, b)| !binding::available(spec, b.source))
    {
        let (source, backend) = described(binding.source);
        return Some(format!(
            "spec.bindings[{index}].source is {source:?}, but spec.{backend} isn't declared: declare it or take the binding away."
        ));
    }
    None
}

/// The rules of the CRD, compiled once: that takes 50 ms, and every pass needs them.
static RULES: LazyLock<Option<CompiledSchema>> = LazyLock::new(|| {
    let crd = serde_json::to_value(AuthService::crd()).ok()?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?;
    Some(compile_schema(schema))
});

/// What the API server would have said.
fn broken_rules(service: &AuthService) -> Option<String> {
    let object = serde_json::to_value(service).ok()?;
    let errors = Validator::new()
        .validate_compiled(RULES.as_ref()?, &object, None)
        .err()?;
    Some(errors.to_string())
}

fn described(source: BindingSource) -> (String, &'static str) {
    let name = serde_json::to_value(source)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default();
    let backend = if name.starts_with("cache") {
        "cache"
    } else {
        "database"
    };
    (name, backend)
}
