"""Two real server processes on one database and one cache."""

import json
import os
import signal
import socket

from tests.client import PASSWORD
from tests.replica import HEADERS, ReplicaTestCase


class ReplicaTests(ReplicaTestCase):
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
