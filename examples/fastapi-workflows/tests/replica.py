"""Real server processes as replicas, on one database and one cache."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HOST = "workflows.example.com"
ORIGIN = f"https://{HOST}"
PASSWORD = "correct horse battery"
START_SECONDS = 60


class Login:
    """What a login gave."""

    def __init__(self, body, cookies, lines):
        self.access, self.refresh = body["access_token"], body["refresh_token"]
        self.cookies, self.lines = cookies, lines


class Replica:
    def __init__(self, directory, name, **environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = Path(directory, f"{name}.log")
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=os.environ | {"PGAPPNAME": name} | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self, healthy):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                for path in healthy:
                    assert self.request("GET", path)[0] == 200, path
                return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"replica did not start: {self.log.read_text()}")

    def request(self, method, path, body=None, cookies=None, timeout=60, **headers):
        """Status, JSON or text, and the Set-Cookie lines of the answer, on a connection of its own."""
        headers = {"Host": HOST, "Origin": ORIGIN, "X-Forwarded-Proto": "https"} | headers
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
            if "csrf_token" in cookies:
                headers.setdefault("X-CSRF-Token", cookies["csrf_token"])
        if body is not None:
            headers["Content-Type"] = "application/json"
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            link.request(method, path, None if body is None else json.dumps(body), headers)
            answer = link.getresponse()
            text = answer.read().decode()
            lines = answer.headers.get_all("Set-Cookie") or []
            kind = answer.headers["Content-Type"] or ""
            return answer.status, json.loads(text) if "json" in kind else text, lines
        finally:
            link.close()

    def csrf(self):
        """The cookie of the CSRF step, as a browser keeps it."""
        _, body, _ = self.request("GET", "/api/auth/csrf")
        return {"csrf_token": body["csrf_token"]}

    def try_login(self, username="builder1", password=PASSWORD, cookies=None, **kwargs):
        body = {"username": username, "password": password}
        cookies = self.csrf() if cookies is None else cookies
        return self.request("POST", "/api/auth/login", body, cookies, **kwargs), cookies

    def login(self, *args, **kwargs):
        (status, body, lines), cookies = self.try_login(*args, **kwargs)
        assert status == 200, (status, body)
        session = next(line for line in lines if line.startswith("session="))
        cookies["session"] = session.split(";")[0].partition("=")[2]
        return Login(body, cookies, lines)

    def me(self, login=None, access=None):
        """The status with the session, or with a token."""
        if access:
            return self.request("GET", "/api/auth/me", Authorization=f"Bearer {access}")[0]
        return self.request("GET", "/api/auth/me", cookies=login.cookies)[0]

    def refresh(self, token):
        status, body, _ = self.request("POST", "/api/auth/refresh", {"refresh_token": token})
        return status, body

    def logout(self, login):
        return self.request("POST", "/api/auth/logout", {"refresh_token": login.refresh}, login.cookies)[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            # A blocked event loop hears no signal.
            self.process.kill()
            self.process.wait()


class ReplicaTestCase(unittest.TestCase):
    """Two replicas, or as many as are named, for all tests of a class."""

    fault = ""
    names = ("one", "two")
    environment = {}
    healthy = ("/api/health", "/api/health/auth", "/api/health/database")

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = directory.name
        cls.replicas = [cls.begin(name) for name in cls.names]
        for replica in cls.replicas:
            replica.wait(cls.healthy)
        cls.one, cls.two = cls.replicas[0], cls.replicas[-1]

    @classmethod
    def begin(cls, name, **environment):
        """One more server, stopped after the last test of the class."""
        replica = Replica(cls.directory, name, **{"WORKFLOWS_FAULT": cls.fault} | cls.environment | environment)
        cls.addClassCleanup(replica.stop)
        return replica
