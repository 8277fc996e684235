"""Reading keys. Every function that serves a customer takes the account and sees nothing beyond it."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db.models import QuerySet

from apps.accounts.models import User
from apps.keys.models import ApiKey
from apps.keys.records import record_of
from apps.tiers.key_record import KeyRecord

PAGE: Final = "page:"


def keys_of_account(account_id: int) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(account_id=account_id)


def key_of_account(account_id: int, key_id: int) -> ApiKey:
    """Raises ``ApiKey.DoesNotExist`` for another account's key as for none."""
    return ApiKey.objects.get(account_id=account_id, pk=key_id)


def key_record(key_hash: str) -> KeyRecord | None:
    """The key's record straight from PostgreSQL."""
    key = ApiKey.objects.select_related("account__plan").filter(sha256=key_hash).first()
    return None if key is None else record_of(key)


def page_record(user_id: int) -> KeyRecord | None:
    """What a signed-in page may open: all that its account's plan has, as a key without restrictions."""
    users = User.objects.select_related("account__plan")
    user = users.filter(pk=user_id, is_active=True).first()
    if user is None or user.account is None:
        return None
    page = ApiKey(
        pk=0, account=user.account, environment=settings.KEY_ENVIRONMENT, sha256=page_name(user_id)
    )
    return record_of(page)


def page_name(user_id: int) -> str:
    """Stands where a key has its hash; no hash looks like it."""
    return f"{PAGE}{user_id}"
