"""The cache of user lookups: `user_lookup:{username}`, five minutes, in Redis.

It may only say *no*. A wrong password is refused from here without touching the
database; a right one is still compared with the row (see `backends`). So a stale
entry can never let an old password in.

It must not keep a new password out either. `forget` therefore doesn't delete the
entry but writes a marker, and `remember` only adds where nothing is: a replica
that read the old row a moment ago can't put it back.
"""

from dataclasses import dataclass

from django.core.cache import cache

TTL_SECONDS = 5 * 60
# Longer than a request can take between reading a row and remembering it.
CHANGED_SECONDS = 60
CHANGED = "changed"


@dataclass(frozen=True)
class Known:
    pk: int
    password_hash: str


def key(username):
    return f"user_lookup:{username}"


def find(username):
    """What is known about the user, or None."""
    entry = cache.get(key(username))
    return entry if isinstance(entry, Known) else None


def remember(user):
    cache.add(key(user.get_username()), Known(user.pk, user.password), TTL_SECONDS)


def forget(username):
    cache.set(key(username), CHANGED, CHANGED_SECONDS)
