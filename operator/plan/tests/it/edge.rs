//! The way in from outside: tried when it is declared, told when it turns, and without any consequence for replicas.

use accord_crds::edge::{EdgeReason, EdgeStatus};
use accord_crds::{AuthServiceSpec, Reason};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::fixtures::orders;

fn spec(edge: &Value) -> AuthServiceSpec {
    let mut value = serde_json::to_value(orders()).unwrap();
    value["verification"] = json!({"edge": edge});
    serde_json::from_value(value).unwrap()
}

fn found(reason: EdgeReason) -> EdgeStatus {
    EdgeStatus {
        reason,
        message: "seen".into(),
        certificate_expires: None,
    }
}

fn told(world: &World) -> EdgeReason {
    let consistency = world.plan.status.consistency.as_ref().unwrap();
    consistency.edge.as_ref().unwrap().reason
}

#[test]
fn it_is_tried_where_it_is_declared() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    assert_eq!(world.plan.probe.as_ref().unwrap().edge, None);
    assert_eq!(world.plan.status.consistency.as_ref().unwrap().edge, None);
    world.edit(|s| *s = spec(&json!({})));
    world.settle();
    let edge = world.plan.probe.clone().unwrap().edge.unwrap();
    assert_eq!((edge.address, edge.port, edge.authorities), (None, 443, None));
    assert_eq!(told(&world), EdgeReason::Pending);
}

#[test]
fn it_makes_no_revision_and_no_write() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    let pods: Vec<_> = world.servers().iter().map(|p| p.key.clone()).collect();
    world.edit(|s| *s = spec(&json!({})));
    world.edge = Some(found(EdgeReason::OtherServers));
    world.settle();
    assert_eq!(told(&world), EdgeReason::OtherServers);
    assert_eq!(
        pods,
        world.servers().iter().map(|p| p.key.clone()).collect::<Vec<_>>()
    );
    let status = &world.plan.status;
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True", "it holds nothing");
    assert!(world.plan.actions.is_empty());
}

#[test]
fn it_is_told_when_it_turns() {
    let mut world = World::new();
    world.create(spec(&json!({})));
    world.settle();
    let mut turns = Vec::new();
    for reason in [
        EdgeReason::Verified,
        EdgeReason::Unreachable,
        EdgeReason::Unreachable,
        EdgeReason::Verified,
        EdgeReason::CertificateExpiring,
    ] {
        world.edge = Some(found(reason));
        world.pass();
        let news = |e: &accord_plan::outcome::Event| {
            let of_the_edge = [
                Reason::EdgeFails,
                Reason::EdgeWorks,
                Reason::EdgeCertificateExpiring,
            ];
            of_the_edge.contains(&e.reason).then_some((e.reason, e.warning))
        };
        turns.push(world.plan.events.iter().find_map(news));
        world.settle();
    }
    assert_eq!(
        turns,
        [
            None,
            Some((Reason::EdgeFails, true)),
            None,
            Some((Reason::EdgeWorks, false)),
            Some((Reason::EdgeCertificateExpiring, true)),
        ]
    );
}

#[test]
fn authorities_come_from_a_secret() {
    let mut world = World::new();
    world.create(spec(
        &json!({"address": "192.0.2.7", "port": 8443, "caSecretRef": {"name": "edge-ca"}}),
    ));
    world.settle();
    assert_eq!(told(&world), EdgeReason::SecretNotFound);
    assert_eq!(world.plan.probe.as_ref().unwrap().edge, None);
    world.secret("edge-ca", &[("ca.crt", "PEM")]);
    world.settle();
    let edge = world.plan.probe.clone().unwrap().edge.unwrap();
    assert_eq!((edge.port, edge.authorities.as_deref()), (8443, Some("PEM")));
    assert_eq!(edge.address.as_deref(), Some("192.0.2.7"));
}
