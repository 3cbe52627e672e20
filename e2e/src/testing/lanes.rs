//! Scenarios side by side: most of a scenario's time is waiting, so those that keep to their namespace run two at a time.
//! What has the whole cluster for its subject runs alone.

use std::sync::{Mutex, PoisonError};

use super::{Count, Row, measured};
use crate::cluster::Cluster;
use crate::progress;
use crate::scenarios::{Room, Scenario};

/// How many run at a time. More would wait for each other's servers on a machine with two cores.
const LANES: usize = 2;

/// Runs them in their order. A lane that is free takes the next; one that needs the cluster waits for those before it.
pub(super) fn run(cluster: &Cluster, chosen: &[&'static Scenario]) -> Vec<Row> {
    each(chosen, |scenario, is_alone| {
        let run = || {
            measured(scenario.name, || {
                (scenario.run)(cluster).map(|()| Count::passed(1))
            })
        };
        if is_alone {
            run()
        } else {
            progress::under(scenario.name, run)
        }
    })
}

/// `work` is told whether anything else may run meanwhile; the results are in the order of what was chosen.
fn each<T: Send>(chosen: &[&'static Scenario], work: impl Fn(&'static Scenario, bool) -> T + Sync) -> Vec<T> {
    let mut results = Vec::new();
    // Neighbours of the same room.
    for group in chosen.chunk_by(|a, b| a.room == b.room) {
        let is_alone = group.len() == 1 || group[0].room == Room::Cluster;
        if is_alone {
            results.extend(group.iter().map(|scenario| work(scenario, true)));
            continue;
        }
        let queue = Mutex::new(group.iter().enumerate());
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                        let Some((place, scenario)) = next else { break };
                        let result = work(scenario, false);
                        done.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((place, result));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(place, _)| *place);
        results.extend(done.into_iter().map(|(_, result)| result));
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const fn scenario(name: &'static str, room: Room) -> Scenario {
        Scenario {
            name,
            shows: "",
            room,
            run: |_| Ok(()),
        }
    }

    static ALL: [Scenario; 5] = [
        scenario("node", Room::Cluster),
        scenario("one", Room::Namespace),
        scenario("two", Room::Namespace),
        scenario("leader", Room::Cluster),
        scenario("away", Room::Cluster),
    ];

    #[test]
    fn those_of_a_namespace_run_side_by_side_and_those_of_the_cluster_alone() {
        let (running, met) = (AtomicUsize::new(0), Barrier::new(2));
        let chosen: Vec<&Scenario> = ALL.iter().collect();
        let told = each(&chosen, |scenario, is_alone| {
            let before = running.fetch_add(1, Ordering::SeqCst);
            if scenario.room == Room::Namespace {
                // Two that didn't run at the same time would wait here for ever.
                met.wait();
            } else {
                assert_eq!((before, is_alone), (0, true), "{}", scenario.name);
            }
            running.fetch_sub(1, Ordering::SeqCst);
            (scenario.name, is_alone)
        });
        let expected = [
            ("node", true),
            ("one", false),
            ("two", false),
            ("leader", true),
            ("away", true),
        ];
        assert_eq!(told, expected, "in their order");
    }

    #[test]
    fn a_single_one_is_alone() {
        assert_eq!(
            each(&[&ALL[1]], |s, is_alone| (s.name, is_alone)),
            [("one", true)]
        );
    }
}
