//! Declarations that the scenarios begin with.

use accord_crds::AuthServiceSpec;

/// Three replicas with everything: database, cache, a migration, a seed.
pub(crate) fn orders() -> AuthServiceSpec {
    serde_json::from_value(serde_json::json!({
        "framework": "Django",
        "image": "registry.example/orders:1",
        "hostnames": ["orders.example.com"],
        "replicas": 3,
        "database": {"managed": {}},
        "cache": {"managed": {}},
        "seeds": [{"name": "demo-users", "command": ["python", "manage.py", "create_demo_users"], "idempotent": true}],
    }))
    .unwrap()
}

/// One replica that shares nothing.
pub(crate) fn alone() -> AuthServiceSpec {
    AuthServiceSpec {
        replicas: 1,
        database: None,
        cache: None,
        seeds: Vec::new(),
        ..orders()
    }
}

/// With a database and a cache that somebody else runs.
pub(crate) fn external() -> AuthServiceSpec {
    let secret = |name: &str| serde_json::json!({"external": {"secretRef": {"name": name}}});
    AuthServiceSpec {
        database: serde_json::from_value(secret("their-database")).unwrap(),
        cache: serde_json::from_value(secret("their-cache")).unwrap(),
        ..orders()
    }
}
