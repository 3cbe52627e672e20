"""Login, logout, tickets, health, commands."""

from datetime import datetime, timedelta, timezone
from unittest import mock

from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from tests.client import ORIGIN, AppTestCase
from tickets.models import User, db


class LoginTests(AppTestCase):
    def me(self, client=None):
        return (client or self.client).get("/api/auth/me")

    def test_a_session_works_until_logout_and_not_after(self):
        answer = self.login()
        self.assertEqual((answer.status_code, answer.json), (200, {"username": "agent1", "role": "user"}))
        self.assertEqual(self.me().json["username"], "agent1")
        session = self.client.get_cookie("session", "tickets.example.com").value
        self.assertEqual(self.client.post("/api/auth/logout").status_code, 200)
        replay = self.browser()
        replay.set_cookie("session", session, domain="tickets.example.com")
        self.assertEqual(self.me(replay).status_code, 401)

    def test_a_login_gives_a_new_session_id(self):
        self.login()
        first = self.client.get_cookie("session", "tickets.example.com").value
        self.login()
        self.assertNotEqual(self.client.get_cookie("session", "tickets.example.com").value, first)
        old = self.browser()
        old.set_cookie("session", first, domain="tickets.example.com")
        self.assertEqual(self.me(old).status_code, 401)

    def test_the_cookie_is_as_declared(self):
        line = self.login().headers["Set-Cookie"]
        for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
            self.assertIn(attribute, line)
        expires = line.split("Expires=")[1].split(";")[0]
        lives = datetime.strptime(expires, "%a, %d %b %Y %H:%M:%S GMT").replace(
            tzinfo=timezone.utc
        ) - datetime.now(timezone.utc)
        self.assertTrue(timedelta(days=30, hours=23) < lives <= timedelta(days=31), lives)

    def test_wrong_ones_get_one_answer_and_no_session(self):
        answers = [self.login(password="wrong"), self.login(username="nobody")]
        self.assertEqual([a.status_code for a in answers], [401, 401])
        self.assertEqual(len({a.data for a in answers}), 1)
        self.assertNotIn("Set-Cookie", answers[0].headers)
        self.assertEqual(self.me().status_code, 401)
        self.assertEqual(self.client.post("/api/auth/login", json=["x"]).status_code, 400)
        self.assertEqual(self.client.post("/api/auth/login", data="x").status_code, 415)

    def test_other_sites_are_refused_and_declared_ones_may_read(self):
        self.assertEqual(self.login(headers={"Origin": "https://evil.example"}).status_code, 403)
        self.app.config["CORS_ORIGINS"] = ["https://www.example.com"]
        answer = self.login(headers={"Origin": "https://www.example.com"})
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://www.example.com")
        self.assertNotIn("Access-Control-Allow-Origin", self.login(headers={"Origin": ORIGIN}).headers)

    def test_a_host_that_is_not_ours_is_refused(self):
        self.assertEqual(self.client.get("/health", headers={"Host": "10.0.0.7"}).status_code, 400)

    def test_an_unreachable_store_is_an_outage_and_not_a_logout(self):
        self.login()
        away = mock.patch("redis.Redis.get", side_effect=RedisConnectionError("down"))
        with away, self.assertLogs(self.app.logger, "ERROR"):
            answer = self.me()
        self.assertEqual(answer.status_code, 503)
        self.assertNotIn("Set-Cookie", answer.headers)
        self.assertEqual(self.me().status_code, 200)


class TicketTests(AppTestCase):
    def test_one_sees_ones_own_and_a_manager_all(self):
        self.assertEqual(self.client.get("/api/tickets").status_code, 401)
        self.user("admin", "manager")
        self.login()
        self.assertEqual(self.client.post("/api/tickets", json={"title": "Printer"}).status_code, 201)
        self.assertEqual(self.client.post("/api/tickets", json={"title": ""}).status_code, 400)
        self.assertEqual([t["title"] for t in self.client.get("/api/tickets").json], ["Printer"])
        manager = self.browser()
        self.login(manager, "admin")
        manager.post("/api/tickets", json={"title": "Screen"})
        self.assertEqual(len(manager.get("/api/tickets").json), 2)
        self.assertEqual(len(self.client.get("/api/tickets").json), 1)


class HealthTests(AppTestCase):
    def test_liveness_asks_nobody_and_details_name_the_store_that_is_away(self):
        away = mock.patch("redis.Redis.ping", side_effect=RedisConnectionError("down"))
        with away, self.assertLogs(self.app.logger, "ERROR"):
            self.assertEqual(self.client.get("/health").status_code, 200)
            answer = self.client.get("/health/detailed")
        self.assertEqual((answer.status_code, answer.json["sessions"]), (503, "unavailable"))
        error = OperationalError("", {}, Exception("down"))
        away = mock.patch.object(db.session, "scalar", side_effect=error)
        with away, self.assertLogs(self.app.logger, "ERROR"):
            answer = self.client.get("/health/detailed")
        self.assertEqual((answer.status_code, answer.json["database"]), (503, "unavailable"))
        self.assertEqual(self.client.get("/health/detailed").status_code, 200)

    def test_debugging_a_session_shows_no_secret(self):
        before = self.client.get("/api/debug/session").json
        self.assertEqual((before["cookie_received"], before["logged_in"]), (False, False))
        self.login()
        session = self.client.get_cookie("session", "tickets.example.com").value
        answer = self.client.get("/api/debug/session")
        self.assertEqual((answer.json["logged_in"], answer.json["lifetime_seconds"]), (True, 31 * 86400))
        self.assertNotIn(session, answer.text)


class CommandTests(AppTestCase):
    def run_command(self, name, **environment):
        with self.environment(**environment):
            return self.app.test_cli_runner().invoke(args=[name])

    def test_demo_users_are_made_once_with_the_password_of_the_environment(self):
        for _ in range(2):
            result = self.run_command("create-demo-users", DEMO_USERS_PASSWORD="only in a Secret 1")
            self.assertEqual(result.exit_code, 0, result.output)
        self.assertNotIn("only in a Secret", result.output)
        self.assertEqual(db.session.scalar(db.select(db.func.count(User.id))), 3)
        self.assertEqual(self.login(password="only in a Secret 1").status_code, 200)
        for weak, message in (("", "is not set"), ("admin123", "shorter than 12")):
            result = self.run_command("create-demo-users", DEMO_USERS_PASSWORD=weak)
            self.assertIn(message, result.output)
            self.assertNotEqual(result.exit_code, 0)

    def test_the_canary_has_no_rights(self):
        account = {"ACCORD_CANARY_USERNAME": "canary-1", "ACCORD_CANARY_PASSWORD": PASSWORD_OF_CANARY}
        for _ in range(2):
            self.assertEqual(self.run_command("create-canary", **account).exit_code, 0)
        answer = self.login(username="canary-1", password=PASSWORD_OF_CANARY)
        self.assertEqual(answer.json, {"username": "canary-1", "role": "user"})


PASSWORD_OF_CANARY = "only the prober knows Aa1!"
