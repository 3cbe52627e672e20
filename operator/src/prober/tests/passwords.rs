//! When the canary's password is changed: once for a revision, with a witness, until that took effect at once.

use super::*;

fn changes(schedule: &mut Schedule, now: Instant) -> bool {
    let at = due(schedule, now).0;
    let Next::Pair { extras, .. } = schedule.next(at) else {
        panic!("an examination is due")
    };
    extras.change_password
}

#[tokio::test]
async fn a_password_is_changed_with_a_witness_until_it_took_effect_once_for_the_revision() {
    let now = Instant::now();
    let targets = ["a", "b", "c"].map(|pod| target(pod, false));
    let mut schedule = Schedule::new(&request(&targets), now);
    assert!(!changes(&mut schedule, now), "the first has no witness");
    schedule.settle("uid-a", None, agrees(), true, now);
    assert!(changes(&mut schedule, now));
    schedule.settle("uid-b", Some("uid-a"), diverges(), true, now);
    assert!(changes(&mut schedule, now), "the second pod diverged");
    schedule.password_was_changed("r1");
    schedule.settle("uid-c", Some("uid-a"), agrees(), true, now);
    assert!(!changes(&mut schedule, now), "the second, again");

    // A pod of another revision, and every pod when it is asked for.
    let mut next = request(&[target("a", true), target("d", false)]);
    next.targets[1].revision = "r2".into();
    schedule.update(&next, now);
    assert!(changes(&mut schedule, now));
    schedule.settle("uid-d", Some("uid-a"), agrees(), true, now);
    next.retry = "now".into();
    next.targets.remove(1);
    next.targets.push(target("c", true));
    schedule.update(&next, now);
    assert!(changes(&mut schedule, now));
}

/// Real requests: three replicas, of which the second changes the password at the first.
#[tokio::test]
async fn of_three_replicas_on_loopback_one_changes_the_password() {
    let app = App::new("k");
    let fakes = [
        app.replica().serve("a", 15).await,
        app.replica().serve("b", 16).await,
        app.replica().serve("c", 17).await,
    ];
    let targets: Vec<_> = fakes
        .iter()
        .map(|f| ProbeTarget {
            address: f.address.ip(),
            port: f.address.port(),
            ..target(&f.name, false)
        })
        .collect();
    let mut request = request(&targets);
    let step = serde_json::json!({"path": "/password/", "oldField": "old_password"});
    request.recipe.change_password = Some(serde_json::from_value(step).unwrap());
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let prober = Prober::new(move |key| drop(sender.send(key)));
    prober.set(&key(), Some(request));
    let all = async {
        while prober.proofs(&key()).len() < 3 {
            assert_eq!(told.recv().await, Some(key()));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("three proofs in 20 seconds");
    assert!(
        prober
            .proofs(&key())
            .values()
            .all(|p| p.verdict == Verdict::Agrees)
    );
    let changes = fakes.each_ref().map(|fake| {
        let log = fake.app.log.lock().unwrap();
        log.iter().filter(|seen| seen.path == "/password/").count()
    });
    assert_eq!(changes, [2, 0, 0], "there and back");
    assert_eq!(app.users.lock().unwrap()[fake::USERNAME], fake::PASSWORD);
}
