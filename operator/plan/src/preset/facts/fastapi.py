# What a server of this image would use, printed as one line of JSON. FastAPI has no settings of its own: the application's
# module `app.facts` says it, and without one what can be told from the objects that the application has made. Nothing is
# connected to, no key is printed: only its fingerprint, and that only for who has the ring.
import gc
import hashlib
import hmac
import importlib
import importlib.util
import json
import os
import runpy


def exists(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def fingerprint(key):
    key = key if isinstance(key, bytes) else str(key).encode()
    return hmac.new(os.environ["ACCORD_FACTS_KEY"].encode(), key, hashlib.sha256).hexdigest()[:16]


def application():
    from fastapi import FastAPI

    # Where the `fastapi` command looks.
    for name in ("main", "app", "api", "app.main", "app.app", "app.api"):
        found = vars(importlib.import_module(name)).values() if exists(name) else ()
        for value in found:
            if isinstance(value, FastAPI):
                return value
    raise SystemExit("no FastAPI application in main, app or api: let app/facts.py print the facts")


def instances(module, name):
    kind = getattr(importlib.import_module(module), name) if exists(module) else ()
    return [value for value in gc.get_objects() if kind and isinstance(value, kind)]


def database():
    urls = {str(engine.url): engine.url for engine in instances("sqlalchemy.engine", "Engine")}
    # Of two nobody knows which one has the users.
    if len(urls) != 1:
        return None
    url = urls.popitem()[1]
    return {"engine": url.get_backend_name(), "host": url.host or os.environ.get("PGHOST"), "name": url.database}


def caches():
    pools = instances("redis", "ConnectionPool") + instances("redis.asyncio", "ConnectionPool")
    hosts = {pool.connection_kwargs.get("host") for pool in pools} - {None}
    return [{"name": "redis", "place": "cache", "host": host} for host in sorted(hosts)]


def guess():
    app = application()
    facts = {"accordFacts": 1, "database": database(), "caches": caches(), "debug": bool(app.debug)}
    for middleware in app.user_middleware:
        settings = middleware.kwargs
        if middleware.cls.__name__ == "TrustedHostMiddleware":
            facts["hosts"] = list(settings.get("allowed_hosts") or ["*"])
        if middleware.cls.__name__ == "SessionMiddleware":
            facts["sessions"] = {"store": "SessionMiddleware", "place": "cookie"}
            if "ACCORD_FACTS_KEY" in os.environ:
                key = fingerprint(settings["secret_key"])
                facts["keys"] = [{"name": "SessionMiddleware.secret_key", "fingerprint": key}]
    print(json.dumps(facts))


if exists("app.facts"):
    runpy.run_module("app.facts", run_name="__main__")
else:
    guess()
