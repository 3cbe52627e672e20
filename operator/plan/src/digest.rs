//! Digests and the names made from them.

use std::fmt::Write as _;

use aws_lc_rs::{digest, hmac};

/// How many hexadecimal digits of a digest stand in a name: 40 bits.
const NAME_DIGITS: usize = 10;

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The start of a SHA-256, for names of revisions. Not for secrets: it would tell whether a guess is right.
pub fn short(bytes: &[u8]) -> String {
    let mut text = sha256(bytes);
    text.truncate(NAME_DIGITS);
    text
}

/// The start of an HMAC-SHA-256, for names made from secret content.
pub fn short_hmac(key: &[u8], bytes: &[u8]) -> String {
    let mut text = hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref());
    text.truncate(NAME_DIGITS);
    text
}

/// How many hexadecimal digits of a key's fingerprint are shown: 64 bits.
const FINGERPRINT_DIGITS: usize = 16;

/// A key's fingerprint, as facts commands print it: HMAC-SHA-256 under the ring's active key, so that only who has the ring
/// can tell whether a guess is right.
pub fn fingerprint(active: &[u8], key: &[u8]) -> String {
    let mut text = hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, active), key).as_ref());
    text.truncate(FINGERPRINT_DIGITS);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
