"""What clients may send to the auth endpoints."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as PasswordRejected
from django.db import transaction
from rest_framework import serializers
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken
from rest_framework_simplejwt.utils import get_md5_hash_password

from accounts.models import User


class LoginSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class RefreshSerializer(TokenRefreshSerializer):
    """SimpleJWT's rotation, made safe for replicas.

    Two requests with one token may reach two replicas at once: the lock lets the
    first rotate it and the second find it blacklisted. And a token whose user is
    gone, or whose password has changed, is refused instead of failing with a 500.
    """

    @transaction.atomic
    def validate(self, attrs):
        claims = RefreshToken(attrs["refresh"])
        OutstandingToken.objects.select_for_update().filter(
            jti=claims[jwt_settings.JTI_CLAIM]
        ).first()
        user = User.objects.filter(pk=claims.get(jwt_settings.USER_ID_CLAIM)).first()
        if user is None or claims.get(jwt_settings.REVOKE_TOKEN_CLAIM) != get_md5_hash_password(
            user.password
        ):
            raise InvalidToken("Token is invalid or expired")
        return super().validate(attrs)


class LogoutSerializer(serializers.Serializer):
    """The refresh token to end. With a session alone it may be left out."""

    refresh = serializers.CharField(required=False)

    def validate_refresh(self, raw):
        try:
            token = RefreshToken(raw)
        except TokenError as error:
            raise serializers.ValidationError("Token is invalid or expired") from error
        if str(token.get(jwt_settings.USER_ID_CLAIM)) != str(self.context["request"].user.pk):
            raise serializers.ValidationError("Token belongs to another user")
        return token

    def validate(self, attrs):
        request = self.context["request"]
        if "refresh" not in attrs and request.auth is not None:
            # A bearer token has no session to end: nothing would be logged out.
            raise serializers.ValidationError({"refresh": ["This field is required."]})
        return attrs


class ChangePasswordSerializer(serializers.Serializer):
    old_password = serializers.CharField(max_length=1024, trim_whitespace=False)
    new_password = serializers.CharField(max_length=1024, trim_whitespace=False)

    def validate_old_password(self, value):
        if not self.context["request"].user.check_password(value):
            raise serializers.ValidationError("The password is wrong.")
        return value

    def validate_new_password(self, value):
        try:
            validate_password(value, self.context["request"].user)
        except PasswordRejected as error:
            raise serializers.ValidationError(error.messages) from error
        return value
