use super::*;
use serde_json::json;

fn object(name: &str, service: &str, uid: &str, version: &str) -> Object {
    Object {
        key: ObjectKey::new(Kind::Secret, name),
        value: json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version,
            "labels": {"accord.dev/service": service}}}),
    }
}

fn service(uid: &str, version: &str, generation: i64) -> AuthService {
    let mut service = AuthService::new(
        "harbour",
        serde_json::from_value(json!({"framework": "Custom", "image": "x", "hostnames": ["a.example"]}))
            .unwrap(),
    );
    service.metadata.namespace = Some("docks".into());
    service.metadata.uid = Some(uid.into());
    service.metadata.resource_version = Some(version.into());
    service.metadata.generation = Some(generation);
    service
}

fn key() -> Key {
    ("docks".into(), "harbour".into())
}

fn versions(index: &mut Index, now: Instant) -> Vec<String> {
    index
        .observe(&key(), now)
        .0
        .iter()
        .map(|o| o.resource_version().to_owned())
        .collect()
}

fn source() -> Source {
    (Kind::Secret, None)
}

#[test]
fn an_answer_outweighs_the_watch_until_the_watch_has_caught_up() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "1", 1));
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "9"));
    index.learn(
        &key(),
        vec![Learned::Live(object("rope", "harbour", "u1", "11"))],
        now,
    );
    assert_eq!(versions(&mut index, now), ["11"]);
    // Late news of a version in between; "9" < "10" only as numbers.
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "10"));
    assert_eq!(versions(&mut index, now), ["11"]);
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "12"));
    assert_eq!(versions(&mut index, now), ["12"]);
}

#[test]
fn an_answer_is_forgotten_after_ten_seconds() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "1", 1));
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "9"));
    index.learn(
        &key(),
        vec![Learned::Live(object("rope", "harbour", "u1", "11"))],
        now,
    );
    assert_eq!(versions(&mut index, now + Duration::from_secs(9)), ["11"]);
    assert_eq!(versions(&mut index, now + Duration::from_secs(10)), ["9"]);
}

#[test]
fn a_late_deletion_of_the_former_object_leaves_the_new_one() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "1", 1));
    index.object_applied(&source(), "docks", object("rope", "harbour", "old", "9"));
    index.learn(
        &key(),
        vec![Learned::Live(object("rope", "harbour", "new", "11"))],
        now,
    );
    index.object_deleted("docks", &object("rope", "harbour", "old", "10"));
    assert_eq!(versions(&mut index, now), ["11"]);
    index.object_applied(&source(), "docks", object("rope", "harbour", "new", "11"));
    index.object_deleted("docks", &object("rope", "harbour", "new", "12"));
    assert!(versions(&mut index, now).is_empty());
}

#[test]
fn a_deleted_object_is_gone_before_the_watch_says_so() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "1", 1));
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "9"));
    let gone = Learned::Gone {
        key: ObjectKey::new(Kind::Secret, "rope"),
        uid: "u1".into(),
    };
    index.learn(&key(), vec![gone], now);
    assert!(versions(&mut index, now).is_empty());
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "10"));
    assert!(versions(&mut index, now).is_empty(), "news of its last days");
}

#[test]
fn what_a_new_list_does_not_show_is_gone_but_other_namespaces_stay() {
    let (mut index, now) = (Index::default(), Instant::now());
    let docks = (Kind::Secret, Some("docks".to_owned()));
    index.service_applied(service("s", "1", 1));
    index.object_applied(&docks, "docks", object("rope", "harbour", "u1", "9"));
    index.object_applied(&docks, "docks", object("sail", "harbour", "u2", "9"));
    index.object_applied(
        &(Kind::Secret, Some("yard".into())),
        "yard",
        object("rope", "harbour", "u3", "9"),
    );
    index.list_started(docks.clone());
    index.object_applied(&docks, "docks", object("sail", "harbour", "u2", "9"));
    assert_eq!(
        versions(&mut index, now).len(),
        2,
        "nothing is taken away while the list is under way"
    );
    assert_eq!(index.list_done(&docks), BTreeSet::from([key()]));
    assert_eq!(versions(&mut index, now).len(), 1);
    assert_eq!(
        index
            .observe(&("yard".into(), "harbour".into()), now)
            .0
            .iter()
            .count(),
        1
    );
}

#[test]
fn an_object_moves_to_another_service_with_its_label() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.object_applied(&source(), "docks", object("rope", "harbour", "u1", "9"));
    let other: Key = ("docks".into(), "pier".into());
    let concerned = index.object_applied(&source(), "docks", object("rope", "pier", "u1", "10"));
    assert_eq!(concerned, BTreeSet::from([key(), other.clone()]));
    assert!(versions(&mut index, now).is_empty());
    assert_eq!(index.observe(&other, now).0.iter().count(), 1);
}

#[test]
fn a_foreign_object_is_asked_for_again_after_half_a_minute_and_with_a_new_declaration() {
    let (mut index, now) = (Index::default(), Instant::now());
    let rope = ObjectKey::new(Kind::Secret, "rope");
    index.service_applied(service("s", "1", 1));
    index.learn(&key(), vec![Learned::Foreign(rope.clone())], now);
    assert!(
        index
            .observe(&key(), now + Duration::from_secs(29))
            .1
            .contains(&rope)
    );
    assert!(index.observe(&key(), now + Duration::from_secs(30)).1.is_empty());
    index.learn(&key(), vec![Learned::Foreign(rope)], now);
    index.service_applied(service("s", "2", 2));
    assert!(index.observe(&key(), now).1.is_empty());
}

#[test]
fn a_refused_write_is_due_after_two_minutes_with_a_new_declaration_and_once_it_was_taken() {
    let (mut index, now) = (Index::default(), Instant::now());
    let rope = ObjectKey::new(Kind::Secret, "rope");
    let refused = || Learned::Refused(rope.clone(), RefusedWrite::default());
    index.service_applied(service("s", "1", 1));
    index.learn(&key(), vec![refused()], now);
    assert!(
        index
            .refused(&key(), now + Duration::from_secs(119))
            .contains_key(&rope)
    );
    assert_eq!(index.look_again(&key()), Some(REFUSED_LIMIT));
    assert!(index.refused(&key(), now + REFUSED_LIMIT).is_empty());
    index.learn(&key(), vec![refused()], now);
    index.learn(
        &key(),
        vec![Learned::Live(object("rope", "harbour", "u1", "11"))],
        now,
    );
    assert!(index.refused(&key(), now).is_empty());
    index.learn(&key(), vec![refused()], now);
    index.service_applied(service("s", "2", 2));
    assert!(index.refused(&key(), now).is_empty());
}

#[test]
fn what_no_watch_will_settle_is_looked_at_again() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "1", 1));
    assert_eq!(index.look_again(&key()), None);
    index.learn(
        &key(),
        vec![Learned::Foreign(ObjectKey::new(Kind::Secret, "sail"))],
        now,
    );
    assert_eq!(index.look_again(&key()), Some(FOREIGN_LIMIT));
    // The watch showed its end before the answer to its creation was taken in.
    index.learn(
        &key(),
        vec![Learned::Live(object("rope", "harbour", "u1", "11"))],
        now,
    );
    assert_eq!(index.look_again(&key()), Some(OVERLAY_LIMIT));
    index.observe(&key(), now + OVERLAY_LIMIT);
    assert_eq!(index.look_again(&key()), Some(FOREIGN_LIMIT));
}

#[test]
fn a_written_status_is_seen_before_the_watch_shows_it() {
    let (mut index, now) = (Index::default(), Instant::now());
    index.service_applied(service("s", "9", 1));
    index.learn(
        &key(),
        vec![Learned::Service(Arc::new(service("s", "11", 1)))],
        now,
    );
    assert_eq!(version(&index.service(&key()).unwrap()), "11");
    index.service_applied(service("s", "10", 1));
    assert_eq!(version(&index.service(&key()).unwrap()), "11");
    index.service_applied(service("other", "3", 1));
    assert_eq!(
        version(&index.service(&key()).unwrap()),
        "3",
        "a new service of the name"
    );
}
