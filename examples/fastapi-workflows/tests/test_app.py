"""Login, refresh, logout, CSRF, health and metrics, over HTTP and over two replicas."""

import os
import subprocess
import sys
import unittest

from tests.replica import HOST, PASSWORD, PROJECT, ReplicaTestCase


class RightTests(ReplicaTestCase):
    def test_what_one_does_the_other_honours(self):
        one, two = self.one, self.two
        login = one.login()
        self.assertEqual([r.me(login) for r in (one, two, one)], [200] * 3)
        self.assertEqual([r.me(access=login.access) for r in (one, two)], [200] * 2)
        status, fresh = two.refresh(login.refresh)
        self.assertEqual((status, one.refresh(login.refresh)[0]), (200, 401))
        self.assertEqual(one.me(access=fresh["access_token"]), 200)
        login.refresh = fresh["refresh_token"]
        self.assertEqual(two.logout(login), 200)
        self.assertEqual([r.me(login) for r in (two, one)], [401] * 2)
        self.assertEqual([r.refresh(login.refresh)[0] for r in (two, one)], [401] * 2)
        # Checked without a lookup, for an hour.
        self.assertEqual(one.me(access=login.access), 200)

    def test_the_answer_names_who_is_logged_in(self):
        login = self.one.login()
        _, body, _ = self.two.request("GET", "/api/auth/me", cookies=login.cookies)
        self.assertEqual(body, {"username": "builder1", "email": "builder1@example.com", "role": "user"})

    def test_the_cookie_is_for_this_host_and_https_only(self):
        line = next(line for line in self.one.login().lines if line.startswith("session="))
        for attribute in ("Secure", "HttpOnly", "SameSite=lax", "Max-Age=28800"):
            self.assertIn(attribute, line)
        self.assertNotIn("Domain", line)

    def test_pages_for_developers_are_not_served(self):
        for path in ("/docs", "/openapi.json"):
            self.assertEqual(self.one.request("GET", path)[0], 404)

    def test_wrong_credentials_get_one_answer(self):
        answers = [
            self.one.try_login(password="wrong")[0],
            self.one.try_login(username="nobody")[0],
        ]
        self.assertEqual([status for status, _, _ in answers], [401, 401])
        self.assertEqual(answers[0][1], answers[1][1])
        self.assertEqual(answers[0][2], [])
        self.assertEqual(self.one.request("GET", "/api/auth/me")[0], 401)
        access = self.one.login().access
        self.assertEqual(self.one.me(access=access[:-6] + "AAAAAA"), 401)

    def test_csrf_by_double_submit(self):
        status, body, lines = self.one.request("GET", "/api/auth/csrf")
        self.assertTrue(lines[0].startswith(f"csrf_token={body['csrf_token']}"))
        self.assertEqual(self.one.try_login(cookies={})[0][0], 403)
        wrong = {"X-CSRF-Token": "another"}
        self.assertEqual(self.one.try_login(**wrong)[0][0], 403)
        login = self.one.login()
        self.assertEqual(self.one.request("POST", "/api/auth/logout", None, login.cookies, **wrong)[0], 403)
        self.assertEqual(self.one.me(login), 200)

    def test_workflows_are_their_owners(self):
        builder, other = self.one.login(), self.one.login("builder2")
        path, name = "/api/workflows", {"name": "Nightly"}
        self.assertEqual(self.one.request("POST", path, name, builder.cookies)[0], 201)
        self.assertEqual(self.two.request("GET", path, cookies=builder.cookies)[1][0]["name"], "Nightly")
        self.assertEqual(self.two.request("GET", path, cookies=other.cookies)[1], [])
        self.assertEqual(self.one.request("GET", path)[0], 401)
        token = {"Authorization": f"Bearer {other.access}"}
        self.assertEqual(self.one.request("POST", path, name, **token)[0], 201)

    def test_metrics_count_logins_and_what_failed(self):
        def read():
            _, text, _ = self.one.request("GET", "/api/metrics/authentication")
            lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
            return {name.removeprefix("workflows_auth_"): float(value) for name, value in lines}

        before = read()
        self.one.login()
        self.one.try_login(password="wrong")
        self.one.try_login(cookies={})
        after = read()
        more = {name: after[name] - before[name] for name in after}
        counted = [more[name] for name in ("logins_total", "login_failures_total", "csrf_failures_total")]
        self.assertEqual(counted, [2, 1, 1])
        self.assertGreater(more["login_seconds_sum_total"], 0)

    def test_a_host_that_is_not_ours_is_refused(self):
        self.assertEqual(self.one.request("GET", "/api/health", Host="10.0.0.7")[0], 400)
        self.assertEqual(self.one.request("GET", "/api/health", Host=HOST)[0], 200)

    def test_nothing_secret_in_the_log(self):
        login = self.one.login()
        self.one.me(login, login.access)
        log = self.one.log.read_text()
        self.assertIn("/api/auth/login", log)
        for secret in (PASSWORD, login.access, login.refresh, login.cookies["session"]):
            self.assertNotIn(secret, log)


class AliasTests(ReplicaTestCase):
    """Two hostnames share the cookie; what a developer needs is declared."""

    names = ("one",)
    environment = {
        "ALLOWED_HOSTS": f"{HOST},www.{HOST}",
        "COOKIE_DOMAIN": HOST,
        "CORS_ORIGINS": f"https://{HOST},https://www.{HOST}",
        "ENVIRONMENT": "development",
    }

    def test_a_session_is_for_both_names(self):
        login = self.one.login()
        session = next(line for line in login.lines if line.startswith("session="))
        self.assertIn(f"Domain={HOST}", session)
        self.assertEqual(self.one.request("GET", "/api/auth/me", cookies=login.cookies, Host=f"www.{HOST}")[0], 200)

    def test_a_page_of_the_other_name_may_ask(self):
        asked = {"Origin": f"https://www.{HOST}", "Access-Control-Request-Method": "POST"}
        self.assertEqual(self.one.request("OPTIONS", "/api/auth/login", **asked)[0], 200)
        self.assertEqual(self.one.request("OPTIONS", "/api/auth/login", **asked | {"Origin": "https://evil.example"})[0], 400)

    def test_the_declared_environment_decides(self):
        self.assertNotIn("Secure", self.one.login().lines[0])
        self.assertEqual(self.one.request("GET", "/openapi.json")[0], 200)


class StoresAwayTests(ReplicaTestCase):
    names = ("one",)
    environment = {
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgresql+asyncpg://postgres@127.0.0.1:1/workflows",
    }
    healthy = ("/api/health",)

    def test_an_outage_is_told_as_one_and_logs_nobody_out(self):
        for path in ("/api/health/auth", "/api/health/database"):
            self.assertEqual(self.one.request("GET", path)[0], 503)
        self.assertEqual(self.one.request("GET", "/api/health")[0], 200)
        status, _, lines = self.one.request("GET", "/api/auth/me", cookies={"session": "x"})
        self.assertEqual((status, lines), (503, []))
        self.assertEqual(self.one.try_login()[0][0], 503)
        _, text, _ = self.one.request("GET", "/api/metrics/authentication")
        self.assertIn("workflows_auth_sessions_errors_total 2", text)
        self.assertIn("workflows_auth_database_errors_total 2", text)


class StartTests(unittest.TestCase):
    def run_module(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=PROJECT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_what_is_missing_or_unknown_stops_the_server_by_name(self):
        for name, value, message in (
            ("SECRET_KEY", "", "SECRET_KEY is missing"),
            ("DATABASE_URL", "postgres://u:hunter2@db/x", "DATABASE_URL doesn't begin"),
            ("WORKFLOWS_FAULT", "memory", "WORKFLOWS_FAULT is 'memory', expected one of none, token-format"),
        ):
            with self.subTest(name=name):
                result = self.run_module("uvicorn", "app.main:app", **{name: value})
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(message, result.stderr)
                self.assertNotIn("hunter2", result.stderr)

    def test_a_weak_or_missing_password_is_refused_and_not_repeated(self):
        for password, message in (("", "is not set"), ("admin123", "shorter than 12")):
            result = self.run_module("app.demo_users", DEMO_USERS_PASSWORD=password)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(message, result.stderr)
            self.assertNotIn("admin123", result.stderr + result.stdout)
