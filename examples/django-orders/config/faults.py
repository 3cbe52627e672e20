"""The faults of the incident reports, each chosen by `ORDERS_FAULT`. Nothing here is part of a right application.

Jobs are given the servers' environment, and must stay right: a fault begins where gunicorn starts (`start`), and its
workers inherit that by their fork. Who asks what a server would use (`ACCORD_FACTS`) is told of the fault too. A database of the pod's own is the exception: once the server has made the file,
`manage.py` in the same pod finds it too, as whoever ran commands on one machine did.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from config import env

FAULTS = (
    "local-database",
    "local-database-seeded",
    "local-session",
    "local-revocation",
    "key-per-start",
    "worker-state",
    "stale-password",
    "later",
    "lagging-replica",
)
FAULT = env.choice("ORDERS_FAULT", ("none", *FAULTS), "none")
LOCAL_DATABASES = ("local-database", "local-database-seeded")

# The image's variant: the file is used by every process of the image, Jobs too.
IMAGE_IS_SQLITE = env.choice("ORDERS_DATABASE", ("declared", "sqlite"), "declared") == "sqlite"

LOCAL = Path(tempfile.gettempdir())
SQLITE = LOCAL / "orders.sqlite3"
REVOKED = LOCAL / "orders-revoked"
# With `later`: this replica is right until the file is there.
FROM_NOW_ON = LOCAL / "orders-from-now-on"
# As in the report: the same for every machine, in the code.
SEEDED_PASSWORD = "a password in the code"

# True in what serves, and in a process that says what a server would use.
serving = "ACCORD_FACTS" in os.environ


def start():
    """What the entry point does, in gunicorn's first process."""
    global serving
    serving = True
    if IMAGE_IS_SQLITE or FAULT in LOCAL_DATABASES:
        SQLITE.touch()
        manage("migrate", "--noinput")
    if FAULT == "local-database-seeded":
        manage("create_demo_users", DEMO_USERS_PASSWORD=SEEDED_PASSWORD)
    make_key()


def make_key():
    if FAULT == "key-per-start":
        from django.core.management.utils import get_random_secret_key

        os.environ["SECRET_KEY"] = get_random_secret_key()


def manage(*arguments, **environment):
    command = [sys.executable, "manage.py", *arguments]
    subprocess.run(command, check=True, env=os.environ | environment)


def workers(declared):
    """One process where its memory stands for the pod's, two where they are to differ."""
    if FAULT in ("local-session", "stale-password"):
        return 1
    return 2 if FAULT == "worker-state" else declared


def change(settings):
    """The settings of a process that has the fault."""
    if IMAGE_IS_SQLITE or (FAULT in LOCAL_DATABASES and (serving or SQLITE.exists())):
        settings["DATABASES"] = {
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(SQLITE)}
        }
    if serving and FAULT in ("local-session", "worker-state", "stale-password"):
        # What Django has without CACHES: the memory of one process.
        settings["CACHES"]["memory"] = {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache"
        }
    if serving and FAULT in ("local-session", "worker-state"):
        settings["SESSION_ENGINE"] = "django.contrib.sessions.backends.cache"
        settings["SESSION_CACHE_ALIAS"] = "memory"


    if serving and FAULT == "lagging-replica":
        import dj_database_url

        url = env.required_url(
            "DATABASE_REPLICA_URL", ("postgres", "postgresql"), "the read replica of DATABASE_URL"
        )
        settings["DATABASES"]["replica"] = dj_database_url.parse(url, conn_max_age=60)
        settings["DATABASE_ROUTERS"] = ["config.faults.ReadFromTheReplica"]


class ReadFromTheReplica:
    """Who logs in, and what was revoked, is read where it arrives late."""

    def db_for_read(self, model, **hints):
        return "replica"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_relation(self, one, other, **hints):
        return True


def change_application():
    """The code of a process that has the fault; models are loaded by now."""
    if serving and FAULT == "local-revocation":
        revoke_in_files()
    if serving and FAULT == "later":
        revoke_in_files(begun=FROM_NOW_ON.exists)
    if serving and FAULT == "stale-password":
        believe_the_lookup_cache()


def revoke_in_files(begun=lambda: True):
    """Ended refresh tokens are known to this pod only, once it has begun."""
    from rest_framework_simplejwt.exceptions import TokenError
    from rest_framework_simplejwt.tokens import RefreshToken

    shared = RefreshToken.blacklist, RefreshToken.check_blacklist

    def blacklist(token):
        if not begun():
            return shared[0](token)
        REVOKED.mkdir(exist_ok=True)
        (REVOKED / token["jti"]).touch()

    def check_blacklist(token):
        if not begun():
            return shared[1](token)
        if (REVOKED / token["jti"]).exists():
            raise TokenError("Token is blacklisted")

    RefreshToken.blacklist = blacklist
    RefreshToken.check_blacklist = check_blacklist


def believe_the_lookup_cache():
    """For five minutes a password is compared with what this process remembers, and with nothing else."""
    from django.core.cache import caches

    from accounts import lookup
    from accounts.backends import CachedLookupBackend
    from accounts.models import User

    lookup.cache = caches["memory"]
    CachedLookupBackend.confirm = lambda backend, known, username: User.objects.get(pk=known.pk)


if serving:
    # Before the settings read it.
    make_key()
