"""What keys say about a person, and how they end with the account."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import Account, User
from apps.keys.models import ApiKey
from apps.keys.services import keys_revoke_all


def keys_exported(user: User) -> list[dict[str, Any]]:
    """The account's keys as the account page shows them; never a secret, which we do not have."""
    if user.account_id is None:
        return []
    fields = (
        *("name", "prefix", "environment", "layers", "channels", "allowed_ips"),
        *("created_at", "last_used_at", "expires_at", "revoked_at", "revoked_reason"),
        *("warned_at", "suspended_until"),
    )
    return list(ApiKey.objects.filter(account_id=user.account_id).values(*fields))


def keys_erased(account: Account) -> None:
    keys_revoke_all(account_id=account.pk, reason="account closed")
    ApiKey.objects.filter(account=account).update(name="deleted", allowed_ips=[])
