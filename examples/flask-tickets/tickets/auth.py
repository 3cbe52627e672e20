"""Login, logout, and who is logged in."""

from functools import cache, wraps

from flask import Blueprint, abort, current_app, g, request, session
from werkzeug.security import check_password_hash, generate_password_hash

from tickets.models import User, db

blueprint = Blueprint("auth", __name__)


@cache
def nobodys_hash():
    """So that an unknown name takes as long as a wrong password."""
    return generate_password_hash("nobody has this password")


def login_required(view):
    @wraps(view)
    def guarded(*args, **kwargs):
        user = db.session.get(User, session["user_id"]) if "user_id" in session else None
        if user is None:
            abort(401, "Log in first.")
        g.user = user
        return view(*args, **kwargs)

    return guarded


@blueprint.post("/login")
def login():
    body = request.get_json()
    username, password = (body.get(key) if isinstance(body, dict) else None for key in ("username", "password"))
    if not isinstance(username, str) or not isinstance(password, str):
        abort(400, "username and password have to be strings.")
    user = db.session.scalar(db.select(User).filter_by(username=username))
    known = check_password_hash(user.password_hash if user else nobodys_hash(), password)
    if user is None or not known:
        abort(401, "Wrong username or password.")
    session.clear()
    session["user_id"] = user.id
    if hasattr(current_app.session_interface, "regenerate"):
        # A new id, or somebody who knows the old one would be logged in too.
        current_app.session_interface.regenerate(session)
    return {"username": user.username, "role": user.role}


@blueprint.get("/me")
@login_required
def me():
    return {"username": g.user.username, "role": g.user.role}


@blueprint.post("/logout")
@login_required
def logout():
    session.clear()
    return {"detail": "Logged out."}


def require_own_origin(app):
    """Refuses writes that pages of other sites send, and lets the declared ones read answers (CORS).

    Browsers send the Origin with every unsafe request; clients that aren't browsers send none.
    """

    @app.before_request
    def refuse():
        origin = request.headers.get("Origin")
        if request.method in ("GET", "HEAD", "OPTIONS") or origin is None:
            return
        if origin != request.host_url.rstrip("/") and origin not in app.config["CORS_ORIGINS"]:
            abort(403, "This origin isn't trusted.")

    @app.after_request
    def allow(response):
        response.vary.add("Origin")
        if request.headers.get("Origin") in app.config["CORS_ORIGINS"]:
            response.access_control_allow_origin = request.headers["Origin"]
            response.access_control_allow_credentials = True
            response.access_control_allow_headers = ["Content-Type"]
            response.access_control_allow_methods = ["GET", "POST"]
        response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
