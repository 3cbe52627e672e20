//! The shape of tokens, and tampering with them. Nothing is verified here, and no value of a claim is kept.

use accord_plan::agreement::TokenShape;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The shape of a JWT; `None` for anything else.
pub(crate) fn shape(token: &str) -> Option<TokenShape> {
    let mut parts = token.split('.');
    let (header, claims, _signature) = (part(parts.next()?)?, part(parts.next()?)?, parts.next()?);
    let number = |name: &str| claims.get(name).and_then(Value::as_i64);
    Some(TokenShape {
        algorithm: header.get("alg")?.as_str()?.to_owned(),
        key_id: header.get("kid").and_then(Value::as_str).map(str::to_owned),
        claims: claims
            .as_object()?
            .iter()
            .map(|(name, value)| (name.clone(), kind(value)))
            .collect(),
        lifetime: number("exp")
            .zip(number("iat"))
            .and_then(|(exp, iat)| exp.checked_sub(iat)),
    })
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// True when a cookie's value carries its contents and a signature (`payload.time.signature`, also with colons), and
/// isn't only a key to a store. Contents are JSON in base64; compressed ones begin with a dot (itsdangerous, Django).
pub(crate) fn is_signed(value: &str) -> bool {
    let value = value.trim_matches('"');
    // A JWT as a cookie may well be looked up besides.
    if shape(value).is_some() {
        return false;
    }
    [':', '.'].into_iter().any(|separator| {
        let Some((contents, signature)) = value.rsplit_once(separator) else {
            return false;
        };
        let compressed = contents.strip_prefix('.');
        let payload = compressed.unwrap_or(contents).split(separator).next();
        let decoded = payload.and_then(|p| URL_SAFE_NO_PAD.decode(p.trim_end_matches('=')).ok());
        let readable = |bytes: &Vec<u8>| match compressed {
            // zlib: deflate, with a window of 32 KiB.
            Some(_) => bytes.first() == Some(&0x78),
            None => serde_json::from_slice::<Value>(bytes).is_ok_and(|v| v.is_object()),
        };
        signature.len() >= 4 && decoded.as_ref().is_some_and(readable)
    })
}

/// True when a cookie's value ends in what may be a signature, behind a dot or a colon.
pub(crate) fn has_signature(value: &str) -> bool {
    // The least is that of HMAC-SHA1 in base64, without its end.
    const SHORTEST: usize = 26;
    let value = value.trim_matches('"');
    value
        .rsplit_once(['.', ':'])
        .is_some_and(|(id, signature)| !id.is_empty() && signature.len() >= SHORTEST)
}

/// The id in a cookie's value: without quotes, without the `s:` of express-session, without the signature behind a dot.
pub(crate) fn session_id(value: &str) -> String {
    let value = value.trim_matches('"');
    let value = ["s%3A", "s%3a", "s:"]
        .into_iter()
        .find_map(|mark| value.strip_prefix(mark))
        .unwrap_or(value);
    value.split('.').next().unwrap_or_default().to_owned()
}

/// The value with one character changed. It is one in the middle of the last part: that is the signature where there
/// is one, and a change at its very end could be lost in base64's padding bits.
pub(crate) fn tamper(value: &str) -> String {
    let start = value.rfind(['.', ':']).map_or(0, |at| at + 1);
    let middle = start + (value.len() - start) / 2;
    value
        .char_indices()
        .map(|(at, c)| match c {
            _ if at != middle => c,
            'a' => 'b',
            _ => 'a',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tampered_value_differs_in_its_signature_only() {
        assert_eq!(tamper("head.body.sign"), "head.body.sian");
        assert_eq!(tamper("aaaa"), "aaba");
        assert_eq!(tamper(""), "");
    }

    #[test]
    fn a_shape_holds_names_and_kinds_and_no_value() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!(
            "{}.{}.sig",
            encode(r#"{"alg":"HS256","kid":"k1"}"#),
            encode(r#"{"sub":"u-77","iat":100,"exp":400}"#)
        );
        let shape = shape(&token).unwrap();
        assert_eq!(
            (shape.algorithm.as_str(), shape.key_id.as_deref()),
            ("HS256", Some("k1"))
        );
        assert_eq!(shape.lifetime, Some(300));
        assert_eq!(shape.claims.get("sub"), Some(&"string"));
        assert!(!format!("{shape:?}").contains("u-77"));
    }

    #[test]
    fn what_is_not_a_token_has_no_shape() {
        assert_eq!(shape("not.a.token"), None);
        assert_eq!(shape("opaque"), None);
    }

    #[test]
    fn a_session_id_is_what_stores_know() {
        for value in ["abc-1", "abc-1.c2ln", "s%3Aabc-1.c2ln", "\"abc-1\""] {
            assert_eq!(session_id(value), "abc-1");
        }
    }

    #[test]
    fn a_signature_is_what_stands_behind_the_last_dot() {
        assert!(has_signature("s%3Aabc-1.B1PsfFBLPRSl8WQh2bJ7hyM3cLl0m8Ra"));
        assert!(has_signature("eyJ1c2VyIjoxfQ.Zx1aYg.B1PsfFBLPRSl8WQh2bJ7hyM3cLk"));
        assert!(!has_signature("q7w2mxqt3uk3t9dpu0k1x5jz0f1cxw2a"));
        assert!(
            !has_signature("0f1cxw2a.node-3"),
            "a route, as load balancers add it"
        );
    }

    #[test]
    fn signed_cookies_are_told_from_opaque_ones() {
        assert!(is_signed("eyJ1c2VyIjoxfQ.Zx1aYg.c2lnbmF0dXJl"));
        assert!(is_signed(".eJxVjDsOwjAQBe_iGlne:1tABcd:c2lnbmF0dXJl"));
        assert!(!is_signed("q7w2mxqt3uk3t9dpu0k1x5jz0f1cxw2a"));
        assert!(!is_signed("sess.ab12.c2lnbmF0dXJl"), "parts make no contents");
    }
}
