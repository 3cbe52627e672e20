"""Who sees and decides what."""

from orders.models import Order
from tests.client import AppTestCase, browser


class OrderTests(AppTestCase):
    def setUp(self):
        super().setUp()
        self.with_roles("staff")
        self.with_roles("manager", "staff", username="manager1")
        self.with_roles("finance", username="finance1")
        self.staff, self.manager, self.finance = (
            self.as_user(name) for name in ("staff1", "manager1", "finance1")
        )

    def as_user(self, username):
        access = self.login(browser(), username).json()["access"]
        return browser(HTTP_AUTHORIZATION=f"Bearer {access}")

    def create(self, client, amount="12.50"):
        return client.post(
            "/api/orders/", {"description": "Paper", "amount": amount}, format="json"
        )

    def step(self, client, order, name):
        return client.post(f"/api/orders/{order}/{name}/")

    def test_staff_see_their_own_and_managers_all(self):
        order = self.create(self.staff).json()
        self.assertEqual((order["owner"], order["status"]), ("staff1", "pending"))
        other = self.create(self.manager).json()["id"]
        self.assertEqual(self.staff.get("/api/orders/").json()["count"], 1)
        self.assertEqual(self.manager.get("/api/orders/").json()["count"], 2)
        self.assertEqual(self.staff.get(f"/api/orders/{other}/").status_code, 404)
        self.assertEqual(browser().get("/api/orders/").status_code, 401)

    def test_from_order_to_payment(self):
        order = self.create(self.staff).json()["id"]
        self.assertEqual(self.step(self.staff, order, "approve").status_code, 403)
        self.assertEqual(self.step(self.finance, order, "pay").status_code, 409)
        approved = self.step(self.manager, order, "approve")
        self.assertEqual(approved.json()["decided_by"], "manager1")
        self.assertEqual(self.step(self.manager, order, "reject").status_code, 409)
        self.assertEqual(self.step(self.finance, order, "pay").json()["status"], "paid")

    def test_nobody_approves_their_own(self):
        order = self.create(self.manager).json()["id"]
        self.assertEqual(self.step(self.manager, order, "approve").status_code, 403)
        self.assertEqual(Order.objects.get(pk=order).status, "pending")

    def test_amounts_are_positive(self):
        self.assertEqual(self.create(self.staff, "0").status_code, 400)
        self.assertEqual(self.create(self.staff, "-1").status_code, 400)

    def test_writing_by_session_needs_the_csrf_token(self):
        self.login()
        self.assertEqual(self.create(self.client).status_code, 403)
        token = self.client.cookies["csrftoken"].value
        answer = self.client.post(
            "/api/orders/",
            {"description": "Paper", "amount": "1"},
            format="json",
            HTTP_X_CSRFTOKEN=token,
        )
        self.assertEqual(answer.status_code, 201)
