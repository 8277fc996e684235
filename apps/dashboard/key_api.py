"""The same for programs of the signed-in user: session cookie and CSRF token, never an API key.

A key that could make keys would turn one leak into many.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NoReturn, cast

from django.conf import settings
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.models import Account, User
from apps.alerts.idempotency import ShownOnce, answered_once
from apps.core.clock import iso_moment
from apps.core.errors import InvalidParameter, MissingApiKey, NotFound, PermissionDenied
from apps.dashboard import key_schema
from apps.keys.models import ApiKey
from apps.keys.selectors import key_of_account, keys_of_account
from apps.keys.services import CreatedKey, key_create, key_revoke, key_roll

KEPT: Final = timedelta(minutes=10)
_ONCE: Final = ShownOnce(KEPT, lambda answer: f"key {answer['id']} ({answer['prefix']}…)")


class Text(serializers.CharField):
    """JSON text alone: a number is no name."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("expected text.")
        return str(super().to_internal_value(data))


class WholeNumber(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            raise serializers.ValidationError("expected a whole number.")
        return data


class NewKey(serializers.Serializer[Any]):
    name = Text(max_length=80)
    layers = serializers.ListField(child=Text(max_length=2), default=list)
    channels = serializers.ListField(child=Text(max_length=40), default=list)
    allowed_ips = serializers.ListField(child=Text(max_length=43), default=list)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class Roll(serializers.Serializer[Any]):
    grace_hours = WholeNumber(default=0, min_value=0, max_value=168)


class AccountView(APIView):
    authentication_classes = (SessionAuthentication,)
    permission_classes = (IsAuthenticated,)

    def permission_denied(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise MissingApiKey(
            "Keys are managed by whoever is signed in, with the session cookie; a key makes no keys."
        )

    def account(self) -> Account:
        account = cast(User, self.request.user).account
        if account is None:
            raise PermissionDenied("This user belongs to no customer account.")
        return account

    def key(self, key_id: int) -> ApiKey:
        try:
            return key_of_account(self.account().pk, key_id)
        except ApiKey.DoesNotExist:
            raise NotFound("No such key.") from None

    def made_once(self, account: Account, work: Callable[[], CreatedKey]) -> HttpResponse:
        """The new key; with an Idempotency-Key it is made once, and shown again for minutes."""

        def shown() -> tuple[int, dict[str, Any]]:
            created = work()
            return 201, {**_shown(created.key), "key": created.plaintext}

        user = cast(User, self.request.user)
        return answered_once(
            self.request._request, account, shown, asker=f"user {user.pk} ", shown_once=_ONCE
        )


class KeyList(AccountView):
    @key_schema.key_list
    def get(self, request: Request) -> Response:
        return Response({"data": [_shown(key) for key in keys_of_account(self.account().pk)]})

    @key_schema.key_create
    def post(self, request: Request) -> HttpResponse:
        account = self.account()

        def work() -> CreatedKey:
            return key_create(
                account=account,
                environment=settings.KEY_ENVIRONMENT,
                created_by=cast(User, request.user),
                **_validated(NewKey, request),
            )

        return self.made_once(account, work)


class KeyDetail(AccountView):
    @key_schema.key_show
    def get(self, request: Request, key_id: int) -> Response:
        return Response(_shown(self.key(key_id)))

    @key_schema.key_revoke
    def delete(self, request: Request, key_id: int) -> Response:
        key = self.key(key_id)
        revoked = key_revoke(
            account_id=key.account_id, key_id=key.pk, reason="revoked by its owner"
        )
        return Response(_shown(revoked))


class KeyRoll(AccountView):
    @key_schema.key_roll
    def post(self, request: Request, key_id: int) -> HttpResponse:
        key = self.key(key_id)

        def work() -> CreatedKey:
            hours = _validated(Roll, request)["grace_hours"]
            return key_roll(
                account_id=key.account_id,
                key_id=key.pk,
                created_by=cast(User, request.user),
                grace=timedelta(hours=hours),
            )

        return self.made_once(key.account, work)


def _validated(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise InvalidParameter("body: expected a JSON object.", param="body")
    unknown = sorted(set(request.data) - set(form().fields))
    if unknown:
        raise InvalidParameter(f"{unknown[0][:40]}: not a field of this request.", param="body")
    given = form(data=request.data)
    if not given.is_valid():
        field, problems = next(iter(given.errors.items()))
        raise InvalidParameter(f"{field}: {_first(problems)}", param=str(field))
    return dict(given.validated_data)


def _first(problems: Any) -> str:
    while isinstance(problems, dict | list) and problems:
        problems = next(iter(problems.values())) if isinstance(problems, dict) else problems[0]
    return str(problems)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix,
        "environment": key.environment,
        "layers": key.layers,
        "channels": key.channels,
        "allowed_ips": key.allowed_ips,
        "is_active": key.is_active,
        "created_at": iso_moment(key.created_at),
        "last_used_at": iso_moment(key.last_used_at),
        "expires_at": iso_moment(key.expires_at),
        "superseded_at": iso_moment(key.superseded_at),
        "suspended_until": iso_moment(key.suspended_until),
        "revoked_at": iso_moment(key.revoked_at),
        "revoked_reason": key.revoked_reason or None,
    }
