"""Health for probes, and what a person may see of a session.

`/health` is liveness: this process answers, and asks nobody else. `/health/detailed` asks the stores.
"""

from flask import Blueprint, current_app, request, session
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from tickets.models import db

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
def live():
    return {"status": "ok"}


@blueprint.get("/health/detailed")
def detailed():
    checks = {"database": database_answers(), "sessions": sessions_answer()}
    state = {name: "ok" if ok else "unavailable" for name, ok in checks.items()}
    return state, 200 if all(checks.values()) else 503


def database_answers():
    try:
        return db.session.scalar(db.text("SELECT 1")) == 1
    except SQLAlchemyError as error:
        current_app.logger.error("database unavailable: %s", type(error).__name__)
        return False


def sessions_answer():
    try:
        return bool(current_app.config["SESSION_REDIS"].ping())
    except RedisError as error:
        current_app.logger.error("sessions unavailable: %s", type(error).__name__)
        return False


@blueprint.get("/api/debug/session")
def debug():
    """Why am I logged out? Neither ids nor values: the answer may end up in a ticket."""
    return {
        "cookie_received": current_app.config["SESSION_COOKIE_NAME"] in request.cookies,
        "logged_in": "user_id" in session,
        "permanent": session.permanent,
        "lifetime_seconds": int(current_app.permanent_session_lifetime.total_seconds()),
    }
