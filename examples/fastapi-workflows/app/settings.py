"""Settings from the environment. One that replicas share has no default: each would make up a value of its own."""

import os


def required(name: str, meaning: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SystemExit(f"The environment variable {name} is missing or empty. Set it to {meaning}.")
    return value


def one_of(allowed: tuple[str, ...], name: str) -> str:
    value = os.environ.get(name, "").strip() or allowed[0]
    if value not in allowed:
        raise SystemExit(f"{name} is {value!r}, expected one of {', '.join(allowed)}.")
    return value


def listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


DATABASE_URL = required("DATABASE_URL", "postgresql+asyncpg://USER:PASSWORD@HOST:5432/NAME")
if not DATABASE_URL.startswith("postgresql+asyncpg://"):
    # Not the value: it holds a password.
    raise SystemExit("DATABASE_URL doesn't begin with postgresql+asyncpg://.")
REDIS_URL = required("REDIS_URL", "rediss://:PASSWORD@HOST:6379/0, the same server for every replica")
SECRET_KEY = required("SECRET_KEY", "one long random string, the same on every replica")
# Requests for other hosts are refused. The first is the canonical one.
ALLOWED_HOSTS = listed(required("ALLOWED_HOSTS", "the public hostnames, separated by commas"))
# Origins besides our own whose pages may use the API with the cookie, for example the frontend's.
CORS_ORIGINS = listed(os.environ.get("CORS_ORIGINS", ""))

ACCESS_SECONDS = 60 * 60
SESSION_SECONDS = 8 * 60 * 60
REFRESH_SECONDS = 7 * 24 * 60 * 60

# Declared, never guessed from a hostname. What isn't declared is production.
ENVIRONMENT = one_of(("production", "staging", "development"), "ENVIRONMENT")

# Without a domain the cookie belongs to the host that set it, and to no other.
COOKIES = {
    "domain": os.environ.get("COOKIE_DOMAIN", "").strip() or None,
    "secure": ENVIRONMENT != "development",
    "samesite": "lax",
    "path": "/",
}
