//! Why pods don't start, and when it is clear that they won't.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::context::Context;
use crate::key::Object;
use crate::phases::workload::{runs, servers};

/// How many restarts make a crash loop.
const RESTARTS: i64 = 3;
/// For how long an image may be out of reach before its revision is withdrawn. Kubelet asks again after 10, 20 and 40 seconds; a
/// registry that stumbles, or one node that can't reach it, is no fault of the revision.
const PULLING: SignedDuration = SignedDuration::from_secs(90);
/// Kubelet's words for that.
const PULLS: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];

/// Why pods of a revision don't start.
pub fn failing(context: &Context, revision: &str) -> Option<String> {
    servers(context)
        .filter(|p| runs(p, revision))
        .find_map(|p| not_starting(p).map(|why| told(p, &why)))
}

/// The same, once it is clear that they won't by themselves.
pub fn hopeless(context: &Context, revision: &str) -> Option<String> {
    servers(context).filter(|p| runs(p, revision)).find_map(|p| {
        let why = not_starting(p)?;
        (!is_pulling(&why) || patience(context, p).is_none()).then(|| told(p, &why))
    })
}

/// When a pod of a revision has waited long enough for its image.
pub fn due(context: &Context, revision: &str) -> Option<Duration> {
    servers(context)
        .filter(|p| runs(p, revision) && not_starting(p).is_some_and(|why| is_pulling(&why)))
        .filter_map(|p| patience(context, p))
        .min()
}

fn told(pod: &Object, why: &str) -> String {
    format!("Pod {}: {why}", pod.key.name)
}

fn is_pulling(why: &str) -> bool {
    PULLS.iter().any(|word| why.starts_with(word))
}

/// How long a pod may still wait for its image.
fn patience(context: &Context, pod: &Object) -> Option<Duration> {
    let created: Timestamp = pod.value["metadata"]["creationTimestamp"]
        .as_str()?
        .parse()
        .ok()?;
    let left = PULLING - context.observed.now.duration_since(created);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

/// Why a pod doesn't start.
pub fn not_starting(pod: &Object) -> Option<String> {
    const HOPELESS: &[&str] = &[
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ];
    let status = &pod.value["status"];
    ["initContainerStatuses", "containerStatuses"].iter().find_map(|list| {
        status[*list].as_array()?.iter().find_map(|c| {
            let waiting = &c["state"]["waiting"];
            let reason = waiting["reason"].as_str()?;
            if HOPELESS.contains(&reason) {
                let detail = waiting["message"].as_str().unwrap_or_default();
                return Some(format!("{reason}: {detail}"));
            }
            let restarts = c["restartCount"].as_i64().unwrap_or(0);
            (reason == "CrashLoopBackOff" && restarts >= RESTARTS).then(|| {
                let code = &c["lastState"]["terminated"]["exitCode"];
                format!("it crashed {restarts} times, last with exit code {code}; see `kubectl logs {} --previous`", pod.key.name)
            })
        })
    })
}
