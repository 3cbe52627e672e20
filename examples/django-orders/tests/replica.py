"""Real server processes, as pods are: one database, one cache, and a temporary directory for each."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase, override_settings

from accounts.models import User
from tests.client import HOST, ORIGIN, PASSWORD

PROJECT = Path(__file__).resolve().parent.parent
HEADERS = {
    "Host": HOST,
    "Origin": ORIGIN,
    "X-Forwarded-Proto": "https",
    "Content-Type": "application/json",
}
START_SECONDS = 60


class Replica:
    """gunicorn as the image starts it."""

    def __init__(self, directory, name, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.local = Path(directory, name)
        self.local.mkdir()
        self.log = self.local / "log"
        database = os.environ["DATABASE_URL"].rsplit("/", 1)[0]
        self.environment = (
            os.environ
            | {
                "PORT": str(self.port),
                "DATABASE_URL": f"{database}/{connection.settings_dict['NAME']}",
                "PGAPPNAME": name,
                "TMPDIR": str(self.local),
                "LOG_LEVEL": "INFO",
                "DJANGO_SETTINGS_MODULE": "config.settings",
            }
            | environment
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn"],
                cwd=PROJECT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.request("GET", "/health/")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"replica did not start: {self.log.read_text()}")

    def wait_for_log(self, text):
        deadline = time.monotonic() + START_SECONDS
        while text not in self.log.read_text():
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} is not in the log: {self.log.read_text()}")
            time.sleep(0.05)

    def request(self, method, path, body=None, **headers):
        """Status, JSON and the session cookie of the answer, on a connection of its own."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            payload = None if body is None else json.dumps(body)
            link.request(method, path, payload, HEADERS | headers)
            answer = link.getresponse()
            return answer.status, json.loads(answer.read() or b"null"), session_cookie(answer)
        finally:
            link.close()

    def login(self, password=PASSWORD):
        return self.request(
            "POST", "/api/auth/login/", {"username": "staff1", "password": password}
        )

    def me(self, session):
        return self.request("GET", "/api/auth/me/", Cookie=f"sessionid={session}")[0]

    def manage(self, *arguments, **environment):
        """A command of somebody who is logged in on this machine."""
        command = [sys.executable, "manage.py", *arguments]
        subprocess.run(
            command, cwd=PROJECT, env=self.environment | environment, check=True, capture_output=True
        )

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=30)


def session_cookie(answer):
    for line in answer.headers.get_all("Set-Cookie") or []:
        if line.startswith("sessionid="):
            return line.split(";")[0].partition("=")[2]
    return None


# The processes run with the real settings, and know the real hash only.
@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"])
class ReplicaTestCase(TransactionTestCase):
    def setUp(self):
        cache.clear()
        User.objects.create_user("staff1", "staff1@example.com", PASSWORD)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def start(self, *names, **environment):
        replicas = [Replica(self.directory, name, **environment) for name in names]
        for replica in replicas:
            self.addCleanup(replica.stop)
        for replica in replicas:
            # Comes first: all end at once.
            self.addCleanup(replica.process.terminate)
        for replica in replicas:
            replica.wait()
        return replicas
