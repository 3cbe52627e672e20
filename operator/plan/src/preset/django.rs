//! Django behind gunicorn. A stock `startproject` reads none of these variables: `operator/docs/django.md` has the settings.

use accord_crds::Recipe;
use accord_crds::recipe::{AfterLogout, Check, Encoding, Login, Logout, Refresh, TokenKey};
use accord_crds::spec::BindingSource;

use super::{Preset, env};

/// Works with any user model: the login name goes where `USERNAME_FIELD` says. A privileged account is refused.
const CANARY: &str = r#"
import os
from django.contrib.auth import get_user_model
User = get_user_model()
name, password, email = (os.environ["ACCORD_CANARY_" + key] for key in ("USERNAME", "PASSWORD", "EMAIL"))
user = User._default_manager.filter(**{User.USERNAME_FIELD: name}).first() or User(**{User.USERNAME_FIELD: name})
if getattr(user, "is_staff", False) or getattr(user, "is_superuser", False):
    raise SystemExit("the canary account has staff or superuser rights: take them away")
if user.pk is None or not user.check_password(password) or not user.is_active:
    if User.USERNAME_FIELD != "email" and hasattr(user, "email"):
        user.email = email
    user.is_active = True
    user.set_password(password)
    user.save()
    print("canary account is there")
"#;

pub(super) fn preset() -> Preset {
    Preset {
        port: 8000,
        health_path: Some("/health/"),
        bindings: vec![
            env("DATABASE_URL", BindingSource::DatabaseUri),
            env("REDIS_URL", BindingSource::CacheUri),
            env("SECRET_KEY", BindingSource::KeysActive),
            env("SECRET_KEY_FALLBACKS", BindingSource::KeysFallbacks),
            env("ALLOWED_HOSTS", BindingSource::Hostnames),
            env("CSRF_TRUSTED_ORIGINS", BindingSource::Origins),
            env("SESSION_COOKIE_DOMAIN", BindingSource::CookieDomain),
            env("CSRF_COOKIE_DOMAIN", BindingSource::CookieDomain),
            env("DJANGO_ENV", BindingSource::Environment),
        ],
        // gunicorn trusts forwarded headers from loopback only; here the router is the only way in.
        env: &[("FORWARDED_ALLOW_IPS", "*")],
        migration: &["python", "manage.py", "migrate", "--noinput"],
        canary: &["python", "manage.py", "shell", "-c", CANARY],
        facts: &[
            "python",
            "manage.py",
            "shell",
            "-c",
            include_str!("facts/django.py"),
        ],
        recipe: Some(Recipe {
            csrf: None,
            login: Login {
                path: "/api/auth/login/".into(),
                encoding: Encoding::Json,
                username_field: "username".into(),
                identifier: None,
                password_field: "password".into(),
                fields: [].into(),
                status: 200,
                session_cookie: Some("sessionid".into()),
                session_cookie_attributes: None,
                session_key: None,
                session_row: None,
                access_token: Some("access".into()),
                access_token_scheme: None,
                // SimpleJWT signs with SECRET_KEY.
                access_token_key: Some(TokenKey::KeyRing),
                refresh_token: Some("refresh".into()),
            },
            check: Check {
                path: "/api/auth/me/".into(),
                username: Some("/username".into()),
                rejected_status: 401,
            },
            refresh: Some(Refresh {
                path: "/api/auth/refresh/".into(),
                field: "refresh".into(),
                encoding: None,
                fields: [].into(),
            }),
            logout: Some(Logout {
                path: "/api/auth/logout/".into(),
                method: None,
                refresh_field: Some("refresh".into()),
                encoding: None,
                fields: [].into(),
                access_token: AfterLogout::Accepted,
            }),
            change_password: None,
        }),
    }
}
