//! What happens to the objects of a kind, for as long as somebody wants to know.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::api::Api;

/// Between the end of a watch and the next.
const AGAIN: Duration = Duration::from_millis(200);

/// What happened to an object.
#[derive(Debug)]
pub(crate) enum Change {
    /// It is there, like this.
    Is(Value),
    /// It is gone.
    Gone(Value),
}

/// Tells of each object below a path, until `over`, or until the call returns false.
pub(crate) fn follow(api: Api, path: &str, over: &AtomicBool, mut each: impl FnMut(Change) -> bool) {
    while !over.load(Ordering::Relaxed) {
        // From the beginning: what is there comes first, as `ADDED`.
        let told = api.watch(&format!("{path}?watch=1&timeoutSeconds=60"), |mut event| {
            let object = event["object"].take();
            let goes_on = match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => each(Change::Is(object)),
                Some("DELETED") => each(Change::Gone(object)),
                _ => false,
            };
            goes_on && !over.load(Ordering::Relaxed)
        });
        if told.is_err() {
            std::thread::sleep(AGAIN);
        }
    }
}
