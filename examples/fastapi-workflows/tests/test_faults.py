"""Each fault is one: two real servers beside each other disagree as the report says, with every health check green."""

import threading
import time

import jwt

from tests.replica import START_SECONDS, ReplicaTestCase


def claims(login):
    return set(jwt.decode(login.access, options={"verify_signature": False}))


class TokenFormatTests(ReplicaTestCase):
    fault = "token-format"

    def test_two_formats_in_one_fleet(self):
        one, two = self.one.login(), self.two.login()
        common = {"sub", "iat", "nbf", "exp", "jti"}
        found = sorted([claims(one) - common, claims(two) - common], key=sorted)
        self.assertEqual(found, [{"email"}, {"id"}])
        for login, own, other in ((one, self.one, self.two), (two, self.two, self.one)):
            self.assertEqual((own.me(access=login.access), other.me(access=login.access)), (200, 401))
            self.assertEqual((own.me(login), other.me(login)), (200, 200))


class OtherTokenFormatTests(ReplicaTestCase):
    fault = "other-token-format"

    def test_all_of_the_release_agree_and_none_with_another(self):
        login = self.one.login()
        self.assertEqual([r.me(access=login.access) for r in (self.one, self.two)], [200, 200])
        released = self.begin("released", WORKFLOWS_FAULT="none").wait(self.healthy)
        self.assertEqual(released.me(access=login.access), 401)
        self.assertEqual(self.one.me(access=released.login().access), 401)


class TwoFormatsInOnePodTests(ReplicaTestCase):
    fault = "two-formats-in-one-pod"
    names = ("one",)

    def test_every_other_login_gives_a_token_that_its_own_replica_refuses(self):
        logins = [self.one.login() for _ in range(4)]
        self.assertEqual([self.one.me(access=login.access) for login in logins], [401, 200, 401, 200])
        self.assertEqual(["id" in claims(login) for login in logins], [True, False, True, False])


class MemorySessionsTests(ReplicaTestCase):
    fault = "memory-sessions"

    def test_a_session_is_known_where_it_began(self):
        login = self.one.login()
        self.assertEqual([r.me(login) for r in (self.one, self.two, self.one)], [200, 401, 200])
        self.assertEqual(self.two.me(access=login.access), 200)
        self.assertEqual((self.two.refresh(login.refresh)[0], self.one.refresh(login.refresh)[0]), (401, 200))


class BlockingLoginTests(ReplicaTestCase):
    fault = "blocking-login"
    names = ("one",)

    def test_while_one_logs_in_nobody_is_served(self):
        cookies = self.one.csrf()

        def log_in():
            # Ends with the server.
            try:
                self.one.try_login(cookies=cookies)
            except OSError:
                pass

        login = threading.Thread(target=log_in)
        login.start()
        self.addCleanup(login.join)
        self.addCleanup(self.one.process.kill)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and login.is_alive():
            try:
                self.one.request("GET", "/api/health", timeout=2)
            except TimeoutError:
                self.assertTrue(login.is_alive(), "the login was answered, the health check wasn't")
                return
        self.fail("the health check was answered all the time")


class WrongEnvironmentTests(ReplicaTestCase):
    fault = "wrong-environment"
    names = ("one",)
    # What is declared doesn't help: the code guesses.
    environment = {"ENVIRONMENT": "production", "COOKIE_DOMAIN": ""}

    def test_cookies_are_those_of_a_developers_machine(self):
        lines = self.one.login().lines
        session = next(line for line in lines if line.startswith("session="))
        self.assertIn("Domain=localhost", session)
        self.assertNotIn("Secure", session)
