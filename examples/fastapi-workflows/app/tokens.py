"""Access tokens: `sub` is the user's id, and a token is good for an hour on every replica."""

import time
import uuid

import jwt

from app import settings
from app.models import User


def claims(user: User) -> dict:
    now = int(time.time())
    return {
        "sub": str(user.id),
        "email": user.email,
        "iat": now,
        "nbf": now,
        "exp": now + settings.ACCESS_SECONDS,
        "jti": uuid.uuid4().hex,
    }


def issue(user: User) -> str:
    return jwt.encode(claims(user), settings.SECRET_KEY, algorithm="HS256")


def owner(token: str):
    """Which user a genuine token is for, as a condition for a query; None for any other."""
    try:
        # A few seconds, by which the replicas' clocks may differ.
        found = jwt.decode(
            token, settings.SECRET_KEY, ["HS256"], leeway=5, options={"require": ["exp", "nbf", "sub"]}
        )
        return whose(found)
    except (jwt.InvalidTokenError, ValueError):
        return None


def whose(found: dict):
    return User.id == int(found["sub"])
