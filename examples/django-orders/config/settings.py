"""Settings for every environment: what differs comes from the environment only.

`DATABASE_URL`, `SECRET_KEY`, `REDIS_URL` and `ALLOWED_HOSTS` are required. They
are the state that replicas share, and a replica that can't find it must not start.
"""

import os
import socket
from datetime import timedelta
from pathlib import Path

import dj_database_url
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from config import env, faults

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Shared by all replicas -------------------------------------------------

SECRET_KEY = env.required("SECRET_KEY", "one long random string, the same on every replica")
SECRET_KEY_FALLBACKS = env.optional_list("SECRET_KEY_FALLBACKS")

ALLOWED_HOSTS = env.required_list(
    "ALLOWED_HOSTS", "the public hostnames, separated by commas; the first is canonical"
)
CSRF_TRUSTED_ORIGINS = env.optional_list("CSRF_TRUSTED_ORIGINS")

_database_url = env.required_url(
    "DATABASE_URL",
    ("postgres", "postgresql"),
    "postgres://USER:PASSWORD@HOST:5432/NAME, the same database for every replica",
)
_redis_url = env.required_url(
    "REDIS_URL",
    ("redis", "rediss"),
    "rediss://:PASSWORD@HOST:6379/0, the same server for every replica",
)

DATABASES = {
    "default": dj_database_url.parse(
        _database_url,
        # Kept for a minute and checked before use, so that a restarted
        # database costs a reconnect and not an error.
        conn_max_age=60,
        conn_health_checks=True,
    )
}
_options = DATABASES["default"].setdefault("OPTIONS", {})
_options.setdefault("connect_timeout", 5)
if "PGAPPNAME" not in os.environ:
    # The replica's name in pg_stat_activity: who holds which connection.
    _options.setdefault("application_name", socket.gethostname()[:63])

CACHES = {
    "default": {
        # Django's own backend: what it lacks beside django-redis isn't used here.
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _redis_url,
        "OPTIONS": {
            "socket_connect_timeout": 2,
            "socket_timeout": 2,
            # A cache that restarts refuses connections for a moment: about a third
            # of a second is waited for it before the request fails.
            "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
            "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        },
    }
}

# Sessions live in Redis only. The class differs from Django's in one thing: an
# unreachable Redis is an error, not a logout.
SESSION_ENGINE = "config.sessions"

# --- The application --------------------------------------------------------

DEBUG = False

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "accounts",
    "orders",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# --- Who may come in --------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.CachedLookupBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

REST_FRAMEWORK = {
    # JWT first: its challenge header is what makes an anonymous answer a 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "config.errors.exception_handler",
}

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    # Tokens carry a digest of the password's hash: a changed password ends them all.
    "CHECK_REVOKE_TOKEN": True,
    "SIGNING_KEY": SECRET_KEY,
}

# --- Behind a router that ends TLS ------------------------------------------

# The router must set this header itself and drop what clients send.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
# Probes come without the router. A redirect would count as healthy.
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# The preload list is for the owner of the whole domain to decide.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

SESSION_COOKIE_AGE = 8 * 60 * 60
# Without a domain a cookie belongs to the host that set it.
SESSION_COOKIE_DOMAIN = os.environ.get("SESSION_COOKIE_DOMAIN") or None
CSRF_COOKIE_DOMAIN = os.environ.get("CSRF_COOKIE_DOMAIN") or None
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = True
# Scripts of the frontend read it to send it back as X-CSRFToken.
CSRF_COOKIE_HTTPONLY = False
CSRF_COOKIE_SAMESITE = "Lax"

# --- Logs: to stdout, collected by the platform -----------------------------

LOG_LEVEL = os.environ.get("LOG_LEVEL", "INFO")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
        }
    },
    "root": {"handlers": ["stdout"], "level": LOG_LEVEL},
    "loggers": {
        # The default handlers mail the administrators and print in DEBUG only.
        "django": {"handlers": ["stdout"], "level": LOG_LEVEL, "propagate": False},
    },
}

# --- Faults, for showing them; an application of your own ends above --------

faults.change(globals())
