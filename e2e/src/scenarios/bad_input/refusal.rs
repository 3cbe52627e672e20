//! Whether a refusal helps whom it meets: it names the field, says what is wrong, and isn't drowned in what it quotes.

use crate::api::Reply;

/// A sentence that nobody reads to its end.
const LONGEST: usize = 4096;

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// The type, the range, the pattern of a field.
    Schema,
    /// A rule over several fields.
    Rule,
    /// The reading of the request: an unknown or a repeated field, or too large.
    Reading,
}

impl By {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Schema => "its schema",
            Self::Rule => "a rule",
            Self::Reading => "its reader",
        }
    }
}

/// How the API server says what a field may be.
const SAYS: &[&str] = &[
    "must be",
    "should",
    "Required value",
    "Unsupported value",
    "supported values",
    "Too long",
    "Too many",
    "may not be",
    "unknown field",
];

/// Who refused a change of `field`; an error says what the refusal lacks.
pub(super) fn judge(field: &str, reply: &Reply) -> Result<By, String> {
    let message = reply.message();
    let lacks = |what: &str| {
        let head: String = message.chars().take(300).collect();
        Err(format!("{} without {what}: {head}", reply.code))
    };
    if !matches!(reply.code, 400 | 413 | 422) {
        return lacks("being a refusal");
    }
    if message.len() > LONGEST {
        return lacks(&format!(
            "brevity: {} bytes, most of them the value",
            message.len()
        ));
    }
    let causes: Vec<(&str, &str)> = reply.body["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| Some((c["field"].as_str()?, c["message"].as_str()?)))
        .collect();
    if causes.is_empty() {
        let last = field.rsplit('.').next().unwrap_or(field);
        return if message.contains(last) {
            Ok(By::Reading)
        } else {
            lacks(&format!("the field {last}"))
        };
    }
    // Above it where the whole is wrong, below it where its content is.
    let related = |named: &str| {
        let (named, field) = (bare(named), bare(field));
        !named.is_empty() && named != "<nil>" && (within(&named, &field) || within(&field, &named))
    };
    let Some((_, said)) = causes.iter().find(|(named, _)| related(named)) else {
        return lacks(&format!("the field {field}"));
    };
    if SAYS.iter().any(|s| said.contains(s)) {
        return Ok(By::Schema);
    }
    // A sentence of ours: it says what is wrong, and after a colon or a full stop what to do.
    if said.contains(": ") && said.trim_end().ends_with('.') {
        return Ok(By::Rule);
    }
    lacks("a way out")
}

/// A path without indexes and keys.
fn bare(path: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    for c in path.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

fn within(outer: &str, inner: &str) -> bool {
    inner == outer
        || inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn reply(code: u16, message: &str, causes: &Value) -> Reply {
        Reply {
            code,
            body: json!({"message": message, "details": {"causes": causes}}),
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_says_what_it_may_be() {
        let good = json!([{"field": "spec.replicas", "message": "Invalid value: \"string\": must be of type integer"}]);
        assert_eq!(judge("spec.replicas", &reply(422, "m", &good)), Ok(By::Schema));
        assert!(judge("spec.image", &reply(422, "m", &good)).is_err());
        assert!(judge("spec.replicas", &reply(500, "m", &good)).is_err());
        assert!(judge("spec.replicas", &reply(422, &"m".repeat(200_000), &good)).is_err());
        let mute = json!([{"field": "spec.replicas", "message": "Invalid value: 7"}]);
        assert!(judge("spec.replicas", &reply(422, "m", &mute)).is_err());
    }

    #[test]
    fn a_rule_speaks_for_what_is_above_and_below_it() {
        let rule = json!([{"field": "spec.seeds", "message": "Invalid value: two of a name: rename one."}]);
        assert_eq!(judge("spec.seeds[0].name", &reply(422, "m", &rule)), Ok(By::Rule));
    }

    #[test]
    fn a_field_that_is_not_known_is_named() {
        let unknown = reply(
            400,
            "strict decoding error: unknown field \"spec.crew\"",
            &json!([]),
        );
        assert_eq!(judge("spec.crew", &unknown), Ok(By::Reading));
        assert!(judge("spec.berth", &unknown).is_err());
    }
}
