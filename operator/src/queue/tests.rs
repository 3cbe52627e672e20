//! In paused time: waiting costs nothing, and every figure is exact but for jitter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::{advance, sleep};

use super::*;
use crate::error::Refusal;
use crate::lock::lock;

fn key(name: &str) -> Key {
    ("docks".into(), name.into())
}

fn refused(code: u16) -> Error {
    let message = String::new();
    Error::Status {
        source: Refusal {
            code,
            reason: String::new(),
            message,
            namespace_is_ending: false,
        },
    }
}

/// How many are under way, and how many were at most.
#[derive(Default)]
struct Load {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

impl Load {
    async fn second(self: Arc<Self>) -> Outcome {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(None)
    }
}

fn start(load: &Arc<Load>) -> Trigger {
    let (trigger, requests) = Trigger::new();
    let load = load.clone();
    tokio::spawn(work_off(trigger.clone(), requests, move |_| {
        load.clone().second()
    }));
    trigger
}

#[tokio::test(start_paused = true)]
async fn one_service_is_never_looked_at_twice_at_a_time_and_news_meanwhile_is_not_lost() {
    let load = Arc::new(Load::default());
    let trigger = start(&load);
    trigger.now(key("harbour"));
    sleep(Duration::from_millis(500)).await;
    // Three pieces of news while the first look is under way: one more look, afterwards.
    for _ in 0..3 {
        trigger.now(key("harbour"));
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(load.most.load(Ordering::SeqCst), 1);
    assert_eq!(load.done.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn many_services_are_looked_at_side_by_side_but_not_all_at_once() {
    let load = Arc::new(Load::default());
    let trigger = start(&load);
    for n in 0..CONCURRENCY * 3 {
        trigger.now(key(&format!("s{n}")));
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(load.most.load(Ordering::SeqCst), CONCURRENCY);
    assert_eq!(load.done.load(Ordering::SeqCst), CONCURRENCY * 3);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_breaks_off_stops_neither_the_others_nor_its_own_service() {
    let (trigger, requests) = Trigger::new();
    let looks: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = looks.clone();
    tokio::spawn(work_off(trigger.clone(), requests, move |key: Key| {
        let record = record.clone();
        async move {
            lock(&record).push(key.1.clone());
            assert!(key.1 != "broken", "on purpose");
            Ok(None)
        }
    }));
    trigger.now(key("broken"));
    sleep(Duration::from_secs(1)).await;
    trigger.now(key("harbour"));
    sleep(Duration::from_secs(3)).await;
    let looks = lock(&looks).clone();
    assert!(looks.contains(&"harbour".to_owned()));
    assert!(looks.iter().filter(|l| *l == "broken").count() >= 2, "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_look_is_asked_for_again_when_it_says_so() {
    let (trigger, requests) = Trigger::new();
    let looks = Arc::new(AtomicUsize::new(0));
    let count = looks.clone();
    tokio::spawn(work_off(trigger.clone(), requests, move |_| {
        let look = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok((look == 0).then_some(Duration::from_secs(30))) }
    }));
    trigger.now(key("harbour"));
    sleep(Duration::from_secs(29)).await;
    assert_eq!(looks.load(Ordering::SeqCst), 1);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(looks.load(Ordering::SeqCst), 2);
    advance(Duration::from_mins(10)).await;
    assert_eq!(looks.load(Ordering::SeqCst), 2);
}

#[test]
fn errors_are_tried_again_later_each_time_and_a_success_forgets_them() {
    let mut delays = HashMap::new();
    let mut next = |outcome| settle(&key("harbour"), Some(outcome), &mut delays).map(|d| d.as_secs_f32());
    // Jitter adds up to as much again.
    for (least, most) in [(1.0, 2.0), (2.0, 4.0), (4.0, 8.0)] {
        let delay = next(Err(refused(503))).unwrap();
        assert!(
            (least..=most).contains(&delay),
            "{delay} is not in {least}..={most}"
        );
    }
    for _ in 0..20 {
        assert!(next(Err(refused(503))).unwrap() <= 600.0);
    }
    assert_eq!(next(Ok(None)), None);
    assert!(next(Err(refused(503))).unwrap() <= 2.0);
}

#[test]
fn a_lost_race_is_tried_again_at_once_and_a_refusal_seldom() {
    let mut delays = HashMap::new();
    assert_eq!(
        settle(&key("harbour"), Some(Err(refused(409))), &mut delays),
        Some(SOON)
    );
    assert!(
        settle(&key("harbour"), Some(Err(refused(409))), &mut delays).unwrap() > SOON,
        "not for ever"
    );
    assert!(settle(&key("pier"), Some(Err(refused(403))), &mut delays).unwrap() >= SELDOM);
}

/// Each conflict names one more object; those before it are believed for half a minute only.
#[test]
fn conflicts_with_many_objects_are_all_found_before_the_first_is_forgotten() {
    let mut delays = HashMap::new();
    let conflict = || Error::Conflict {
        key: accord_plan::ObjectKey::new(accord_plan::Kind::Secret, "rope"),
        service: "harbour".into(),
    };
    let all: Duration = (0..20)
        .map(|_| settle(&key("harbour"), Some(Err(conflict())), &mut delays).unwrap())
        .sum();
    assert!(all < Duration::from_secs(15), "{all:?}");
}
