"""Login, refresh, me, logout, and what holds after each."""

from unittest import mock

from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from accounts.models import User
from tests.client import PASSWORD, AppTestCase, browser


class LoginTests(AppTestCase):
    def test_gives_tokens_and_a_session_that_both_work(self):
        self.with_roles("staff", "manager")
        answer = self.login()
        self.assertEqual(answer.status_code, 200, answer.content)
        self.assertEqual(set(answer.json()), {"access", "refresh"})
        expected = {"username": "staff1", "roles": ["manager", "staff"]}
        self.assertEqual(self.me().json(), expected)
        self.assertEqual(self.me(browser(), answer.json()["access"]).json(), expected)

    def test_cookies_are_for_https_and_this_site_only(self):
        cookies = self.login().cookies
        self.assertTrue(cookies["sessionid"]["secure"] and cookies["sessionid"]["httponly"])
        self.assertEqual(cookies["sessionid"]["samesite"], "Lax")
        self.assertTrue(cookies["csrftoken"]["secure"])

    def test_wrong_password_unknown_user_and_inactive_user_get_one_answer(self):
        User.objects.create_user("gone", "gone@example.com", PASSWORD, is_active=False)
        answers = [
            self.login(browser(), "staff1", "wrong"),
            self.login(browser(), "nobody", PASSWORD),
            self.login(browser(), "gone", PASSWORD),
        ]
        self.assertEqual([a.status_code for a in answers], [401, 401, 401])
        self.assertEqual(len({a.content for a in answers}), 1)
        self.assertNotIn("sessionid", answers[0].cookies)

    def test_other_sites_cannot_log_a_browser_in(self):
        self.assertEqual(self.login(browser(HTTP_ORIGIN="https://evil.example")).status_code, 403)
        trusted = {"HTTP_ORIGIN": "https://www.example.com"}
        self.assertEqual(self.login(browser(**trusted)).status_code, 200)

    def test_a_form_is_not_a_login(self):
        answer = self.client.post("/api/auth/login/", "username=a", content_type="text/plain")
        self.assertEqual(answer.status_code, 415)

    def test_an_invalid_token_beside_it_does_not_matter(self):
        self.assertEqual(self.login(browser(HTTP_AUTHORIZATION="Bearer x")).status_code, 200)


class MeTests(AppTestCase):
    def test_needs_a_credential(self):
        self.assertEqual(self.me(browser()).status_code, 401)

    def test_refuses_tampered_ones(self):
        access = self.login().json()["access"]
        head, body, signature = access.split(".")
        flipped = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
        self.assertEqual(self.me(browser(), f"{head}.{body}.{flipped}").status_code, 401)
        other = browser()
        other.cookies["sessionid"] = "0" * 32
        self.assertEqual(self.me(other).status_code, 401)

    def test_a_refresh_token_is_no_access_token(self):
        self.assertEqual(self.me(browser(), self.login().json()["refresh"]).status_code, 401)

    def test_an_unreachable_cache_is_an_outage_and_not_a_logout(self):
        self.login()
        with mock.patch("redis.Redis.get", side_effect=RedisConnectionError("down")):
            answer = self.me()
        self.assertEqual(answer.status_code, 503)
        self.assertNotIn("sessionid", answer.cookies)
        self.assertEqual(self.me().status_code, 200)


class RefreshTests(AppTestCase):
    def refresh(self, token):
        return browser().post("/api/auth/refresh/", {"refresh": token}, format="json")

    def test_rotates_and_refuses_the_old_one(self):
        first = self.login().json()["refresh"]
        answer = self.refresh(first)
        self.assertEqual(answer.status_code, 200, answer.content)
        self.assertEqual(self.me(browser(), answer.json()["access"]).status_code, 200)
        self.assertEqual(self.refresh(first).status_code, 401)
        self.assertEqual(self.refresh(answer.json()["refresh"]).status_code, 200)

    def test_is_refused_when_the_user_is_gone(self):
        refresh = self.login().json()["refresh"]
        self.user.delete()
        self.assertEqual(self.refresh(refresh).status_code, 401)


class LogoutTests(AppTestCase):
    def logout(self, client, refresh=None, access=None, csrf=None):
        extra = {"HTTP_AUTHORIZATION": f"Bearer {access}"} if access else {}
        if csrf:
            extra["HTTP_X_CSRFTOKEN"] = csrf
        body = {"refresh": refresh} if refresh else {}
        return client.post("/api/auth/logout/", body, format="json", **extra)

    def replay(self):
        """A client with the cookies of now, as they were before a logout clears them."""
        copy = browser()
        copy.cookies["sessionid"] = self.client.cookies["sessionid"].value
        return copy

    def test_by_token_and_cookie_ends_session_and_refresh_but_not_access(self):
        tokens = self.login().json()
        before = self.replay()
        answer = self.logout(self.client, tokens["refresh"], tokens["access"])
        self.assertEqual(answer.status_code, 200, answer.content)
        self.assertEqual(self.me(before).status_code, 401)
        refresh = browser().post("/api/auth/refresh/", {"refresh": tokens["refresh"]}, format="json")
        self.assertEqual(refresh.status_code, 401)
        self.assertEqual(self.me(browser(), tokens["access"]).status_code, 200)

    def test_by_session_needs_the_csrf_token(self):
        refresh = self.login().json()["refresh"]
        before = self.replay()
        self.assertEqual(self.logout(self.client, refresh).status_code, 403)
        self.assertEqual(self.me(before).status_code, 200)
        csrf = self.client.cookies["csrftoken"].value
        self.assertEqual(self.logout(self.client, refresh, csrf=csrf).status_code, 200)
        self.assertEqual(self.me(before).status_code, 401)
        self.assertEqual(BlacklistedToken.objects.count(), 1)

    def test_without_a_credential_or_with_nothing_to_end(self):
        self.assertEqual(self.logout(browser()).status_code, 401)
        access = self.login().json()["access"]
        self.assertEqual(self.logout(browser(), access=access).status_code, 400)

    def test_a_token_that_cannot_be_ended_leaves_the_session(self):
        tokens = self.login().json()
        self.assertEqual(self.logout(self.client, "x.y.z", tokens["access"]).status_code, 400)
        self.assertEqual(self.me().status_code, 200)

    def test_nobody_ends_the_token_of_another(self):
        User.objects.create_user("staff2", "staff2@example.com", PASSWORD)
        other = self.login(browser(), "staff2").json()
        mine = self.login().json()
        self.assertEqual(self.logout(browser(), other["refresh"], mine["access"]).status_code, 400)
        self.assertEqual(BlacklistedToken.objects.count(), 0)
