"""Login, refresh, me, logout, change of password.

A login gives both a session (for the browser) and tokens (for other clients).
"""

from django.conf import settings
from django.contrib.auth import (
    SESSION_KEY,
    authenticate,
    login,
    logout,
    update_session_auth_hash,
)
from django.db import transaction
from django.middleware.csrf import get_token
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.views import TokenRefreshView

from accounts.serializers import (
    ChangePasswordSerializer,
    LoginSerializer,
    LogoutSerializer,
    RefreshSerializer,
)


def token_pair(user):
    refresh = RefreshToken.for_user(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}


def require_own_origin(request):
    """Refuses a login that another site's page sent (login CSRF).

    There is no session yet that a CSRF token could belong to, so the Origin decides.
    Clients that aren't browsers send none.
    """
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    if origin is not None and origin != own and origin not in settings.CSRF_TRUSTED_ORIGINS:
        raise PermissionDenied("Origin checking failed: this origin is not trusted.")


class CsrfView(APIView):
    """The CSRF token, for a frontend that can't read our cookie."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def get(self, request):
        return Response({"csrfToken": get_token(request._request)})


class LoginView(APIView):
    # None: an expired token or an old session must not keep its owner from logging in.
    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request):
        require_own_origin(request)
        serializer = LoginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request._request, **serializer.validated_data)
        if user is None:
            # One answer for a wrong name and a wrong password.
            return Response(
                {"detail": "Wrong username or password."},
                status=401,
                headers={"WWW-Authenticate": 'Bearer realm="api"'},
            )
        with transaction.atomic():
            login(request._request, user)
            return Response(token_pair(user))


class RefreshView(TokenRefreshView):
    serializer_class = RefreshSerializer


class MeView(APIView):
    def get(self, request):
        return Response({"username": request.user.username, "roles": request.user.roles})


class LogoutView(APIView):
    """Ends the refresh token and the session that the request carries.

    The access token stays good until it expires: it is checked without a lookup.
    """

    def post(self, request):
        serializer = LogoutSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        # Both or neither: if the session can't be removed, the blacklisting rolls back.
        with transaction.atomic():
            if "refresh" in serializer.validated_data:
                serializer.validated_data["refresh"].blacklist()
            if request.session.get(SESSION_KEY) == str(request.user.pk):
                logout(request._request)
        return Response({"detail": "Logged out."})


class ChangePasswordView(APIView):
    """Ends every other session and every token of the user, on all replicas at once."""

    def post(self, request):
        serializer = ChangePasswordSerializer(data=request.data, context={"request": request})
        serializer.is_valid(raise_exception=True)
        user = request.user
        with transaction.atomic():
            user.set_password(serializer.validated_data["new_password"])
            user.save(update_fields=["password"])
            if request.session.get(SESSION_KEY) == str(user.pk):
                update_session_auth_hash(request._request, user)
            return Response(token_pair(user))
