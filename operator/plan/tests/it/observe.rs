//! `mode: Observe`: everything is said and nothing is done.

use std::collections::BTreeMap;

use accord_crds::meta::ANNOTATION_ACCEPT_INCOMPATIBLE;
use accord_crds::{AuthService, PodReason, Verdict};
use accord_plan::agreement::{Basis, Grounds, Proof};
use accord_plan::{Kind, Object, Observed, Plan, contradiction, plan};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::world::encode;

fn declared(change: &Value) -> AuthService {
    let mut spec = json!({
        "mode": "Observe",
        "framework": "Django",
        "hostnames": ["portal.example.com"],
        "selector": {"matchLabels": {"app": "portal"}},
        "verification": {"canary": {"secretRef": {"name": "portal-canary"}}},
    });
    for (field, value) in change.as_object().unwrap() {
        spec[field] = value.clone();
        if value.is_null() {
            spec.as_object_mut().unwrap().remove(field);
        }
    }
    let mut service = AuthService::new("portal", serde_json::from_value(spec).unwrap());
    service.metadata.namespace = Some("docks".into());
    service.metadata.uid = Some("uid-portal".into());
    service.metadata.generation = Some(1);
    service
}

fn pod(name: &str, started: bool) -> Object {
    let state = if started {
        json!({"running": {}})
    } else {
        json!({"waiting": {}})
    };
    let value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "docks", "uid": format!("uid-{name}"),
            "labels": {"app": "portal", "pod-template-hash": "5d9c"}},
        "status": {
            "phase": "Running", "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "web", "containerID": format!("c-{name}"), "started": started, "state": state}],
        },
    });
    Object::new(Kind::Pod, name, &value)
}

fn secret() -> Object {
    let data = json!({"username": encode("probe"), "password": encode("hunter2")});
    Object::new(
        Kind::Secret,
        "portal-canary",
        &json!({"metadata": {"name": "portal-canary"}, "data": data}),
    )
}

fn observed(pods: Option<&[Object]>) -> Observed {
    Observed {
        now: "2026-01-01T00:00:00Z".parse().unwrap(),
        referenced: BTreeMap::from([("portal-canary".to_owned(), Some(secret()))]),
        watched: pods.map(<[Object]>::to_vec),
        ..Observed::default()
    }
}

/// What the prober has found of each, in the order of their names.
fn proved(observed: &mut Observed, service: &AuthService, found: &[(Verdict, PodReason)]) {
    let targets = plan(service, observed).probe.unwrap().targets;
    for (target, (verdict, reason)) in targets.iter().zip(found) {
        let proof = Proof {
            containers: target.containers.clone(),
            verdict: *verdict,
            reason: *reason,
            message: format!("{} was seen", target.pod),
            grounds: Grounds::default(),
        };
        observed.proofs.insert(target.uid.clone(), proof);
    }
}

fn three() -> Vec<Object> {
    ["a", "b", "c"].map(|name| pod(name, true)).to_vec()
}

fn reason(plan: &Plan, kind: &str) -> String {
    let condition = plan.status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    format!("{} {}", condition.status, condition.reason)
}

#[test]
fn the_pods_that_run_are_asked_as_the_account_of_the_secret() {
    let mut pods = three();
    pods.push(pod("d", false));
    let request = plan(&declared(&json!({})), &observed(Some(&pods))).probe.unwrap();
    let names: Vec<_> = request.targets.iter().map(|t| (t.pod.as_str(), t.port)).collect();
    assert_eq!(names, [("a", 8000), ("b", 8000), ("c", 8000)]);
    assert_eq!(
        (request.username.as_str(), request.password.as_str()),
        ("probe", "hunter2")
    );
    assert!(request.keys.is_empty() && request.database.is_none());
    assert!(!format!("{request:?}").contains("hunter2"));
}

#[test]
fn replicas_that_agree_are_ready_and_counted() {
    let service = declared(&json!({"server": {"port": 3000}}));
    let mut seen = observed(Some(&three()));
    assert_eq!(reason(&plan(&service, &seen), "Ready"), "False Verifying");
    proved(&mut seen, &service, &[(Verdict::Agrees, PodReason::Verified); 3]);
    let done = plan(&service, &seen);
    assert_eq!(reason(&done, "Ready"), "True AsDeclared");
    assert_eq!(done.probe.as_ref().unwrap().targets[0].port, 3000);
    let status = &done.status;
    assert_eq!((status.replicas, status.ready_replicas), (3, 3));
    assert_eq!(status.selector, "app=portal");
    let consistency = status.consistency.as_ref().unwrap();
    assert_eq!(consistency.summary, "3/3");
    assert_eq!(consistency.replicas[0].revision, "5d9c");
    assert!(status.candidate.is_none() && status.released.is_none() && status.identity.is_none());
}

const AGREES: (Verdict, PodReason) = (Verdict::Agrees, PodReason::Verified);
const KEY: (Verdict, PodReason) = (Verdict::Diverges, PodReason::KeyMismatch);
const OPEN: (Verdict, PodReason) = (Verdict::Diverges, PodReason::AcceptsInvalid);

#[rstest]
#[case::most_agree(&[AGREES, AGREES, KEY], "2/3", &["c KeyMismatch"])]
#[case::the_first_may_be_the_odd_one(&[AGREES, KEY, KEY], "0/3", &["a Ambiguous", "b Ambiguous", "c Ambiguous"])]
#[case::one_against_one(&[AGREES, KEY], "0/2", &["a Ambiguous", "b Ambiguous"])]
#[case::what_a_pod_shows_by_itself(&[AGREES, OPEN], "1/2", &["b AcceptsInvalid"])]
#[case::all_of_them(&[OPEN, OPEN, OPEN], "0/3", &["a AcceptsInvalid", "b AcceptsInvalid", "c AcceptsInvalid"])]
fn nobody_is_blamed_without_a_majority(
    #[case] found: &[(Verdict, PodReason)],
    #[case] summary: &str,
    #[case] told: &[&str],
) {
    let service = declared(&json!({}));
    let mut seen = observed(Some(&three()[..found.len()]));
    proved(&mut seen, &service, found);
    let plan = plan(&service, &seen);
    assert_eq!(reason(&plan, "Ready"), "False ReplicasDiverge");
    let consistency = plan.status.consistency.unwrap();
    assert_eq!(
        (consistency.verdict, consistency.summary.as_str()),
        (Verdict::Diverges, summary)
    );
    let odd: Vec<_> = consistency
        .replicas
        .iter()
        .filter(|r| r.verdict != Verdict::Agrees)
        .map(|r| format!("{} {}", r.pod, r.reason.as_str()))
        .collect();
    assert_eq!(odd, told);
    assert!(consistency.replicas[0].message.contains(" was seen"));
}

#[test]
fn what_is_missing_is_named() {
    let service = declared(&json!({}));
    let nothing = plan(&service, &observed(Some(&[])));
    assert_eq!(reason(&nothing, "Ready"), "False NothingToObserve");
    assert!(nothing.status.conditions[0].message.contains("app=portal"));
    assert_eq!(
        reason(&plan(&service, &observed(None)), "Ready"),
        "False Verifying"
    );
    let mut seen = observed(Some(&three()));
    seen.referenced.insert("portal-canary".into(), None);
    let plan = plan(&service, &seen);
    assert_eq!(reason(&plan, "Ready"), "False SecretNotFound");
    assert!(
        plan.status.conditions[0]
            .message
            .contains("username and password")
    );
    assert!(plan.probe.is_none(), "nobody is asked as nobody");
}

#[rstest]
#[case::no_selector(json!({"selector": null}), "spec.selector")]
#[case::no_account(json!({"verification": null}), "canary.secretRef")]
#[case::a_database(json!({"database": {"managed": {}}}), "nothing is made")]
#[case::bindings(json!({"bindings": [{"env": "A", "source": "hostname"}]}), "nothing is made")]
#[case::isolation(
    json!({"verification": {"canary": {"secretRef": {"name": "portal-canary"}}, "onUnverifiable": "Admit"}}), "nobody is isolated"
)]
#[case::no_recipe(json!({"framework": "Custom"}), "spec.verification.recipe")]
#[case::mode_of_a_newer_version(json!({"mode": "Moon"}), "spec.mode")]
#[case::managed_with_a_selector(
    json!({"mode": "Manage", "image": "registry.example/portal:1", "verification": null}), "spec.selector"
)]
#[case::managed_with_an_account(
    json!({"mode": "Manage", "image": "registry.example/portal:1", "selector": null}), "canary.secretRef"
)]
#[case::managed_without_an_image(json!({"mode": "Manage", "selector": null, "verification": null}), "spec.image")]
fn contradictions_are_refused(#[case] change: Value, #[case] names: &str) {
    let service = declared(&change);
    let observed = Observed {
        contradiction: contradiction(&service),
        ..observed(Some(&three()))
    };
    let plan = plan(&service, &observed);
    assert_eq!(
        reason(&plan, "Ready"),
        "False InvalidSpec",
        "{:?}",
        plan.status.conditions[0]
    );
    let message = &plan.status.conditions[0].message;
    assert!(message.contains(names), "{message}");
    assert!(plan.actions.is_empty());
}

#[test]
fn who_only_observes_refuses_the_rest_and_keeps_what_was_recorded() {
    let mut service = declared(&json!({
        "mode": null, "selector": null, "verification": null, "image": "registry.example/portal:1", "database": {"managed": {}},
    }));
    let before = json!({"identity": {"keyRingFingerprint": "ab12"}, "selector": "x=y"});
    service.status = Some(serde_json::from_value(before).unwrap());
    let mut seen = observed(None);
    seen.settings.observe_only = true;
    let refused = plan(&service, &seen);
    assert_eq!(reason(&refused, "Ready"), "False InvalidSpec");
    assert!(refused.status.conditions[0].message.contains("observeOnly"));
    assert_eq!(
        refused.status.identity.unwrap().key_ring_fingerprint.as_deref(),
        Some("ab12")
    );
    assert!(refused.actions.is_empty() && refused.probe.is_none());
    assert_eq!(
        reason(&plan(&declared(&json!({})), &seen), "Ready"),
        "False Verifying"
    );
}

/// There is nobody to switch: what doesn't fit is told, and an acceptance is no business of an observer's.
#[test]
fn two_revisions_that_do_not_fit_are_told_and_never_cut_over() {
    let mut service = declared(&json!({}));
    let mut pods = three();
    pods[2].value["metadata"]["labels"]["pod-template-hash"] = "7f1b".into();
    let mut seen = observed(Some(&pods));
    proved(&mut seen, &service, &[AGREES, AGREES, KEY]);
    for proof in seen
        .proofs
        .values_mut()
        .filter(|p| p.verdict == Verdict::Diverges)
    {
        proof.grounds = Grounds {
            basis: Basis::Pair,
            witness: Some("5d9c".into()),
            apart: false,
        };
    }
    for accepted in ["7f1b", "5d9c", ""] {
        service.metadata.annotations =
            Some([(ANNOTATION_ACCEPT_INCOMPATIBLE.to_owned(), accepted.to_owned())].into());
        let plan = plan(&service, &seen);
        assert_eq!(reason(&plan, "Ready"), "False ReplicasDiverge");
        assert!(plan.actions.is_empty() && plan.status.candidate.is_none());
        let request = plan.probe.unwrap();
        assert!(!request.apart && request.targets.len() == 3);
    }
}

fn verdicts() -> impl Strategy<Value = Vec<(Verdict, PodReason)>> {
    let one = prop_oneof![
        Just(AGREES),
        Just(KEY),
        Just(OPEN),
        Just((Verdict::Unknown, PodReason::ProbeBlocked)),
        Just((Verdict::Unknown, PodReason::Pending)),
    ];
    proptest::collection::vec(one, 0..8)
}

proptest! {
    /// Whatever is found, and whatever Accord's own objects of that name there are: nothing is written.
    #[test]
    fn nothing_is_ever_done(found in verdicts(), secret_there: bool, listed: bool, deleting: bool, left_over: bool) {
        let mut service = declared(&json!({}));
        let pods: Vec<_> = (0..found.len()).map(|n| pod(&format!("p{n}"), true)).collect();
        let mut seen = observed(Some(&pods));
        proved(&mut seen, &service, &found);
        if left_over {
            // Pods that were Accord's once, with its label and an open gate.
            for mut object in pods {
                object.value["metadata"]["labels"] = json!({"accord.dev/service": "portal", "accord.dev/role": "server"});
                object.value["status"]["conditions"] = json!([{"type": "accord.dev/agrees", "status": "True"}]);
                seen.objects.insert(object);
            }
        }
        if !secret_there {
            seen.referenced.clear();
        }
        if !listed {
            seen.watched = None;
        }
        if deleting {
            service.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(seen.now));
        }
        let plan = plan(&service, &seen);
        prop_assert!(plan.actions.is_empty(), "{:?}", plan.actions);
        prop_assert!(plan.checks.database.is_none() && plan.checks.cache.is_none());
    }
}
