//! A declaration of `django-orders` that sets what can be set, and examples of what it can't have at the same time: where a
//! mutation goes into a part that isn't declared, the rest of that part comes from there.

use serde_json::{Value, json};

/// A valid spec. It says in words what the preset would do by itself, so that each word can be spoilt.
pub(super) fn spec(image: &str) -> Value {
    let env = |name: &str| json!([{"name": name, "value": "info"}]);
    let resources = |cpu: &str, memory: &str, limit: &str| json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}});
    json!({
        "mode": "Manage",
        "framework": "Django",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [{"name": "orders-registry"}],
        "hostnames": ["orders.example.com"],
        "environment": "Production",
        "replicas": 2,
        "database": {"managed": {
            "name": "app", "storage": {"size": "1Gi"}, "resources": resources("100m", "256Mi", "1Gi"),
        }},
        "cache": {"managed": {"storage": {"size": "1Gi"}, "resources": resources("50m", "64Mi", "256Mi")}},
        "server": {
            "port": 8000,
            "command": ["python", "-m", "gunicorn"],
            "env": env("ORDERS_LOG"),
            "resources": resources("100m", "128Mi", "512Mi"),
            "healthPath": "/health/",
            "startupSeconds": 300,
            "drainSeconds": 5,
            "podTemplate": {"metadata": {"annotations": {"example.com/note": "n"}}},
        },
        "bindings": [
            {"env": "ORDERS_DATABASE_URL", "source": "database.uri", "format": "libpq"},
            {"file": "hosts", "source": "hostnames"},
        ],
        "migration": {
            "command": ["python", "manage.py", "migrate", "--noinput"],
            "env": env("ORDERS_MIGRATION"),
            "lockTimeoutSeconds": 30,
        },
        "seeds": [{
            "name": "demo-users",
            "command": ["python", "manage.py", "create_demo_users"],
            "env": [{"name": "DEMO_USERS_PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": "orders-demo-users", "key": "password"}}}],
            "idempotent": true,
        }],
        "preflight": {"mode": "Enforce"},
        "verification": {
            "recipe": {
                "login": {
                    "path": "/api/auth/login/", "encoding": "JSON", "usernameField": "username",
                    "identifier": "Username", "passwordField": "password", "status": 200,
                    "sessionCookie": "sessionid", "accessToken": "access", "accessTokenKey": "KeyRing",
                    "refreshToken": "refresh",
                    "sessionCookieAttributes": {"secure": true, "httpOnly": true},
                },
                "check": {"path": "/api/auth/me/", "username": "/username", "rejectedStatus": 401},
                "refresh": {"path": "/api/auth/refresh/", "field": "refresh", "encoding": "JSON"},
                "logout": {"path": "/api/auth/logout/", "refreshField": "refresh", "encoding": "JSON",
                    "accessToken": "Accepted"},
            },
            "intervalSeconds": 60,
            "isolation": {"minAvailable": 1, "replaceAfterSeconds": 300},
            "whenNoneAgree": "Hold",
            "onUnverifiable": "Hold",
        },
        "deletionPolicy": "Retain",
    })
}

/// The parts that the spec leaves out.
pub(super) fn examples() -> Value {
    let reference = json!({"secretRef": {"name": "elsewhere"}});
    let env = json!([{"name": "A", "valueFrom": {
        "secretKeyRef": {"name": "a", "key": "k", "optional": true},
        "configMapKeyRef": {"name": "a", "key": "k", "optional": true},
        "fieldRef": {"fieldPath": "metadata.name"},
        "resourceFieldRef": {"resource": "limits.cpu"},
        "fileKeyRef": {"key": "k", "path": "p", "volumeName": "v"},
    }}]);
    let claims = json!({"claims": [{"name": "c"}]});
    let store = json!({"image": "elsewhere", "storage": {"className": "c"}, "resources": claims});
    json!({
        "selector": {"matchLabels": {"app": "orders"}},
        "database": {"external": reference, "managed": store},
        "cache": {"external": reference, "managed": store},
        "server": {"args": ["a"], "env": env, "resources": claims},
        "migration": {"env": env},
        "seeds": [{"env": env}],
        "preflight": {"command": ["true"]},
        "verification": {
            "canary": {"command": ["true"], "secretRef": {"name": "elsewhere"}},
            "edge": {"address": "router.example", "port": 443, "caSecretRef": {"name": "elsewhere"}},
            "recipe": {
                "csrf": {"path": "/", "cookie": "c", "header": "X-C", "formField": "c"},
                "login": {"fields": {"a": "b"}, "accessTokenScheme": "Token", "sessionKey": "s:{id}",
                    "sessionRow": {"table": "t", "column": "c"},
                    "sessionCookieAttributes": {"sameSite": "Lax", "lifetimeSeconds": 1}},
                "refresh": {"fields": {"a": "b"}},
                "logout": {"method": "POST", "fields": {"a": "b"}},
                "changePassword": {"path": "/p/", "method": "POST", "encoding": "JSON", "oldField": "o", "newField": "n",
                    "repeatField": "r"},
            },
        },
    })
}
