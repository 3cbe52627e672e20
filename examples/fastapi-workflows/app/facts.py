"""`python -m app.facts` prints what a server would use, as one line of JSON: Accord asks before it starts one.

No key is printed: only its fingerprint, made with Accord's own, which is there where it hands out the key.
"""

import asyncio
import hashlib
import hmac
import json
import os

from app import faults, sessions, settings
from app.database import engine
from app.main import app


def fingerprint(key: str) -> str:
    return hmac.new(os.environ["ACCORD_FACTS_KEY"].encode(), key.encode(), hashlib.sha256).hexdigest()[:16]


def facts() -> dict:
    shared = type(sessions.store) is sessions.Store
    cache = sessions.redis.connection_pool.connection_kwargs.get("host")
    found = {
        "accordFacts": 1,
        "database": {
            "engine": engine.url.get_backend_name(),
            "host": engine.url.host,
            "name": engine.url.database,
        },
        "caches": [{"name": "redis", "place": "cache", "host": cache}],
        "sessions": {
            "store": type(sessions.store).__name__,
            "place": "cache" if shared else "memory",
            "host": cache if shared else None,
        },
        "hosts": settings.ALLOWED_HOSTS,
        "debug": app.debug,
        "cookies": [{"name": "session", "session": True, "secure": settings.COOKIES["secure"], "httpOnly": True}],
    }
    if "ACCORD_FACTS_KEY" in os.environ:
        found["keys"] = [{"name": "SECRET_KEY", "fingerprint": fingerprint(settings.SECRET_KEY)}]
    return found


if __name__ == "__main__":
    # What a server does at its start belongs to what it uses. Not what it counts in Redis: nobody starts here.
    if faults.FAULT != "token-format":
        asyncio.run(faults.start())
    print(json.dumps(facts()))
