//! FastAPI under uvicorn, with SQLAlchemy on asyncpg and Alembic. FastAPI reads none of these variables by itself:
//! `operator/docs/fastapi.md` has the settings.

use accord_crds::Recipe;
use accord_crds::recipe::{AfterLogout, Check, Csrf, Encoding, Login, Logout, Refresh, TokenKey};
use accord_crds::spec::{Binding, BindingSource, UriFormat};

use super::{Preset, env};

pub(super) fn preset() -> Preset {
    Preset {
        port: 8000,
        health_path: Some("/api/health"),
        bindings: vec![
            Binding {
                // asyncpg takes no TLS parameters in the URL: it reads PGSSLMODE and PGSSLROOTCERT.
                format: Some(UriFormat::Asyncpg),
                ..env("DATABASE_URL", BindingSource::DatabaseUri)
            },
            env("REDIS_URL", BindingSource::CacheUri),
            env("SECRET_KEY", BindingSource::KeysActive),
            env("ALLOWED_HOSTS", BindingSource::Hostnames),
            env("CORS_ORIGINS", BindingSource::Origins),
            env("COOKIE_DOMAIN", BindingSource::CookieDomain),
            // As in the official template.
            env("ENVIRONMENT", BindingSource::Environment),
        ],
        // uvicorn trusts forwarded headers from loopback only; here the router is the only way in.
        env: &[("FORWARDED_ALLOW_IPS", "*")],
        migration: &["python", "-m", "alembic", "upgrade", "head"],
        // FastAPI knows no users: the application brings the module.
        canary: &["python", "-m", "app.canary"],
        facts: &["python", "-c", include_str!("facts/fastapi.py")],
        recipe: Some(Recipe {
            csrf: Some(Csrf {
                path: Some("/api/auth/csrf".into()),
                cookie: "csrf_token".into(),
                header: "X-CSRF-Token".into(),
                form_field: "csrf_token".into(),
            }),
            login: Login {
                path: "/api/auth/login".into(),
                encoding: Encoding::Json,
                username_field: "username".into(),
                identifier: None,
                password_field: "password".into(),
                fields: [].into(),
                status: 200,
                session_cookie: Some("session".into()),
                session_cookie_attributes: None,
                session_key: None,
                session_row: None,
                access_token: Some("access_token".into()),
                access_token_scheme: None,
                // HS256 with SECRET_KEY, as in FastAPI's own tutorial.
                access_token_key: Some(TokenKey::KeyRing),
                refresh_token: Some("refresh_token".into()),
            },
            check: Check {
                path: "/api/auth/me".into(),
                username: Some("/username".into()),
                rejected_status: 401,
            },
            refresh: Some(Refresh {
                path: "/api/auth/refresh".into(),
                field: "refresh_token".into(),
                encoding: None,
                fields: [].into(),
            }),
            logout: Some(Logout {
                path: "/api/auth/logout".into(),
                method: None,
                refresh_field: Some("refresh_token".into()),
                encoding: None,
                fields: [].into(),
                access_token: AfterLogout::Accepted,
            }),
            change_password: None,
        }),
    }
}
