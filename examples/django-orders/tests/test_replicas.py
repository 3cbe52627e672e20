"""Two real server processes on one database and one cache, and one on its own SQLite."""

import http.client
import json
import os
import signal
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
        self.log = Path(directory) / f"{name}.log"
        database = os.environ["DATABASE_URL"].rsplit("/", 1)[0]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn"],
                cwd=PROJECT,
                env=os.environ
                | {
                    "PORT": str(self.port),
                    "DATABASE_URL": f"{database}/{connection.settings_dict['NAME']}",
                    "PGAPPNAME": name,
                    "LOG_LEVEL": "INFO",
                    "DJANGO_SETTINGS_MODULE": "config.settings",
                }
                | environment,
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
class ReplicaTests(TransactionTestCase):
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
            replica.wait()
        return replicas

    def test_what_one_does_the_other_honours(self):
        one, two = self.start("one", "two")
        status, tokens, session = one.login()
        self.assertEqual((status, one.me(session), two.me(session)), (200, 200, 200))
        bearer = {"Authorization": f"Bearer {tokens['access']}", "Cookie": f"sessionid={session}"}
        logout = {"refresh": tokens["refresh"]}
        self.assertEqual(two.request("POST", "/api/auth/logout/", logout, **bearer)[0], 200)
        self.assertEqual((two.me(session), one.me(session)), (401, 401))
        self.assertEqual(one.request("POST", "/api/auth/refresh/", logout)[0], 401)

        # Both have the lookup cached; a change on one holds on the other at once.
        new = "another fine password"
        status, tokens, session = two.login()
        self.assertEqual(status, 200)
        bearer = {"Authorization": f"Bearer {tokens['access']}"}
        change = {"old_password": PASSWORD, "new_password": new}
        status, _, _ = one.request("POST", "/api/auth/change-password/", change, **bearer)
        self.assertEqual(status, 200)
        self.assertEqual((two.login()[0], one.login()[0]), (401, 401))
        self.assertEqual((two.login(new)[0], two.me(session)), (200, 401))

        # Nothing secret in the logs.
        logs = one.log.read_text() + two.log.read_text()
        self.assertIn("/api/auth/login/", logs)
        for secret in (PASSWORD, new, session, tokens["access"], os.environ["SECRET_KEY"]):
            self.assertNotIn(secret, logs)

    def test_a_request_that_began_before_sigterm_is_answered(self):
        (one,) = self.start("one")
        body = json.dumps({"username": "staff1", "password": PASSWORD}).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        with socket.create_connection(("127.0.0.1", one.port), timeout=30) as link:
            link.sendall(
                f"POST /api/auth/login/ HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n"
                "Expect: 100-continue\r\n\r\n".encode()
            )
            # The interim answer shows that a worker is handling this request.
            self.assertIn(b"100", link.recv(1024))
            one.process.send_signal(signal.SIGTERM)
            one.wait_for_log("Handling signal: term")
            link.sendall(body)
            self.assertIn(b" 200 ", link.recv(65536).split(b"\r\n")[0])
        self.assertEqual(one.stop(), 0)

    def test_a_database_of_its_own_knows_nobody(self):
        (good,) = self.start("good")
        (broken,) = self.start(
            "broken",
            ORDERS_DATABASE="sqlite",
            ORDERS_SQLITE_PATH=f"{self.directory}/orders.sqlite3",
        )
        # The lookup cache is shared and warm: it must not let the user in either.
        self.assertEqual(good.login()[0], 200)
        self.assertEqual(broken.login()[0], 401)
        self.assertEqual(broken.request("GET", "/health/ready/")[0], 200)
        self.assertTrue(Path(self.directory, "orders.sqlite3").exists())
