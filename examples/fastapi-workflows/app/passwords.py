"""Password hashes, in a thread: they take tens of milliseconds, in which the event loop would serve nobody."""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's least for argon2id. More memory counts once for every login that runs at the same time.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def hashed(password: str) -> str:
    return _hasher.hash(password)


# So that an unknown name takes as long as a wrong password.
NOBODYS = hashed("nobody has this password")


def _match(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def match(password_hash: str, password: str) -> bool:
    return await asyncio.to_thread(_match, password_hash, password)
