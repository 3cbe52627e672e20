"""Turns the outage of a shared store into 503, which clients may retry.

A 500 would say that the application is wrong, a 401 that the user is.
"""

import logging

from django.db import InterfaceError, OperationalError
from redis.exceptions import RedisError
from rest_framework.response import Response
from rest_framework.views import exception_handler as default_handler

logger = logging.getLogger(__name__)


def exception_handler(error, context):
    if isinstance(error, (OperationalError, InterfaceError)):
        return unavailable("database", error)
    if isinstance(error, RedisError):
        return unavailable("cache", error)
    return default_handler(error, context)


def unavailable(store, error):
    # The class only: messages of drivers may repeat parts of the address.
    logger.error("%s unavailable: %s", store, type(error).__name__)
    return Response(
        {"detail": f"The {store} is unavailable. Try again shortly."},
        status=503,
        headers={"Retry-After": "2"},
    )
