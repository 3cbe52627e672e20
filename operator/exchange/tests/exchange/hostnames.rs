//! The declared hostnames: each is served, and browsers keep the cookies there.

use accord_crds::PodReason::{HostnameMismatch, Verified};
use accord_crds::Verdict;
use rstest::rstest;

use crate::fake::{App, Faults, HOSTNAME};
use crate::setup::{Bench, Sees, is};

const ALIAS: &str = "www.login.example.com";

async fn judged(fault: impl FnOnce(&mut Faults)) -> (accord_plan::agreement::Proof, usize) {
    let s = App::new("k").with(fault).serve("pod-s", 2).await;
    let mut bench = Bench::new(&Sees::default());
    bench.aliases = vec![ALIAS.into()];
    let proof = bench.verdict(&s, None).await;
    let log = s.app.log.lock().unwrap();
    let by_alias = log.iter().filter(|seen| seen.headers["host"] == ALIAS).count();
    (proof, by_alias)
}

#[tokio::test]
async fn an_alias_is_asked_for_the_check_and_for_its_csrf_cookie() {
    let (proof, by_alias) = judged(|f| f.more_hosts = vec![ALIAS.into()]).await;
    is(&proof, Verdict::Agrees, Verified);
    assert_eq!(by_alias, 2);
}

#[tokio::test]
async fn an_alias_that_is_turned_away_is_told_with_what_was_seen() {
    let (proof, _) = judged(|_| {}).await;
    is(&proof, Verdict::Diverges, HostnameMismatch);
    for words in [ALIAS, "400 (DisallowedHost)", "401", "ALLOWED_HOSTS"] {
        assert!(proof.message.contains(words), "{words}: {}", proof.message);
    }
}

#[tokio::test]
async fn a_canonical_hostname_that_is_turned_away_is_told_too() {
    let s = App::new("k").serve("pod-s", 2).await;
    let bench = Bench::new(&Sees::default());
    let mut exchange = bench.exchange();
    exchange.hostname = "orders.example.com";
    let seen = exchange.pair(&crate::setup::replica(&s), None).await;
    is(
        &accord_plan::agreement::judge(&seen, "c1"),
        Verdict::Diverges,
        HostnameMismatch,
    );
}

#[rstest]
#[case::of_a_developers_machine("localhost", HOSTNAME)]
#[case::of_another_host("orders.example.com", HOSTNAME)]
#[case::of_the_alias_only(ALIAS, HOSTNAME)]
#[tokio::test]
async fn a_cookie_that_browsers_drop_is_told(#[case] domain: &str, #[case] host: &str) {
    let (proof, _) = judged(|f| {
        f.more_hosts = vec![ALIAS.into()];
        f.cookie_domain = Some(domain.into());
    })
    .await;
    is(&proof, Verdict::Diverges, HostnameMismatch);
    for words in [format!("Domain={domain}"), host.to_owned()] {
        assert!(proof.message.contains(&words), "{words}: {}", proof.message);
    }
}

#[rstest]
#[case::the_canonical_name(HOSTNAME)]
#[case::a_parent(".example.com")]
#[tokio::test]
async fn a_domain_that_covers_every_declared_hostname_is_none_of_our_business(#[case] domain: &str) {
    let (proof, _) = judged(|f| {
        f.more_hosts = vec![ALIAS.into()];
        f.cookie_domain = Some(domain.into());
    })
    .await;
    is(&proof, Verdict::Agrees, Verified);
}
