//! Anchor K: whether a token is signed with a key of the declared ring. Nothing else about the token is verified: not its
//! times, not its claims.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use crate::token;

/// Whether one of the keys, as the bytes of its text, made the signature. `None` for anything but a JWT with an HMAC.
pub(crate) fn verifies(keys: &[SecretString], text: &str) -> Option<bool> {
    let algorithm = match token::shape(text)?.algorithm.as_str() {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => return None,
    };
    let (signed, signature) = text.rsplit_once('.')?;
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return Some(false);
    };
    Some(keys.iter().any(|key| {
        let key = hmac::Key::new(algorithm, key.expose_secret().as_bytes());
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.1, has its key as bytes that aren't text; this one was made with another library.
    const TOKEN: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1LTcifQ.YsPkhpkt7hXDTmdrDA8GNdsFxINGeNOALha9w7BLbpo";

    fn keys(keys: &[&str]) -> Vec<SecretString> {
        keys.iter().map(|k| SecretString::from(*k)).collect()
    }

    #[test]
    fn the_active_key_and_every_older_one_verify() {
        assert_eq!(
            verifies(&keys(&["a-key-of-the-ring", "other"]), TOKEN),
            Some(true)
        );
        assert_eq!(
            verifies(&keys(&["other", "a-key-of-the-ring"]), TOKEN),
            Some(true)
        );
        assert_eq!(verifies(&keys(&["other"]), TOKEN), Some(false));
        let changed = token::tamper(TOKEN);
        assert_eq!(verifies(&keys(&["a-key-of-the-ring"]), &changed), Some(false));
    }

    #[test]
    fn longer_hashes_are_told_from_the_header() {
        for (name, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
            let encode = |text: &[u8]| URL_SAFE_NO_PAD.encode(text);
            let signed = format!(
                "{}.{}",
                encode(format!(r#"{{"alg":"{name}"}}"#).as_bytes()),
                encode(b"{}")
            );
            let tag = hmac::sign(&hmac::Key::new(algorithm, b"k"), signed.as_bytes());
            let token = format!("{signed}.{}", encode(tag.as_ref()));
            assert_eq!(verifies(&keys(&["k"]), &token), Some(true), "{name}");
        }
    }

    #[test]
    fn what_is_not_signed_by_hmac_says_nothing() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.c2ln", encode(r#"{"alg":"ES256"}"#), encode("{}"));
        assert_eq!(verifies(&keys(&["k"]), &token), None);
        assert_eq!(verifies(&keys(&["k"]), "an opaque token"), None);
    }
}
