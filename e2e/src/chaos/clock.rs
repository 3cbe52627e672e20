//! Whether a clock was moved: a run with a clock that is right after all shows nothing.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use super::api::Api;
use super::plan::Copied;

/// A lease is renewed every four seconds, and an operator may be about to start.
const NEAR: i64 = 120;

/// The operator's own lease has to be dated by one of the clocks that it was given.
pub(super) fn check(api: Api, namespace: &str, copies: &[Copied]) -> Result<()> {
    let Some(copy) = copies.iter().find(|c| !c.clock.is_empty()) else {
        return Ok(());
    };
    let lease = copy.lease.as_deref().unwrap_or("accord-operator");
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{lease}");
    let lease = api.get(&path)?;
    let renewed = lease["spec"]["renewTime"].as_str().unwrap_or_default();
    let then = seconds(renewed).with_context(|| format!("the lease was renewed at {renewed:?}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let off = then - i64::try_from(now)?;
    let wanted: Vec<i64> = copies.iter().flat_map(|c| c.clock.clone()).collect();
    ensure!(
        wanted.iter().any(|wanted| (off - wanted).abs() < NEAR),
        "the operator's clock is off by {off} s, not by one of {wanted:?}: a static program's can't be moved"
    );
    Ok(())
}

/// Seconds since 1970 of a time as Kubernetes writes it: `2026-11-22T00:23:48.567717Z`.
fn seconds(time: &str) -> Option<i64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<Vec<i64>> {
        let parts = text.split(by).map(|part| part.parse().ok());
        parts.collect()
    };
    let (date, clock) = (numbers(date, '-')?, numbers(clock.split('.').next()?, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), clock.as_slice()) else {
        return None;
    };
    // Years that begin in March have their odd day at the end.
    let (year, month) = if *month > 2 {
        (*year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kubernetes_writes_them() {
        for (time, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00.000000Z", Some(951_825_600)),
            ("2026-11-22T00:23:48.567717Z", Some(1_795_307_028)),
            ("2026-11-22", None),
            ("yesterday", None),
        ] {
            assert_eq!(seconds(time), expected, "{time}");
        }
    }
}
