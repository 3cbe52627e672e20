//! Writes an `AuthService`'s status, when it says something else than the stored one. The only place that does.

use accord_crds::AuthService;
use accord_crds::status::AuthServiceStatus;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::error::{Error, Refusal};
use crate::index::Learned;
use crate::metrics::Metrics;

/// Another one than that of objects, so that status and spec never share a set of owned fields.
const MANAGER: &str = "accord-status";

/// Writes the status if it differs. Server-side apply: a field that isn't true any more goes away.
pub(crate) async fn write(
    client: &Client,
    metrics: &Metrics,
    service: &AuthService,
    status: &AuthServiceStatus,
) -> Result<Option<Learned>, Error> {
    let Some(status) = difference(service.status.as_ref(), status) else {
        return Ok(None);
    };
    let metadata = &service.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let api: Api<AuthService> =
        Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let body = json!({
        "apiVersion": AuthService::api_version(&()),
        "kind": AuthService::kind(&()),
        // The UID: a service of the same name that came later has a status of its own.
        "metadata": {"name": name, "uid": metadata.uid},
        "status": status,
    });
    metrics.write("apply_status", "AuthService");
    match api
        .patch_status(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body))
        .await
    {
        Ok(written) => Ok(Some(Learned::Service(written.into()))),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(None),
        Err(kube::Error::Api(answer)) if answer.code == 409 && metadata.deletion_timestamp.is_some() => {
            Ok(None)
        }
        Err(error) => Err(Error::Status {
            source: Refusal::new(None, &error),
        }),
    }
}

/// The status to write, `None` when the stored one says the same. The time of a condition that says the same is kept.
fn difference(stored: Option<&AuthServiceStatus>, status: &AuthServiceStatus) -> Option<Value> {
    let stored = serde_json::to_value(stored).unwrap_or_default();
    let mut wanted = serde_json::to_value(status).unwrap_or_default();
    let before = stored["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    for condition in wanted["conditions"].as_array_mut().into_iter().flatten() {
        let same = before.iter().find(|b| without_time(b) == without_time(condition));
        if let Some(same) = same {
            condition["lastTransitionTime"] = same["lastTransitionTime"].clone();
        }
    }
    (stored != wanted).then_some(wanted)
}

fn without_time(condition: &Value) -> Value {
    let mut condition = condition.clone();
    if let Some(map) = condition.as_object_mut() {
        map.remove("lastTransitionTime");
    }
    condition
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(message: &str, time: &str) -> AuthServiceStatus {
        let condition = json!({"type": "Ready", "status": "False", "reason": "Verifying", "message": message,
            "observedGeneration": 1, "lastTransitionTime": time});
        serde_json::from_value(json!({"observedGeneration": 1, "conditions": [condition]})).unwrap()
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-01T00:05:00Z";

    #[test]
    fn the_same_status_is_not_written_again_whatever_its_time() {
        assert_eq!(
            difference(Some(&status("one", EARLY)), &status("one", LATE)),
            None
        );
    }

    #[test]
    fn another_message_is_written_and_the_time_of_what_stays_is_kept() {
        let mut after = status("two", LATE);
        let mut stays = status("one", LATE).conditions.remove(0);
        stays.type_ = "Reconciling".into();
        let mut before = status("one", EARLY);
        before.conditions.push(accord_condition(&stays, EARLY));
        after.conditions.push(stays);
        let written = difference(Some(&before), &after).unwrap();
        assert_eq!(written["conditions"][0]["message"], "two");
        assert_eq!(written["conditions"][0]["lastTransitionTime"], LATE);
        assert_eq!(written["conditions"][1]["lastTransitionTime"], EARLY);
    }

    fn accord_condition(
        condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition,
        time: &str,
    ) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
        let mut value = serde_json::to_value(condition).unwrap();
        value["lastTransitionTime"] = time.into();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_first_status_is_written() {
        assert!(difference(None, &status("one", EARLY)).is_some());
    }
}
