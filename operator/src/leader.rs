//! Which copy leads: a lease, held by writes that name the version they saw, so that two can't both succeed.
//!
//! The clock of another machine is never believed: a holder counts as gone when its lease hasn't changed for
//! [`DURATION`] by our own clock. The holder stops itself after [`DEADLINE`] without a renewal, which is earlier; so that
//! nothing slips out before it notices, its writes pass a [`Fence`].
//! May touch one Lease.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::fence::Fence;

/// How long an unchanged lease keeps others away. With [`POLL`] a crashed leader is replaced within 14 seconds.
pub(crate) const DURATION: Duration = Duration::from_secs(12);
/// How long the leader goes on without a renewal.
const DEADLINE: Duration = Duration::from_secs(8);
/// From one renewal to the next.
const RENEWAL: Duration = Duration::from_secs(4);
/// From one look at somebody else's lease to the next.
const POLL: Duration = Duration::from_secs(2);
/// From a failed renewal to the next try, and the limit of one call.
const RETRY: Duration = Duration::from_secs(1);
const CALL: Duration = Duration::from_secs(3);

/// One copy's part in the election.
pub(crate) struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    fence: Fence,
}

/// The lease, held.
pub(crate) struct Held(Lease);

/// What was last seen of the lease, and since when.
#[derive(Default)]
struct Seen {
    state: Option<(Option<String>, Option<MicroTime>)>,
    since: Option<Instant>,
}

impl Seen {
    /// Whether the lease may be taken: it is free, ours already, or hasn't changed for [`DURATION`].
    fn may_take(&mut self, lease: &Lease, identity: &str, now: Instant) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec
            .and_then(|s| s.holder_identity.clone())
            .filter(|h| !h.is_empty());
        if holder.as_deref().is_none_or(|h| h == identity) {
            return true;
        }
        let state = Some((holder, spec.and_then(|s| s.renew_time.clone())));
        if self.state != state {
            self.state = state;
            self.since = Some(now);
        }
        self.since
            .is_some_and(|since| now.duration_since(since) >= DURATION)
    }
}

impl Election {
    /// An election by the lease `namespace/name`. `identity` has to be unique among the copies.
    pub(crate) fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            fence: Fence::new(DEADLINE),
        }
    }

    /// What this copy's writes have to pass.
    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Waits until this copy leads.
    pub(crate) async fn acquire(&self) -> Held {
        let mut seen = Seen::default();
        let mut told = false;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(Some(held)) => return held,
                Ok(None) => told = false,
                Err(error) if told => tracing::debug!(%error, "the lease can't be looked at"),
                Err(error) => {
                    told = true;
                    tracing::warn!(lease = self.name, %error, "the lease can't be looked at; trying again every 2 s");
                }
            }
            sleep(POLL).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Seen) -> anyhow::Result<Option<Held>> {
        let there = timeout(CALL, self.api.get_opt(&self.name))
            .await
            .context("no answer within 3 s")??;
        let wanted = match &there {
            Some(lease) if !seen.may_take(lease, &self.identity, Instant::now()) => return Ok(None),
            lease => self.held_by_us(lease.as_ref()),
        };
        let params = PostParams::default();
        let begun = Instant::now();
        let call = async {
            if there.is_some() {
                self.api.replace(&self.name, &params, &wanted).await
            } else {
                self.api.create(&params, &wanted).await
            }
        };
        match timeout(CALL, call).await.context("no answer within 3 s")? {
            Ok(lease) => {
                self.fence.renewed(begun);
                Ok(Some(Held(lease)))
            }
            // Another copy was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Renews the lease until it is lost. Returns why.
    pub(crate) async fn hold(&self, held: &mut Held) -> String {
        let mut renewed = Instant::now();
        let mut wait = RENEWAL;
        loop {
            sleep(wait.min(DEADLINE.saturating_sub(renewed.elapsed()))).await;
            let begun = Instant::now();
            match timeout(CALL, self.renew(held)).await {
                Ok(Ok(None)) => {
                    self.fence.renewed(begun);
                    renewed = begun;
                    wait = RENEWAL;
                }
                Ok(Ok(Some(other))) => return format!("{other} holds the lease now"),
                failed => {
                    wait = RETRY;
                    if renewed.elapsed() >= DEADLINE {
                        let why = failed.map_or_else(
                            |_| "no answer".to_owned(),
                            |r| r.err().map(|e| e.to_string()).unwrap_or_default(),
                        );
                        return format!(
                            "the lease could not be renewed for {} s: {why}",
                            DEADLINE.as_secs()
                        );
                    }
                }
            }
        }
    }

    /// `Some` is the copy that holds the lease instead of this one.
    async fn renew(&self, held: &mut Held) -> Result<Option<String>, kube::Error> {
        let params = PostParams::default();
        match self
            .api
            .replace(&self.name, &params, &self.held_by_us(Some(&held.0)))
            .await
        {
            Ok(lease) => {
                held.0 = lease;
                Ok(None)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let lease = self.api.get(&self.name).await?;
                let holder = lease
                    .spec
                    .as_ref()
                    .and_then(|s| s.holder_identity.clone())
                    .unwrap_or_default();
                if holder != self.identity {
                    return Ok(Some(if holder.is_empty() {
                        "nobody".to_owned()
                    } else {
                        holder
                    }));
                }
                // Somebody annotated it, say.
                held.0 = self
                    .api
                    .replace(&self.name, &params, &self.held_by_us(Some(&lease)))
                    .await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets go of the lease, so that another copy can take it within [`POLL`].
    pub(crate) async fn release(&self, held: Held) {
        let mut lease = held.0;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        match timeout(CALL, self.api.replace(&self.name, &PostParams::default(), &lease)).await {
            Ok(Ok(_)) => tracing::info!(lease = self.name, "released the lease"),
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "the lease can't be released; it will run out");
            }
            Err(_) => tracing::warn!(
                lease = self.name,
                "no answer to the release of the lease; it will run out"
            ),
        }
    }

    fn held_by_us(&self, before: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = before.and_then(|l| l.spec.clone()).unwrap_or_default();
        let was_ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        let transitions = spec.lease_transitions.unwrap_or(0);
        Lease {
            metadata: before.map_or_else(
                || ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if was_ours {
                    spec.acquire_time
                } else {
                    Some(now.clone())
                },
                renew_time: Some(now),
                lease_transitions: Some(if was_ours || before.is_none() {
                    transitions
                } else {
                    transitions + 1
                }),
                ..LeaseSpec::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed_at: i64) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed_at).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_it_stood_still_for_its_whole_duration() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        // Long past by the other machine's clock: that says nothing.
        assert!(!seen.may_take(&lease("other", 0), "me", start));
        assert!(!seen.may_take(&lease("other", 0), "me", start + DURATION.mul_f32(0.99)));
        assert!(seen.may_take(&lease("other", 0), "me", start + DURATION));
        assert!(
            !seen.may_take(&lease("other", 4), "me", start + DURATION),
            "it was renewed"
        );
        assert!(
            !seen.may_take(&lease("third", 4), "me", start + 2 * DURATION),
            "another took it"
        );
    }

    #[test]
    fn a_free_lease_and_our_own_are_taken_at_once() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        assert!(seen.may_take(&lease("", 0), "me", now));
        assert!(seen.may_take(&lease("me", 0), "me", now));
        assert!(seen.may_take(&Lease::default(), "me", now));
    }

    #[test]
    fn the_leader_stops_before_another_may_begin() {
        assert!(DEADLINE + CALL < DURATION);
        assert!(DURATION + POLL < Duration::from_secs(15));
    }
}
