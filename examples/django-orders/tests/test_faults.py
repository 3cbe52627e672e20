"""Each fault is one: two real servers beside each other disagree just as the report says, with every health check green."""

import os
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.test import override_settings

from accounts.models import User
from config.faults import SEEDED_PASSWORD
from tests.client import PASSWORD
from tests.replica import ReplicaTestCase

ROUNDS = 50


# No fault is about the hash: the cheap one, so that all of them take seconds.
CHEAP_HASH = "tests.settings"


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class FaultTests(ReplicaTestCase):
    def start(self, *names, fault, workers=1, **environment):
        return super().start(
            *names,
            ORDERS_FAULT=fault,
            WEB_CONCURRENCY=str(workers),
            DJANGO_SETTINGS_MODULE=CHEAP_HASH,
            **environment,
        )

    def pair(self, fault, workers=1):
        one, two = self.start("one", "two", fault=fault, workers=workers)
        for replica in (one, two):
            self.assertEqual(replica.request("GET", "/health/ready/")[0], 200)
        return one, two

    def bearer(self, replica, tokens):
        return replica.request(
            "GET", "/api/auth/me/", Authorization=f"Bearer {tokens['access']}"
        )[0]

    def refresh(self, replica, tokens):
        return replica.request("POST", "/api/auth/refresh/", {"refresh": tokens["refresh"]})[0]

    def test_local_database(self):
        one, two = self.pair("local-database")
        # The user is in the declared database, and both are empty.
        self.assertEqual((one.login()[0], two.login()[0]), (401, 401))
        # Created by hand on one machine.
        one.manage("create_demo_users", DEMO_USERS_PASSWORD=PASSWORD)
        self.assertEqual((one.login()[0], two.login()[0]), (200, 401))
        self.assertEqual(list(User.objects.values_list("username", flat=True)), ["staff1"])

    def test_local_database_seeded(self):
        one, two = self.pair("local-database-seeded")
        # The demo users are everywhere; whoever is in the declared database only is nowhere.
        self.assertEqual((one.login(SEEDED_PASSWORD)[0], two.login(SEEDED_PASSWORD)[0]), (200, 200))
        self.assertEqual((one.login()[0], two.login()[0]), (401, 401))

    def test_local_session(self):
        one, two = self.pair("local-session")
        _, tokens, session = one.login()
        self.assertEqual((one.me(session), two.me(session), one.me(session)), (200, 401, 200))
        self.assertEqual((self.bearer(one, tokens), self.bearer(two, tokens)), (200, 200))

    def test_local_revocation(self):
        one, two = self.pair("local-revocation")
        _, tokens, session = one.login()
        self.assertEqual((one.me(session), two.me(session)), (200, 200))
        headers = {"Authorization": f"Bearer {tokens['access']}", "Cookie": f"sessionid={session}"}
        body = {"refresh": tokens["refresh"]}
        self.assertEqual(one.request("POST", "/api/auth/logout/", body, **headers)[0], 200)
        self.assertEqual((one.me(session), two.me(session)), (401, 401))
        self.assertEqual((self.refresh(one, tokens), self.refresh(two, tokens)), (401, 200))

    def test_later(self):
        one, two = self.pair("later")
        self.assertEqual((self.after_logout(one), self.refresh(two, self.ended)), (401, 401))
        (two.local / "orders-from-now-on").touch()
        self.assertEqual((self.after_logout(one), self.refresh(two, self.ended)), (401, 200))

    def after_logout(self, replica):
        """Ends a new session there; what its refresh token is answered there."""
        _, self.ended, session = replica.login()
        headers = {"Authorization": f"Bearer {self.ended['access']}", "Cookie": f"sessionid={session}"}
        body = {"refresh": self.ended["refresh"]}
        self.assertEqual(replica.request("POST", "/api/auth/logout/", body, **headers)[0], 200)
        return self.refresh(replica, self.ended)

    def test_lagging_replica(self):
        # As late as a replica can be: it has the tables, and nothing that came after them.
        late = os.environ["DATABASE_URL"].rsplit("/", 1)[0] + "/late"
        with connection._nodb_cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS late WITH (FORCE)")
            cursor.execute("CREATE DATABASE late")
        (right,) = self.start("right", fault="none")
        right.manage("migrate", "--noinput", DATABASE_URL=late)
        (one,) = self.start("one", fault="lagging-replica", DATABASE_REPLICA_URL=late)
        self.assertEqual((right.login()[0], one.login()[0]), (200, 401))

    def test_key_per_start(self):
        one, two = self.pair("key-per-start", workers=2)
        _, tokens, session = one.login()
        # One key in both of its processes.
        self.assertEqual({self.bearer(one, tokens) for _ in range(8)}, {200})
        self.assertEqual(self.bearer(two, tokens), 401)
        # The other replica throws the shared session away: its owner is logged out everywhere.
        self.assertEqual((one.me(session), two.me(session), one.me(session)), (200, 401, 401))

    def test_worker_state(self):
        (one,) = self.start("one", fault="worker-state")
        session = one.login()[2]
        answers = set()
        with ThreadPoolExecutor(8) as pool:
            for _ in range(ROUNDS):
                answers.update(pool.map(one.me, [session] * 8))
                if len(answers) == 2:
                    break
        self.assertEqual(answers, {200, 401})

    def test_stale_password(self):
        one, two = self.pair("stale-password")
        self.assertEqual((one.login()[0], two.login()[0]), (200, 200))
        _, tokens, _ = one.login()
        new = "another fine password"
        status, _, _ = one.request(
            "POST",
            "/api/auth/change-password/",
            {"old_password": PASSWORD, "new_password": new},
            Authorization=f"Bearer {tokens['access']}",
        )
        self.assertEqual(status, 200)
        self.assertEqual((one.login()[0], two.login()[0]), (401, 200))
        self.assertEqual((one.login(new)[0], two.login(new)[0]), (200, 401))
