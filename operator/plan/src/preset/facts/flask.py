# What a server of this image would use, from the Flask application as the `flask` command finds it: printed as one line of
# JSON. Nothing is connected to, no key is printed: only its fingerprint, and that only for who has the ring.
import hashlib
import hmac
import json
import os

from flask.cli import ScriptInfo


def fingerprint(key):
    key = key if isinstance(key, bytes) else str(key).encode()
    return hmac.new(os.environ["ACCORD_FACTS_KEY"].encode(), key, hashlib.sha256).hexdigest()[:16]


def host(client):
    # redis-py's client keeps what it was made with.
    pool = getattr(client, "connection_pool", None)
    return pool and pool.connection_kwargs.get("host")


CACHELIB = {"simple": "memory", "file": "file", "redis": "cache", "memcached": "cache"}


def sessions(app):
    interface = type(app.session_interface)
    found = {"store": interface.__name__}
    # A class of the application's own is what it is made from.
    for known in interface.__mro__:
        module = known.__module__.split(".")
        if module[0] == "flask_session" or known.__name__ == "SecureCookieSessionInterface":
            break
    if module == ["flask", "sessions"]:
        found["place"] = "cookie"
    elif module[0] == "flask_session":
        kind = module[1]
        if kind == "filesystem":
            found["place"] = "file"
        elif kind == "sqlalchemy":
            found["place"] = "database"
        elif kind == "cachelib":
            behind = type(app.session_interface.cache)
            found["store"] = behind.__name__
            found["place"] = CACHELIB.get(behind.__module__.split(".")[-1])
        elif kind in ("redis", "memcached", "mongodb", "dynamodb"):
            found["place"] = "cache"
            found["host"] = host(getattr(app.session_interface, "client", None))
    return found


def database(app):
    url = app.config.get("SQLALCHEMY_DATABASE_URI")
    if "sqlalchemy" in app.extensions:
        with app.app_context():
            url = app.extensions["sqlalchemy"].engine.url
    if not url:
        return None
    from sqlalchemy import make_url

    url = make_url(url)
    name = url.get_backend_name()
    return {"engine": name, "host": url.host or os.environ.get("PGHOST"), "name": url.database}


def caches(app):
    # Flask-Caching names its backend by its class, or by a path to it.
    kind = str(app.config.get("CACHE_TYPE", "")).rsplit(".", 1)[-1].lower()
    places = {"simplecache": "memory", "filesystemcache": "file", "rediscache": "cache"}
    place = next((places[name] for name in places if name.startswith(kind)), None) if kind else None
    return [{"name": "CACHE_TYPE", "place": place}] if place else []


app = ScriptInfo(app_import_path=os.environ.get("FLASK_APP")).load_app()
config = app.config
facts = {
    "accordFacts": 1,
    "database": database(app),
    "sessions": sessions(app),
    "caches": caches(app),
    "hosts": config.get("TRUSTED_HOSTS"),
    "debug": bool(app.debug),
    "cookies": [
        {
            "name": config["SESSION_COOKIE_NAME"],
            "session": True,
            "secure": bool(config["SESSION_COOKIE_SECURE"]),
            "httpOnly": bool(config["SESSION_COOKIE_HTTPONLY"]),
        }
    ],
}
if "ACCORD_FACTS_KEY" in os.environ and app.secret_key:
    facts["keys"] = [{"name": "SECRET_KEY", "fingerprint": fingerprint(app.secret_key)}]
print(json.dumps(facts))
