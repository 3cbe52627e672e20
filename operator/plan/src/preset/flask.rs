//! Flask behind gunicorn, with SQLAlchemy and Flask-Migrate. Flask reads none of these variables by itself:
//! `operator/docs/flask.md` has the settings.

use accord_crds::Recipe;
use accord_crds::recipe::{AfterLogout, Check, Encoding, Login, Logout};
use accord_crds::spec::{Binding, BindingSource, UriFormat};

use super::{Preset, env};

pub(super) fn preset() -> Preset {
    Preset {
        port: 8000,
        health_path: Some("/health"),
        bindings: vec![
            Binding {
                // SQLAlchemy refuses `postgres://`.
                format: Some(UriFormat::Psycopg),
                ..env("DATABASE_URL", BindingSource::DatabaseUri)
            },
            env("REDIS_URL", BindingSource::CacheUri),
            env("SECRET_KEY", BindingSource::KeysActive),
            env("SECRET_KEY_FALLBACKS", BindingSource::KeysFallbacks),
            env("TRUSTED_HOSTS", BindingSource::Hostnames),
            env("CORS_ORIGINS", BindingSource::Origins),
            env("SESSION_COOKIE_DOMAIN", BindingSource::CookieDomain),
            // Flask reads it no more; applications do.
            env("FLASK_ENV", BindingSource::Environment),
        ],
        // gunicorn trusts forwarded headers from loopback only; here the router is the only way in.
        env: &[("FORWARDED_ALLOW_IPS", "*")],
        migration: &["python", "-m", "flask", "db", "upgrade"],
        // Flask knows no users: the application brings the command.
        canary: &["python", "-m", "flask", "create-canary"],
        facts: &["python", "-c", include_str!("facts/flask.py")],
        recipe: Some(Recipe {
            csrf: None,
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
                access_token: None,
                access_token_scheme: None,
                access_token_key: None,
                refresh_token: None,
            },
            check: Check {
                path: "/api/auth/me".into(),
                username: Some("/username".into()),
                rejected_status: 401,
            },
            refresh: None,
            logout: Some(Logout {
                path: "/api/auth/logout".into(),
                method: None,
                refresh_field: None,
                encoding: None,
                fields: [].into(),
                access_token: AfterLogout::Accepted,
            }),
            change_password: None,
        }),
    }
}
