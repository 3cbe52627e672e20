from django.urls import include, path

from config import health

urlpatterns = [
    path("health/", health.live),
    path("health/ready/", health.ready),
    path("api/auth/", include("accounts.urls")),
    path("api/orders/", include("orders.urls")),
]
