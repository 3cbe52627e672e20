//! Declared hostnames: what counts as turned away, and what doesn't.

use accord_crds::PodReason::HostnameMismatch;

use super::*;

fn asked(status: Option<u16>, canonical: Option<u16>) -> Observations {
    with(|seen| {
        seen.hosts.push(HostAnswer {
            hostname: "www.example.com".into(),
            status,
            canonical,
            detail: String::new(),
        });
    })
}

#[rstest]
#[case::refused(Some(400), Some(401), true)]
#[case::not_routed(Some(404), Some(401), true)]
#[case::misdirected(Some(421), Some(200), true)]
#[case::the_same(Some(401), Some(401), false)]
#[case::refused_by_both(Some(400), Some(400), false)]
#[case::sent_to_the_canonical_one(Some(301), Some(401), false)]
#[case::limited(Some(429), Some(401), false)]
#[case::broken(Some(503), Some(401), false)]
#[case::silent(None, Some(401), false)]
#[case::nothing_to_compare_with(Some(400), None, false)]
fn an_alias_is_turned_away_where_the_canonical_name_is_not(
    #[case] status: Option<u16>,
    #[case] canonical: Option<u16>,
    #[case] told: bool,
) {
    let proof = judge(&asked(status, canonical), "c1");
    let expected = if told { HostnameMismatch } else { Verified };
    assert_eq!(proof.reason, expected, "{}", proof.message);
}

#[rstest]
#[case::django("Bad Request (400)", true)]
#[case::starlette("Invalid host header", true)]
#[case::werkzeug("Host 'orders.example.com' is not trusted.", true)]
#[case::something_else("malformed", false)]
fn by_the_canonical_name_the_words_decide(#[case] detail: &str, #[case] told: bool) {
    let mut seen = login(Rejected, 400, None);
    seen.steps[0].meaning = Unexpected;
    (seen.steps[0].status, seen.steps[0].detail) = (Some(400), detail.into());
    let proof = judge(&seen, "c1");
    assert_eq!(proof.reason == HostnameMismatch, told, "{}", proof.message);
}

#[test]
fn what_a_pod_shows_by_itself_comes_after_silence_only() {
    let mut seen = asked(Some(400), Some(401));
    put(&mut seen, Login, S, S, TimedOut);
    assert_eq!(judge(&seen, "c1").reason, Slow);
}
