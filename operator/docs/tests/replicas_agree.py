"""Runs a project made from a page as two replicas and follows the page's own recipe.

    replicas_agree.py PROJECT RESTART_CACHE

PROJECT holds `Containerfile` (its CMD starts the servers) and `authservice.yaml` (its
recipe says how to log in). RESTART_CACHE is a command. DATABASE_URL and the other
bindings are in the environment. Logs in on one replica and checks on the other, both
ways; logs out on the second and wants both to reject; restarts the cache in between.
"""

import http.client
import http.cookies
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import yaml

START_SECONDS = 60
CANARY = "canary-" + secrets.token_hex(8)
PASSWORD = secrets.token_urlsafe(24) + "Aa1!"


class Replica:
    def __init__(self, project, host, name, directory):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.name, self.host = name, host
        self.log = Path(directory, f"{name}.log")
        cmd = re.search(r"^CMD (\[.*\])$", (project / "Containerfile").read_text(), re.M)
        command = [a.replace("0.0.0.0:8000", f"127.0.0.1:{self.port}") for a in json.loads(cmd[1])]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command[1:]],
                cwd=project,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.send("GET", "/health/", {}).status == 200:
                    return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} did not start:\n{self.log.read_text()}")

    def send(self, method, path, cookies, form=None, header=None):
        """One request as a browser behind the router sends it. Redirects aren't followed."""
        headers = {"Host": self.host, "X-Forwarded-Proto": "https"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        body = None
        if method == "POST":
            origin = f"https://{self.host}"
            headers |= {"Origin": origin, "Referer": origin + path} | (header or {})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form or {})
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request(method, path, body, headers)
        answer = link.getresponse()
        answer.text = answer.read().decode()
        answer.cookies = {}
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                answer.cookies[name] = morsel.value
        link.close()
        return answer

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=30) != 0:
            raise SystemExit(f"{self.name} ended with {self.process.returncode}")


class Recipe:
    """The recipe of the declaration, with its defaults."""

    def __init__(self, recipe):
        self.csrf, self.login = recipe["csrf"], recipe["login"]
        self.check, self.logout = recipe["check"], recipe["logout"]

    def log_in(self, replica, password=PASSWORD):
        """The cookies of a session, or None if the login was refused."""
        cookies = replica.send("GET", self.csrf["path"], {}).cookies
        token = {"X-CSRFToken": cookies["csrftoken"]}
        form = {"username": CANARY, "password": password}
        answer = replica.send("POST", self.login["path"], cookies, form, token)
        if answer.status != self.login["status"]:
            return None
        assert self.login["sessionCookie"] in answer.cookies, answer.cookies
        return cookies | answer.cookies

    def accepted(self, replica, cookies):
        answer = replica.send("GET", self.check["path"], cookies)
        if answer.status == 200 and CANARY in answer.text:
            return True
        assert answer.status == self.check["rejectedStatus"], (replica.name, answer.status)
        return False

    def log_out(self, replica, cookies):
        token = {"X-CSRFToken": cookies["csrftoken"]}
        status = replica.send("POST", self.logout["path"], cookies, {}, token).status
        assert status < 400, (replica.name, status)


def expect(what, actual, wanted):
    print(f"{'ok' if actual == wanted else 'FAILED':6} {what}")
    if actual != wanted:
        raise SystemExit(f"expected {wanted}, got {actual}")


def create_canary(project):
    """As the preset does: in the user's image, by Django's shell."""
    code = (
        "import os; from django.contrib.auth import get_user_model as m; "
        "m().objects.create_user(os.environ['NAME'], os.environ['NAME'] + '@example.com', os.environ['PW'])"
    )
    environment = os.environ | {"NAME": CANARY, "PW": PASSWORD}
    for arguments in (["migrate", "--noinput", "-v", "0"], ["shell", "-c", code]):
        subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=project, env=environment, check=True
        )


def agree(recipe, one, two, restart_cache):
    def both(session):
        return {replica.name: recipe.accepted(replica, session) for replica in (one, two)}

    accepted, rejected = {"one": True, "two": True}, {"one": False, "two": False}
    expect("a wrong password is refused", recipe.log_in(one, "wrong"), None)
    expect("nobody is refused", both({}), rejected)
    for here, there in ((one, two), (two, one)):
        session = recipe.log_in(here)
        expect(f"login on {here.name}", session is not None, True)
        expect("  accepted by both", both(session), accepted)
        restart_cache()
        expect("  and after the cache restarted empty", both(session), accepted)
        recipe.log_out(there, session)
        expect(f"  logout on {there.name}: rejected by both", both(session), rejected)


def main():
    project, restart = Path(sys.argv[1]), sys.argv[2]
    declaration = yaml.safe_load((project / "authservice.yaml").read_text())["spec"]
    recipe = Recipe(declaration["verification"]["recipe"])
    create_canary(project)
    with tempfile.TemporaryDirectory() as directory:
        replicas = []
        try:
            for name in ("one", "two"):
                replicas.append(Replica(project, declaration["hostnames"][0], name, directory))
            for replica in replicas:
                replica.wait()
            agree(recipe, *replicas, lambda: subprocess.run(restart, shell=True, check=True))
        except BaseException:
            for replica in replicas:
                print(f"--- log of {replica.name}\n{replica.log.read_text()[-3000:]}", file=sys.stderr)
            raise
        finally:
            for replica in replicas:
                replica.stop()


if __name__ == "__main__":
    main()
