"""What webhooks say about a person, and how they end with the account."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import Account, User
from apps.alerts.models import AlertRule, Event, Webhook


def webhooks_exported(user: User) -> list[dict[str, Any]]:
    """The account's webhooks as their page shows them; never a secret."""
    if user.account_id is None:
        return []
    fields = ("name", "url_shown", "format", "events", "assets", "is_enabled", "created_at")
    return list(Webhook.objects.filter(account_id=user.account_id).values(*fields))


def alerts_exported(user: User) -> list[dict[str, Any]]:
    if user.account_id is None:
        return []
    fields = ("name", "condition", "cooldown_s", "is_enabled", "created_at")
    return list(AlertRule.objects.filter(account_id=user.account_id).values(*fields))


def alerts_erased(account: Account) -> None:
    AlertRule.objects.filter(account=account).delete()


def webhooks_erased(account: Account) -> None:
    Webhook.objects.filter(account=account).delete()
    Event.objects.filter(account=account).delete()
