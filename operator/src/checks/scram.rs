//! SCRAM-SHA-256 verifiers as Postgres stores them (RFC 5802, RFC 7677): a role's password is sent as one, so that the
//! password itself never reaches a server log. Pure.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Postgres' own default.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// A fresh verifier; `None` when the system gives no random bytes. Passwords are ASCII, which `SASLprep` leaves alone.
pub(super) fn verifier(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    Some(with_salt(password, &salt, ITERATIONS))
}

/// Whether a stored verifier belongs to a password. False for any other form of storage: it is to be replaced.
pub(super) fn matches(stored: &str, password: &str) -> bool {
    let parts = || {
        let (iterations, rest) = stored.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, _) = rest.split_once('$')?;
        Some((iterations.parse().ok()?, STANDARD.decode(salt).ok()?))
    };
    parts().is_some_and(|(iterations, salt)| {
        let expected = with_salt(password, &salt, iterations);
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), stored.as_bytes()).is_ok()
    })
}

fn with_salt(password: &str, salt: &[u8], iterations: NonZeroU32) -> String {
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_belongs_to_its_password_only() {
        let made = verifier("rope-and-anchor").unwrap();
        assert!(matches(&made, "rope-and-anchor"));
        assert!(!matches(&made, "rope-and-anchors"));
        assert_ne!(made, verifier("rope-and-anchor").unwrap(), "salted");
        assert!(!matches("md5aabbcc", "rope-and-anchor"));
        assert!(!matches("", "rope-and-anchor"));
    }
}
