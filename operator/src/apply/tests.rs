//! What is made of the API server's answers, against a client that answers as told.

use std::sync::{Arc, Mutex};

use accord_plan::outcome::Action;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::*;
use crate::lock::lock;

/// A request as it was seen: method, path with query, body.
type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A client whose requests are answered in order.
fn answering(answers: Vec<(u16, Value)>) -> (Client, Seen) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let seen = Seen::default();
    let record = seen.clone();
    tokio::spawn(async move {
        for (code, answer) in answers {
            let Some((request, reply)) = handle.next_request().await else {
                return;
            };
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            lock(&record).push((head.method.to_string(), head.uri.to_string(), body));
            let response = Response::builder().status(StatusCode::from_u16(code).unwrap());
            reply.send_response(
                response
                    .body(Body::from(serde_json::to_vec(&answer).unwrap()))
                    .unwrap(),
            );
        }
    });
    (Client::new(service, "docks"), seen)
}

fn service() -> AuthService {
    let spec = json!({"framework": "Custom", "image": "x", "hostnames": ["a.example"]});
    let mut service = AuthService::new("harbour", serde_json::from_value(spec).unwrap());
    service.metadata.namespace = Some("docks".into());
    service.metadata.uid = Some("s-1".into());
    service.metadata.resource_version = Some("7".into());
    service
}

fn secret(name: &str, owner: &str) -> Object {
    Object {
        key: ObjectKey::new(Kind::Secret, name),
        value: json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "docks",
            "uid": format!("uid-{name}"), "resourceVersion": "11", "labels": {"accord.dev/service": owner}}}),
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "m"})
}

async fn carry_out(
    answers: Vec<(u16, Value)>,
    actions: &[Action],
) -> (Applied, Vec<(String, String, Value)>) {
    let (client, seen) = answering(answers);
    let metrics = Metrics::default();
    let service = service();
    let writer = Writer {
        client: &client,
        metrics: &metrics,
        service: &service,
        namespace: "docks",
        name: "harbour",
    };
    let applied = writer.carry_out(actions, &Objects::default()).await;
    let seen = lock(&seen).clone();
    (applied, seen)
}

#[tokio::test]
async fn a_foreign_object_is_recorded_and_never_written() {
    let answers = vec![
        (409, status(409, "AlreadyExists")),
        (200, secret("rope", "pier").value),
    ];
    let actions = [
        Action::Create(secret("rope", "harbour")),
        Action::Create(secret("sail", "harbour")),
    ];
    let (applied, seen) = carry_out(answers, &actions).await;
    assert!(matches!(&applied.learned[..], [Learned::Foreign(key)] if key.name == "rope"));
    assert!(matches!(applied.error, Some(Error::Conflict { .. })));
    let methods: Vec<_> = seen.iter().map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "GET"], "and what follows isn't written either");
}

#[tokio::test]
async fn an_object_that_is_not_taken_stops_no_other_and_is_told_in_the_api_server_s_words() {
    let servers = |revision: &str| Object {
        key: ObjectKey::new(Kind::Deployment, "harbour"),
        value: json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "harbour"},
            "spec": {"template": {"metadata": {"labels": {"accord.dev/revision": revision}}}}}),
    };
    let budget = Object {
        key: ObjectKey::new(Kind::PodDisruptionBudget, "harbour"),
        value: json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "harbour"}}),
    };
    let answers = vec![(422, status(422, "Invalid")), (201, budget.value.clone())];
    let actions = [Action::Create(servers("r1")), Action::Create(budget)];
    let (applied, seen) = carry_out(answers, &actions).await;
    assert_eq!(seen.len(), 2, "nothing rests on the Deployment");
    assert!(applied.error.is_none() && applied.refused.len() == 1);
    let Learned::Refused(key, refused) = &applied.learned[0] else {
        panic!("{:?}", applied.learned)
    };
    assert_eq!((key.name.as_str(), refused.message.as_str()), ("harbour", "m"));
    assert_eq!(refused.revision.as_deref(), Some("r1"));
}

#[tokio::test]
async fn what_holds_contents_stops_what_rests_on_it() {
    let actions = [
        Action::Create(secret("rope", "harbour")),
        Action::Create(secret("sail", "harbour")),
    ];
    let (applied, seen) = carry_out(vec![(422, status(422, "Invalid"))], &actions).await;
    assert_eq!(seen.len(), 1);
    assert!(applied.error.is_some() && applied.refused.is_empty());
}

#[tokio::test]
async fn an_object_of_ours_whose_label_was_taken_away_is_ours_and_a_stranger_s_is_not() {
    for (owner, ours) in [("s-1", true), ("s-2", false)] {
        let mut there = secret("rope", "pier").value;
        there["metadata"]["labels"] = json!({});
        there["metadata"]["ownerReferences"] = json!([{"uid": owner, "controller": true}]);
        let answers = vec![(409, status(409, "AlreadyExists")), (200, there)];
        let (applied, _) = carry_out(answers, &[Action::Create(secret("rope", "harbour"))]).await;
        assert_eq!(applied.error.is_none(), ours);
        assert_eq!(matches!(&applied.learned[..], [Learned::Live(_)]), ours);
    }
}

#[tokio::test]
async fn a_record_without_an_owner_is_known_by_its_other_labels() {
    for (instance, ours) in [("harbour", true), ("pier", false)] {
        let there = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "harbour-identity",
            "labels": {"app.kubernetes.io/managed-by": "accord", "app.kubernetes.io/instance": instance}}});
        let wanted = Object {
            key: ObjectKey::new(Kind::ConfigMap, "harbour-identity"),
            value: there.clone(),
        };
        let answers = vec![(409, status(409, "AlreadyExists")), (200, there)];
        let (applied, _) = carry_out(answers, &[Action::Create(wanted)]).await;
        assert_eq!(applied.error.is_none(), ours, "{instance}");
    }
}

#[tokio::test]
async fn our_own_object_that_the_watch_has_not_shown_yet_is_taken_in() {
    let answers = vec![
        (409, status(409, "AlreadyExists")),
        (200, secret("rope", "harbour").value),
    ];
    let (applied, _) = carry_out(answers, &[Action::Create(secret("rope", "harbour"))]).await;
    assert!(matches!(&applied.learned[..], [Learned::Live(object)] if object.uid() == "uid-rope"));
    assert!(applied.error.is_none());
}

#[tokio::test]
async fn a_refused_secret_shows_nothing_of_its_contents() {
    let mut refused = status(422, "Invalid");
    refused["message"] = "data: Invalid value: \"hunter2\"".into();
    let (applied, _) = carry_out(vec![(422, refused)], &[Action::Create(secret("rope", "harbour"))]).await;
    let error = applied.error.unwrap();
    assert!(!format!("{error} {error:?} {:?}", error.advice()).contains("hunter2"));
}

#[tokio::test]
async fn what_is_to_be_deleted_may_be_gone_already_or_be_another_one() {
    for code in [404, 409] {
        let delete = Action::Delete {
            key: ObjectKey::new(Kind::Job, "mend"),
            uid: "u-1".into(),
        };
        let (applied, seen) = carry_out(vec![(code, status(code, "x"))], &[delete]).await;
        assert!(applied.error.is_none());
        assert!(matches!(&applied.learned[..], [Learned::Gone { uid, .. }] if uid == "u-1"));
        assert_eq!(seen[0].2["preconditions"]["uid"], "u-1");
        assert_eq!(seen[0].2["propagationPolicy"], "Background");
    }
}

fn gate(pod: &str) -> Action {
    Action::Gate(GatePatch {
        pod: pod.into(),
        uid: format!("uid-{pod}"),
        open: true,
        reason: "Verified".into(),
        message: "m".into(),
    })
}

#[tokio::test]
async fn a_gate_that_can_not_be_set_does_not_hold_up_the_others() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "uid": "uid-b"}});
    let (applied, seen) = carry_out(vec![(500, status(500, "x")), (200, pod)], &[gate("a"), gate("b")]).await;
    assert_eq!(applied.learned.len(), 1);
    assert!(matches!(applied.error, Some(Error::Gate { .. })));
    assert!(seen[1].1.starts_with("/api/v1/namespaces/docks/pods/b/status?"));
    assert_eq!(seen[1].2["metadata"]["uid"], "uid-b");
}

async fn evicted(code: u16) -> (Applied, Vec<(String, String, Value)>) {
    let action = Action::Evict {
        pod: "a".into(),
        uid: "uid-a".into(),
    };
    carry_out(vec![(code, status(code, "x"))], &[action]).await
}

#[tokio::test]
async fn an_eviction_names_the_pod_that_was_looked_at() {
    let (applied, seen) = evicted(201).await;
    assert!(applied.error.is_none(), "{:?}", applied.error);
    assert_eq!(seen[0].0, "POST");
    assert!(
        seen[0].1.starts_with("/api/v1/namespaces/docks/pods/a/eviction"),
        "{}",
        seen[0].1
    );
    assert_eq!(seen[0].2["deleteOptions"]["preconditions"]["uid"], "uid-a");
    assert_eq!(applied.again, Some(AFTER_WRITES));
}

#[tokio::test]
async fn a_budget_that_forbids_an_eviction_is_asked_again_later_and_is_no_error() {
    let (applied, _) = evicted(429).await;
    assert!(applied.error.is_none(), "{:?}", applied.error);
    assert_eq!(applied.again, Some(EVICT_AGAIN));
}

#[tokio::test]
async fn a_pod_that_is_gone_needs_no_eviction_and_a_missing_right_is_told() {
    for code in [404, 409] {
        assert!(evicted(code).await.0.error.is_none());
    }
    let error = evicted(403).await.0.error.unwrap();
    assert!(matches!(error, Error::Evict { .. }), "{error}");
    assert!(error.advice().unwrap().contains("RBAC"), "{:?}", error.advice());
}

#[test]
fn the_time_of_a_gate_moves_only_with_its_status() {
    let Action::Gate(patch) = gate("a") else {
        unreachable!()
    };
    let pod = |uid: &str, status: &str| Object {
        key: ObjectKey::new(Kind::Pod, "a"),
        value: json!({"metadata": {"uid": uid}, "status": {"conditions": [
            {"type": "accord.dev/agrees", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
    };
    let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
    let time = |before: Option<&Object>| {
        gate_body(&patch, before, now)["status"]["conditions"][0]["lastTransitionTime"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(time(Some(&pod("uid-a", "True"))), "2026-01-01T00:00:00Z");
    assert_eq!(time(Some(&pod("uid-a", "False"))), "2026-01-01T00:05:00Z");
    assert_eq!(time(Some(&pod("another", "True"))), "2026-01-01T00:05:00Z");
    assert_eq!(time(None), "2026-01-01T00:05:00Z");
}

#[tokio::test]
async fn a_certificate_is_signed_with_the_key_that_stays_in_its_secret() {
    let ca = material::make(
        &Material::Authority {
            common_name: "harbour".into(),
        },
        None,
    )
    .unwrap();
    let mut stored = secret("harbour-ca", "harbour");
    stored.value["data"] = json!({"ca.key": material::encode(&ca["ca.key"])});
    let generate = Action::Generate(Generate {
        object: secret("harbour-tls", "harbour"),
        material: Material::Certificate {
            dns_names: vec!["harbour-db".into()],
            ca_certificate: String::from_utf8(ca["ca.crt"].clone()).unwrap(),
            ca_secret: "harbour-ca".into(),
        },
    });
    let (applied, seen) = carry_out(
        vec![(200, stored.value), (201, secret("harbour-tls", "harbour").value)],
        &[generate],
    )
    .await;
    assert!(applied.error.is_none(), "{:?}", applied.error);
    let data = seen[1].2["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
}

#[tokio::test]
async fn the_finalizer_of_others_stays() {
    let (client, seen) = answering(vec![(200, serde_json::to_value(service()).unwrap())]);
    let metrics = Metrics::default();
    let mut service = service();
    service.metadata.finalizers = Some(vec!["other.example/keep".into(), FINALIZER.into()]);
    let writer = Writer {
        client: &client,
        metrics: &metrics,
        service: &service,
        namespace: "docks",
        name: "harbour",
    };
    writer.finalizer(false).await.unwrap();
    assert!(
        writer.finalizer(true).await.unwrap().is_none(),
        "there already: no write"
    );
    let seen = lock(&seen);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].2["metadata"]["finalizers"], json!(["other.example/keep"]));
    assert_eq!(seen[0].2["metadata"]["resourceVersion"], "7");
}
