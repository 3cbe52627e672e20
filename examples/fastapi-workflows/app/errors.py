"""The outage of a store is 503, which clients may retry; a 500 would say that the application is wrong."""

import logging

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app import metrics

logger = logging.getLogger("uvicorn.error")


def register(app: FastAPI) -> None:
    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        store = "sessions" if isinstance(error, RedisError) else "database"
        metrics.count(f"{store}_errors")
        # The class only: messages of drivers may repeat parts of the address.
        logger.error("%s unavailable: %s", store, type(error).__name__)
        return JSONResponse(
            {"detail": f"The store of the {store} is unavailable. Try again shortly."}, 503, {"Retry-After": "2"}
        )

    # asyncpg tells a refused connection as OSError.
    for kind in (RedisError, OperationalError, InterfaceError, OSError):
        app.add_exception_handler(kind, unavailable)
