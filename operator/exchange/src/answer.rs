//! What an answer says by itself, whatever was asked.

use std::borrow::Cow;

use accord_plan::agreement::Meaning;
use serde_json::Value;

use crate::client::Reply;

/// What the status of a request says that changes something and names nobody: a logout, a change of password.
pub(crate) fn of_status(status: u16) -> Meaning {
    match status {
        // A form sends people to a page afterwards; a permanent redirect sends them to another address for it.
        200..=299 | 302 | 303 => Meaning::Accepted,
        300..=399 => Meaning::Redirected,
        400 | 401 | 403 | 422 => Meaning::Rejected,
        _ => Meaning::Unexpected,
    }
}

/// What an answer says: the sentence in a JSON error, in OAuth's behind its code, or else all of it.
pub(crate) fn said(body: &str) -> Cow<'_, str> {
    let sentence = serde_json::from_str::<Value>(body).ok().and_then(|json| {
        let text = |field: &str| json.get(field)?.as_str();
        if let (Some(code), Some(words)) = (text("error"), text("error_description")) {
            return Some(format!("{code}: {words}"));
        }
        let mut fields = ["detail", "message", "error_description", "error"].into_iter();
        fields.find_map(text).map(str::to_owned)
    });
    sentence.map_or(Cow::Borrowed(body), Cow::Owned)
}

/// A token in a JSON body: by the name of a field, or by a pointer.
pub(crate) fn find(body: &Value, field: &str) -> Option<String> {
    let value = if field.starts_with('/') {
        body.pointer(field)
    } else {
        body.get(field)
    };
    value?.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
}

/// What is told of a field that isn't there.
pub(crate) fn absent(field: &str, reply: &Reply) -> String {
    let size = if reply.truncated {
        " (larger than the limit)"
    } else {
        ""
    };
    format!("no field {field} in the answer{size}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_in_an_error_is_what_it_says() {
        for (body, says) in [
            (r#"{"detail": "No active account"}"#, "No active account"),
            (r#"{"error": "invalid_grant"}"#, "invalid_grant"),
            (
                r#"{"error": "invalid_client", "error_description": "Unknown client"}"#,
                "invalid_client: Unknown client",
            ),
            ("Bad Request", "Bad Request"),
        ] {
            assert_eq!(said(body), says);
        }
    }
}
