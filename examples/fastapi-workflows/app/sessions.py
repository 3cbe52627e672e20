"""Sessions and refresh tokens, in Redis only: every replica finds them, and what one ends is ended everywhere."""

import json
import secrets

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app import settings

redis = Redis.from_url(
    settings.REDIS_URL,
    decode_responses=True,
    socket_timeout=2,
    socket_connect_timeout=2,
    # A cache that restarts is waited for, about a third of a second.
    retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 3),
    retry_on_error=[RedisConnectionError, RedisTimeoutError],
)


class Store:
    """What is needed of Redis."""

    async def put(self, key: str, value: dict, seconds: int) -> None:
        await redis.set(key, json.dumps(value), ex=seconds)

    async def get(self, key: str) -> dict | None:
        found = await redis.get(key)
        return json.loads(found) if found else None

    async def take(self, key: str) -> dict | None:
        """Reads and ends it in one step: of two replicas that are asked at once, one gets it."""
        found = await redis.getdel(key)
        return json.loads(found) if found else None


store = Store()


async def begin(user_id: int) -> str:
    session = secrets.token_urlsafe(32)
    await store.put(f"session:{session}", {"user_id": user_id}, settings.SESSION_SECONDS)
    return session


async def owner(session: str) -> int | None:
    found = await store.get(f"session:{session}")
    return found["user_id"] if found else None


async def end(session: str) -> None:
    await store.take(f"session:{session}")


async def issue_refresh(user_id: int) -> str:
    token = secrets.token_urlsafe(32)
    await store.put(f"refresh:{token}", {"user_id": user_id}, settings.REFRESH_SECONDS)
    return token


async def take_refresh(token: str) -> int | None:
    """Whose it was. It can't be used again."""
    found = await store.take(f"refresh:{token}")
    return found["user_id"] if found else None
