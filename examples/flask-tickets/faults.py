"""The faults of the incident report, each chosen by `TICKETS_FAULT`. Nothing here is part of a right application.

Jobs get the same environment and stay right: each fault is about sessions, which only the server has.
"""

import os
import secrets

FAULTS = ("memory-sessions", "key-per-start", "non-permanent-session", "cookie-attributes")
FAULT = os.environ.get("TICKETS_FAULT") or "none"
if FAULT not in ("none", *FAULTS):
    raise SystemExit(f"TICKETS_FAULT is {FAULT!r}, expected one of {', '.join(('none', *FAULTS))}.")


def workers(declared):
    """One process where its memory or its key stands for the pod's."""
    return 1 if FAULT in ("memory-sessions", "key-per-start") else declared


def change(app):
    """The settings of a server that has the fault."""
    if FAULT == "memory-sessions":
        from cachelib import SimpleCache

        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    elif FAULT == "key-per-start":
        from flask.sessions import SecureCookieSessionInterface

        class Lasting(SecureCookieSessionInterface):
            """The key is the only thing that is wrong: the cookie lasts as long as it does without the fault."""

            def get_expiration_time(self, app, session):
                session.permanent = True
                return super().get_expiration_time(app, session)

        # Flask's own sessions: the cookie holds everything, and only the key says that it is genuine.
        app.config.update(SESSION_TYPE=None, SECRET_KEY=secrets.token_hex())
        app.session_interface = Lasting()
    elif FAULT == "non-permanent-session":
        app.config.update(SESSION_PERMANENT=False)
    elif FAULT == "cookie-attributes":
        app.config.update(
            SESSION_COOKIE_SECURE=False, SESSION_COOKIE_HTTPONLY=False, SESSION_COOKIE_SAMESITE=None
        )
