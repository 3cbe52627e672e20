//! Cookie attributes: what is declared, what is set, and what is said.

use accord_crds::PodReason::{CookieAttributes as Otherwise, Verified};
use accord_crds::recipe::{CookieAttributes, SameSite};
use rstest::rstest;

use super::super::Cookie;
use super::*;

const MONTH: i64 = 31 * 24 * 60 * 60;

fn declared() -> CookieAttributes {
    CookieAttributes {
        secure: true,
        http_only: true,
        same_site: Some(SameSite::Lax),
        lifetime_seconds: Some(MONTH),
    }
}

fn cookie(change: impl FnOnce(&mut Cookie)) -> Cookie {
    let mut cookie = Cookie {
        secure: true,
        http_only: true,
        same_site: Some("lax".into()),
        lifetime: Some(MONTH - 1),
    };
    change(&mut cookie);
    cookie
}

#[rstest]
#[case::as_declared(cookie(|_| ()), Verified, "")]
#[case::not_secure(cookie(|c| c.secure = false), Otherwise, "without Secure")]
#[case::for_scripts(cookie(|c| c.http_only = false), Otherwise, "without HttpOnly")]
#[case::for_other_sites(cookie(|c| c.same_site = None), Otherwise, "without SameSite, declared is Lax")]
#[case::for_all_sites(cookie(|c| c.same_site = Some("None".into())), Otherwise, "SameSite=None")]
#[case::ends_with_the_browser(cookie(|c| c.lifetime = None), Otherwise, "ends with the browser")]
#[case::a_quarter_of_an_hour(cookie(|c| c.lifetime = Some(900)), Otherwise, "lives 900 s")]
fn a_cookie_is_as_declared_or_it_is_said_how_it_is_not(
    #[case] cookie: Cookie,
    #[case] reason: PodReason,
    #[case] words: &str,
) {
    let found = diagnose(&with(|s| {
        s.declared_cookie = Some(declared());
        s.cookie = Some(cookie);
    }));
    assert_eq!(found.reason, reason, "{}", found.evidence);
    assert!(found.evidence.contains(words), "{}", found.evidence);
}

#[test]
fn what_is_not_declared_is_not_looked_at() {
    let bare = Cookie::default();
    let found = |declared: Option<CookieAttributes>| {
        diagnose(&with(|s| {
            s.declared_cookie = declared;
            s.cookie = Some(bare.clone());
        }))
        .reason
    };
    assert_eq!(found(None), Verified);
    let nothing = CookieAttributes {
        secure: false,
        http_only: false,
        same_site: None,
        lifetime_seconds: None,
    };
    assert_eq!(found(Some(nothing)), Verified);
}

/// What disagrees between replicas is told first.
#[test]
fn a_divergence_comes_before_a_property() {
    let found = diagnose(&with(|s| {
        s.declared_cookie = Some(declared());
        s.cookie = Some(Cookie::default());
        put(s, Cross(Session), W, S, Rejected);
    }));
    assert_ne!(found.reason, Otherwise, "{}", found.evidence);
}
