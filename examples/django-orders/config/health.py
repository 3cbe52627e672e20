"""Health for probes.

`/health/` is liveness: this process answers. It asks nobody else, since restarting
a replica doesn't mend a database. `/health/ready/` asks the stores.
"""

import logging

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)


@require_safe
@never_cache
def live(request):
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(request):
    checks = {"database": database_answers(), "cache": cache_answers()}
    return JsonResponse(
        {name: "ok" if ok else "unavailable" for name, ok in checks.items()},
        status=200 if all(checks.values()) else 503,
    )


def database_answers():
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return cursor.fetchone() == (1,)
    except DatabaseError as error:
        logger.error("not ready: database: %s", type(error).__name__)
        return False


def cache_answers():
    try:
        cache.get("health")
    except RedisError as error:
        logger.error("not ready: cache: %s", type(error).__name__)
        return False
    return True
