"""Reading keys. Every function that serves a customer takes the account and sees nothing beyond it."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.keys.models import ApiKey
from apps.keys.records import record_of
from apps.tiers.key_record import KeyRecord


def keys_of_account(account_id: int) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(account_id=account_id)


def key_of_account(account_id: int, key_id: int) -> ApiKey:
    """Raises ``ApiKey.DoesNotExist`` for another account's key as for none."""
    return ApiKey.objects.get(account_id=account_id, pk=key_id)


def key_record(key_hash: str) -> KeyRecord | None:
    """The key's record straight from PostgreSQL."""
    key = ApiKey.objects.select_related("account__plan").filter(sha256=key_hash).first()
    return None if key is None else record_of(key)
