//! What reaches the servers, and those outside, from the declared hostnames.

use accord_crds::AuthServiceSpec;
use accord_plan::binding::{Audience, Rendered, Sources, render};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::fixtures::orders;

fn spec(change: &Value) -> AuthServiceSpec {
    let mut value = serde_json::to_value(orders()).unwrap();
    for (field, wanted) in change.as_object().unwrap() {
        value[field] = wanted.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn rendered(change: &Value) -> Rendered {
    let sources = Sources {
        database: None,
        cache: None,
        active: "k".into(),
        fallbacks: String::new(),
    };
    render(&spec(change), &sources, Audience::Server)
}

#[test]
fn one_hostname_gives_host_only_cookies_and_production() {
    for (framework, domain, environment) in [
        ("Django", "SESSION_COOKIE_DOMAIN", "DJANGO_ENV"),
        ("Flask", "SESSION_COOKIE_DOMAIN", "FLASK_ENV"),
        ("FastAPI", "COOKIE_DOMAIN", "ENVIRONMENT"),
    ] {
        let data = rendered(&json!({"framework": framework})).data;
        assert_eq!(data[domain], "", "{framework}");
        assert_eq!(data[environment], "production", "{framework}");
    }
}

#[test]
fn an_alias_shares_the_cookie_and_is_an_origin() {
    let hostnames = json!({"framework": "FastAPI", "hostnames": ["example.com", "www.example.com"]});
    let data = rendered(&hostnames).data;
    assert_eq!(data["COOKIE_DOMAIN"], "example.com");
    assert_eq!(data["ALLOWED_HOSTS"], "example.com,www.example.com");
    assert_eq!(
        data["CORS_ORIGINS"],
        "https://example.com,https://www.example.com"
    );
}

#[test]
fn the_environment_is_declared_and_never_guessed() {
    let staging = json!({"hostnames": ["login.example.com"], "environment": "Staging"});
    assert_eq!(rendered(&staging).data["DJANGO_ENV"], "staging");
    let looks_like_it = json!({"hostnames": ["dev.localhost"]});
    assert_eq!(rendered(&looks_like_it).data["DJANGO_ENV"], "production");
    let unknown = json!({"environment": "Moon"});
    assert_eq!(rendered(&unknown).data["DJANGO_ENV"], "production");
}

#[test]
fn a_convention_gives_way_to_a_declared_variable() {
    let own = json!({"framework": "FastAPI", "server": {"env": [
        {"name": "CORS_ORIGINS", "value": "https://pages.example.org"},
        {"name": "SECRET_KEY", "value": "mine"},
    ]}});
    let data = rendered(&own).data;
    assert!(!data.contains_key("CORS_ORIGINS"));
    assert_eq!(data["SECRET_KEY"], "k", "the ring doesn't");
}

#[test]
fn any_application_can_ask_for_them_by_name() {
    let own = json!({"framework": "Custom", "bindings": [
        {"env": "PUBLIC_URL", "source": "origin"},
        {"env": "DOMAIN", "source": "cookieDomain"},
        {"file": "environment", "source": "environment"},
    ]});
    let data = rendered(&own).data;
    assert_eq!(data["PUBLIC_URL"], "https://orders.example.com");
    assert_eq!(
        (data["DOMAIN"].as_str(), data["environment"].as_str()),
        ("", "production")
    );
}

#[test]
fn those_outside_find_the_addresses_in_status() {
    let mut world = World::new();
    world.create(orders());
    world.settle();
    let urls = world.plan.status.urls.clone().unwrap();
    assert_eq!(urls.api, "https://orders.example.com");
    assert_eq!(
        urls.login.as_deref(),
        Some("https://orders.example.com/api/auth/login/")
    );
    assert_eq!(urls.csrf, None, "Django's recipe has no such step");
}
