//! What the prober's requests tell about a service: how many came out as they should, and how long they took. These are
//! the figures that an auth service is run by, seen from where its users are.

use accord_plan::agreement::{Action, Meaning, Observations, Step};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::index::Key;

/// Upper bounds in seconds. Among them the limits that alerts are made of: 75 ms, 500 ms and 2 s.
const BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.075, 0.25, 0.5, 1.0, 2.0, 5.0];

#[derive(Clone, Debug)]
pub(super) struct Probes {
    requests: Family<Request, Counter>,
    duration: Family<Timed, Histogram>,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    namespace: String,
    service: String,
    step: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    namespace: String,
    service: String,
    step: &'static str,
}

impl Probes {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "probe_requests",
            "Requests of the prober by step (login, check, refresh, logout, csrf, control, other) and result",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "probe_request_duration",
            "How long a replica took to answer the prober",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    pub(super) fn seen(&self, (namespace, service): &Key, seen: &Observations) {
        for step in &seen.steps {
            let name = name(step.action);
            self.requests
                .get_or_create(&Request {
                    namespace: namespace.clone(),
                    service: service.clone(),
                    step: name,
                    result: result(step),
                })
                .inc();
            // A limit that ran out says how long the prober waits, not how long the replica takes.
            if !matches!(step.meaning, Meaning::Unreachable | Meaning::TimedOut) {
                let seconds = f64::from(u32::try_from(step.millis).unwrap_or(u32::MAX)) / 1000.0;
                self.duration
                    .get_or_create(&Timed {
                        namespace: namespace.clone(),
                        service: service.clone(),
                        step: name,
                    })
                    .observe(seconds);
            }
        }
    }

    pub(super) fn forget(&self, (namespace, service): &Key) {
        for step in STEPS {
            for result in RESULTS {
                self.requests.remove(&Request {
                    namespace: namespace.clone(),
                    service: service.clone(),
                    step,
                    result,
                });
            }
            self.duration.remove(&Timed {
                namespace: namespace.clone(),
                service: service.clone(),
                step,
            });
        }
    }
}

const STEPS: [&str; 7] = ["login", "check", "refresh", "logout", "csrf", "control", "other"];
const RESULTS: [&str; 5] = ["ok", "refused", "server_error", "unanswered", "other"];

fn name(action: Action) -> &'static str {
    match action {
        Action::Login | Action::NewPassword | Action::LeftPassword => "login",
        Action::Own(_) | Action::AtOnce(_) | Action::Cross(_) | Action::SinceLogin(_) | Action::Again(_) => {
            "check"
        }
        Action::Refresh | Action::Refreshed => "refresh",
        Action::Logout => "logout",
        Action::Csrf => "csrf",
        Action::NoCredential
        | Action::WrongPassword
        | Action::Stranger
        | Action::OldPassword
        | Action::Tampered(_) => "control",
        // Whether an artifact may live on after logout is the verdict's business.
        Action::Replay(_) | Action::ChangePassword | Action::RestorePassword => "other",
    }
}

/// `ok` is what should be: a refusal of what has to be refused too.
fn result(step: &Step) -> &'static str {
    let to_be_refused = name(step.action) == "control";
    let after_logout = matches!(step.action, Action::Replay(_));
    match step.meaning {
        Meaning::Accepted | Meaning::Rejected if after_logout => "ok",
        Meaning::Accepted if !to_be_refused => "ok",
        Meaning::Rejected if to_be_refused => "ok",
        Meaning::Rejected => "refused",
        Meaning::ServerError => "server_error",
        Meaning::Unreachable | Meaning::TimedOut => "unanswered",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use accord_plan::agreement::{Artifact, Role};

    use super::*;

    fn step(action: Action, meaning: Meaning) -> Step {
        Step {
            action,
            at: Role::Subject,
            of: Role::Subject,
            meaning,
            status: None,
            detail: String::new(),
            millis: 300,
        }
    }

    fn text(probes: &Probes) -> String {
        let mut registry = Registry::with_prefix("accord");
        probes.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_refusal_is_right_where_it_is_due_and_wrong_elsewhere() {
        assert_eq!(result(&step(Action::WrongPassword, Meaning::Rejected)), "ok");
        assert_eq!(result(&step(Action::WrongPassword, Meaning::Accepted)), "other");
        assert_eq!(result(&step(Action::Login, Meaning::Rejected)), "refused");
        assert_eq!(result(&step(Action::Login, Meaning::ServerError)), "server_error");
        assert_eq!(
            result(&step(Action::Replay(Artifact::Access), Meaning::Accepted)),
            "ok"
        );
    }

    #[test]
    fn a_service_that_is_gone_leaves_no_series() {
        let probes = Probes::default();
        let key = ("docks".to_owned(), "harbour".to_owned());
        let seen = Observations {
            steps: vec![
                step(Action::Login, Meaning::Accepted),
                step(Action::Logout, Meaning::TimedOut),
            ],
            ..Observations::default()
        };
        probes.seen(&key, &seen);
        let before = text(&probes);
        for line in [
            "accord_probe_requests_total{namespace=\"docks\",service=\"harbour\",step=\"login\",result=\"ok\"} 1",
            "accord_probe_requests_total{namespace=\"docks\",service=\"harbour\",step=\"logout\",result=\"unanswered\"} 1",
            "accord_probe_request_duration_seconds_count{namespace=\"docks\",service=\"harbour\",step=\"login\"} 1",
        ] {
            assert!(before.contains(line), "{line} is not in\n{before}");
        }
        assert!(
            !before
                .contains("duration_seconds_count{namespace=\"docks\",service=\"harbour\",step=\"logout\"}")
        );
        probes.forget(&key);
        assert!(!text(&probes).contains("harbour"));
    }
}
