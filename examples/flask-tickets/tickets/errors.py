"""Errors as JSON. The outage of a store is 503, which clients may retry; a 500 would say that the application is wrong."""

from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException


def register(app):
    @app.errorhandler(HTTPException)
    def told(error):
        return {"detail": error.description}, error.code

    @app.errorhandler(500)
    def failed(error):
        # Where a session can't be loaded, Flask asks this handler and no other.
        cause = getattr(error, "original_exception", None)
        if isinstance(cause, (RedisError, OperationalError, InterfaceError)):
            return {"detail": "A store is unavailable. Try again shortly."}, 503, {"Retry-After": "2"}
        return {"detail": "Internal error."}, 500
