"""The faults of the incident reports, each chosen by `WORKFLOWS_FAULT`. Nothing here is part of a right application.

Jobs get the same environment and stay right: a fault begins where the server starts (`start`).
"""

import itertools
import os
import time

from app import passwords, sessions, settings, tokens
from app.models import User

FAULTS = (
    "token-format",
    "other-token-format",
    "two-formats-in-one-pod",
    "memory-sessions",
    "blocking-login",
    "wrong-environment",
)
FAULT = os.environ.get("WORKFLOWS_FAULT") or "none"
if FAULT not in ("none", *FAULTS):
    raise SystemExit(f"WORKFLOWS_FAULT is {FAULT!r}, expected one of {', '.join(('none', *FAULTS))}.")

BLOCKED_SECONDS = 30
# As the report had it: the environment is guessed from a list, and the host that users come to isn't among them.
PRODUCTION_HOSTS = ("api.internal",)

right_claims = tokens.claims
right_match = passwords.match


async def start() -> None:
    if FAULT == "token-format" and await sessions.redis.incr("fault:token-format:starts") % 2:
        # Every other replica, beginning with the first: a fleet of two or more is mixed, and so is an update's first pod.
        tokens.claims = old_claims
        tokens.whose = whose_by_email
    elif FAULT == "other-token-format":
        # No fault of a replica: all of this release agree, and none with one of another.
        tokens.claims = old_claims
        tokens.whose = whose_by_email
    elif FAULT == "two-formats-in-one-pod":
        formats = itertools.cycle([old_claims, right_claims])
        tokens.claims = lambda user: next(formats)(user)
    elif FAULT == "memory-sessions":
        sessions.store = MemoryStore()
    elif FAULT == "blocking-login":
        passwords.match = blocking_match
    elif FAULT == "wrong-environment" and settings.ALLOWED_HOSTS[0] not in PRODUCTION_HOSTS:
        settings.COOKIES.update(domain="localhost", secure=False)


def old_claims(user: User) -> dict:
    """`sub` is the e-mail address. Genuine by its signature, and of no use to whoever expects an id."""
    claims = right_claims(user)
    del claims["email"]
    return claims | {"sub": user.email, "id": user.id}


def whose_by_email(found: dict):
    return User.email == found["sub"]


async def blocking_match(password_hash: str, password: str) -> bool:
    """A synchronous call in a coroutine: until it returns, this process answers nobody, health checks included."""
    time.sleep(BLOCKED_SECONDS)
    return await right_match(password_hash, password)


class MemoryStore:
    """Sessions and refresh tokens of this process, lost with it."""

    def __init__(self) -> None:
        self.kept: dict[str, dict] = {}

    async def put(self, key: str, value: dict, seconds: int) -> None:
        self.kept[key] = value

    async def get(self, key: str) -> dict | None:
        return self.kept.get(key)

    async def take(self, key: str) -> dict | None:
        return self.kept.pop(key, None)
