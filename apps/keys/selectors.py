"""Reading keys. Every function that serves a customer takes the account and sees nothing beyond it."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

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


def page_record(user_id: int, session_key: str) -> KeyRecord | None:
    """What a signed-in page may open: all that its account's plan has, as a key without restrictions.

    None when the session has ended, or the password or the user's standing has changed since.
    """
    users = User.objects.select_related("account__plan")
    user = users.filter(pk=user_id, is_active=True).first()
    if user is None or user.account is None or not _is_signed_in(user, session_key):
        return None
    page = ApiKey(
        pk=0,
        account=user.account,
        environment=settings.KEY_ENVIRONMENT,
        sha256=page_name(user_id, session_key),
    )
    return record_of(page)


def page_name(user_id: int, session_key: str) -> str:
    """Stands where a key has its hash; no hash looks like it. Secret, for it holds the session's key."""
    return f"{PAGE}{user_id}:{session_key}"


def page_of(name: str) -> tuple[int, str]:
    """User and session of a ``page_name``."""
    user_id, _, session_key = name.removeprefix(PAGE).partition(":")
    return int(user_id), session_key


def _is_signed_in(user: User, session_key: str) -> bool:
    if not session_key:
        return False
    session = import_module(settings.SESSION_ENGINE).SessionStore(session_key).load()
    told = session.get(HASH_SESSION_KEY, "")
    return session.get(SESSION_KEY) == str(user.pk) and any(
        constant_time_compare(told, known)
        for known in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    )
