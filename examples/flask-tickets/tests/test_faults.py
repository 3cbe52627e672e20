"""Each fault is one: two real servers beside each other disagree as the report says, with every health check green."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.client import HOST, ORIGIN, PASSWORD, AppTestCase

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

    def __init__(self, log, fault):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = log
        variables = {"PORT": str(self.port), "TICKETS_FAULT": fault, "FORWARDED_ALLOW_IPS": "*"}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn"],
                cwd=PROJECT,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.request("GET", "/health/detailed")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"replica did not start: {self.log.read_text()}")

    def request(self, method, path, body=None, session=None):
        """Status and cookie line of the answer, on a connection of its own."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = HEADERS | ({"Cookie": f"session={session}"} if session else {})
            link.request(method, path, body and json.dumps(body), headers)
            answer = link.getresponse()
            answer.read()
            return answer.status, answer.headers["Set-Cookie"] or ""
        finally:
            link.close()

    def login(self):
        """The session and the cookie's attributes."""
        status, line = self.request("POST", "/api/auth/login", {"username": "agent1", "password": PASSWORD})
        assert status == 200, status
        cookie, _, attributes = line.partition("; ")
        return cookie.partition("=")[2], attributes

    def me(self, session):
        return self.request("GET", "/api/auth/me", session=session)[0]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class FaultTests(AppTestCase):
    def start(self, fault, replicas=2):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        started = [Replica(Path(directory.name, str(n)), fault) for n in range(replicas)]
        for replica in started:
            self.addCleanup(replica.stop)
        return [replica.wait() for replica in started]

    def test_without_one_they_agree(self):
        one, two = self.start("")
        session, attributes = one.login()
        self.assertEqual((one.me(session), two.me(session)), (200, 200))
        for attribute in ("Expires=", "Secure", "HttpOnly", "SameSite=Lax"):
            self.assertIn(attribute, attributes)
        self.assertEqual(two.request("POST", "/api/auth/logout", session=session)[0], 200)
        self.assertEqual((one.me(session), two.me(session)), (401, 401))

    def test_memory_sessions(self):
        one, two = self.start("memory-sessions")
        session, _ = one.login()
        self.assertEqual((one.me(session), two.me(session), one.me(session)), (200, 401, 200))

    def test_key_per_start(self):
        one, two = self.start("key-per-start")
        session, attributes = one.login()
        self.assertIn("Expires=", attributes)
        self.assertEqual((one.me(session), two.me(session), one.me(session)), (200, 401, 200))

    def test_non_permanent_session(self):
        (one,) = self.start("non-permanent-session", replicas=1)
        session, attributes = one.login()
        self.assertEqual(one.me(session), 200)
        self.assertNotIn("Expires=", attributes)
        self.assertNotIn("Max-Age=", attributes)
        self.assertIn("Secure", attributes)

    def test_cookie_attributes(self):
        (one,) = self.start("cookie-attributes", replicas=1)
        session, attributes = one.login()
        self.assertEqual(one.me(session), 200)
        for attribute in ("Secure", "HttpOnly", "SameSite"):
            self.assertNotIn(attribute, attributes)

    def test_an_unknown_one_stops_the_server_by_name(self):
        result = subprocess.run(
            [sys.executable, "-m", "gunicorn"],
            cwd=PROJECT,
            env=os.environ | {"TICKETS_FAULT": "memory"},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("TICKETS_FAULT is 'memory', expected one of none, memory-sessions", result.stderr)
