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
