# What a server of this image would use, from Django's settings: printed as one line of JSON. Nothing is connected to, no
# key is printed: only its fingerprint, and that only for who has the ring.
import hashlib
import hmac
import json
import os
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string


def fingerprint(key):
    key = key if isinstance(key, bytes) else str(key).encode()
    return hmac.new(os.environ["ACCORD_FACTS_KEY"].encode(), key, hashlib.sha256).hexdigest()[:16]


def origin(cls, known):
    # By the class that does the work: settings may name one of the application's own.
    return next((known[base.__module__] for base in cls.__mro__ if base.__module__ in known), None)


CACHES = {
    "django.core.cache.backends.locmem": "memory",
    "django.core.cache.backends.filebased": "file",
    "django.core.cache.backends.db": "database",
    "django.core.cache.backends.redis": "cache",
    "django.core.cache.backends.memcached": "cache",
    "django_redis.cache": "cache",
}
SESSIONS = {
    "django.contrib.sessions.backends." + name: name
    for name in ("cached_db", "cache", "db", "file", "signed_cookies")
}


def cache(name):
    declared = settings.CACHES[name]
    location = declared.get("LOCATION") or ""
    location = location if isinstance(location, str) else next(iter(location), "")
    found = {"name": name, "place": origin(import_string(declared["BACKEND"]), CACHES)}
    if found["place"] == "cache" and location:
        found["host"] = urlsplit(location if "//" in location else "//" + location).hostname
    return found


def sessions():
    store = import_string(settings.SESSION_ENGINE + ".SessionStore")
    kind = origin(store, SESSIONS)
    found = {"store": settings.SESSION_ENGINE}
    if kind in ("cache", "cached_db"):
        behind = cache(settings.SESSION_CACHE_ALIAS)
        found.update(place=behind["place"], host=behind.get("host"))
    else:
        found["place"] = {"db": "database", "file": "file", "signed_cookies": "cookie"}.get(kind)
    return found


def database():
    default = connections["default"]
    return {
        "engine": default.vendor,
        "host": default.settings_dict.get("HOST") or os.environ.get("PGHOST"),
        "name": str(default.settings_dict.get("NAME") or "") or None,
    }


def keys():
    found = [("SECRET_KEY", settings.SECRET_KEY)]
    jwt = getattr(settings, "SIMPLE_JWT", {})
    if jwt.get("SIGNING_KEY") and jwt.get("ALGORITHM", "HS256").startswith("HS"):
        found.append(("SIMPLE_JWT.SIGNING_KEY", jwt["SIGNING_KEY"]))
    return [{"name": name, "fingerprint": fingerprint(key)} for name, key in found]


facts = {
    "accordFacts": 1,
    "database": database(),
    "caches": [cache(name) for name in settings.CACHES],
    "hosts": list(settings.ALLOWED_HOSTS),
    "origins": list(settings.CSRF_TRUSTED_ORIGINS),
    "debug": bool(settings.DEBUG),
    "cookies": [{"name": settings.CSRF_COOKIE_NAME, "secure": bool(settings.CSRF_COOKIE_SECURE)}],
}
if "ACCORD_FACTS_KEY" in os.environ:
    facts["keys"] = keys()
if any(name.endswith("SessionMiddleware") for name in settings.MIDDLEWARE):
    facts["sessions"] = sessions()
    facts["cookies"].append(
        {
            "name": settings.SESSION_COOKIE_NAME,
            "session": True,
            "secure": bool(settings.SESSION_COOKIE_SECURE),
            "httpOnly": bool(settings.SESSION_COOKIE_HTTPONLY),
        }
    )
print(json.dumps(facts))
