"""Settings from the environment. One that replicas share has no default: each would make up a value of its own."""

import os
from datetime import timedelta

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry


class SettingsError(Exception):
    """A variable that is missing or wrong; the message names it."""


def required(name, meaning):
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"The environment variable {name} is missing or empty. Set it to {meaning}.")
    return value


def listed(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def from_environment():
    database = required("DATABASE_URL", "postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME")
    if not database.startswith("postgresql"):
        # Not the value: it holds a password.
        raise SettingsError(
            "DATABASE_URL doesn't begin with postgresql+psycopg:// (SQLAlchemy doesn't know postgres://)."
        )
    cache = required("REDIS_URL", "rediss://:PASSWORD@HOST:6379/0, the same server for every replica")
    return {
        "SECRET_KEY": required("SECRET_KEY", "one long random string, the same on every replica"),
        "SECRET_KEY_FALLBACKS": listed(os.environ.get("SECRET_KEY_FALLBACKS", "")),
        # Requests for other hosts are refused. The first is the canonical one.
        "TRUSTED_HOSTS": listed(required("TRUSTED_HOSTS", "the public hostnames, separated by commas")),
        # Origins besides our own whose pages may use the API with the cookie, for example the frontend's.
        "CORS_ORIGINS": listed(os.environ.get("CORS_ORIGINS", "")),
        "SQLALCHEMY_DATABASE_URI": database,
        # At most ten connections a process; checked before use, so that a restarted database costs a reconnect.
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "pool_size": 5,
            "max_overflow": 5,
            "pool_pre_ping": True,
            "connect_args": {"connect_timeout": 5},
        },
        # The cookie holds a random id, Redis the session: every replica finds it, and a logout ends it everywhere.
        "SESSION_TYPE": "redis",
        "SESSION_REDIS": Redis.from_url(
            cache,
            socket_timeout=2,
            socket_connect_timeout=2,
            # A cache that restarts is waited for, about a third of a second.
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
        ),
        "SESSION_PERMANENT": True,
        "PERMANENT_SESSION_LIFETIME": timedelta(days=31),
        # Without a domain the cookie belongs to the host that set it.
        "SESSION_COOKIE_DOMAIN": os.environ.get("SESSION_COOKIE_DOMAIN") or None,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        # A frontend on another site needs None; on a subdomain of the same site Lax is right.
        "SESSION_COOKIE_SAMESITE": "Lax",
        "MAX_CONTENT_LENGTH": 64 * 1024,
    }
