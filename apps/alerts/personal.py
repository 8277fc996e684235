"""What webhooks say about a person, and how they end with the account."""

from __future__ import annotations

from typing import Any, Final

from apps.accounts.models import Account, User
from apps.alerts.models import AlertFire, AlertRule, Event, IdempotencyRecord, Webhook

_EXPORTED_ROWS: Final = 10_000


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


def fires_exported(user: User) -> list[dict[str, Any]]:
    if user.account_id is None:
        return []
    fires = AlertFire.objects.filter(rule__account_id=user.account_id)
    return [dict(row) for row in fires.values("rule__name", "at", "values")[:_EXPORTED_ROWS]]


def deliveries_exported(user: User) -> list[dict[str, Any]]:
    """What was told and how telling went, the newest first."""
    if user.account_id is None:
        return []
    told = Event.objects.filter(account_id=user.account_id).order_by("-pk")
    fields = ("event_id", "type", "asset", "data", "occurred_at")
    how = ("deliveries__webhook__name", "deliveries__status", "deliveries__delivered_at")
    return list(told.values(*fields, *how)[:_EXPORTED_ROWS])


def alerts_erased(account: Account) -> None:
    AlertRule.objects.filter(account=account).delete()


def webhooks_erased(account: Account) -> None:
    Webhook.objects.filter(account=account).delete()
    Event.objects.filter(account=account).delete()
    # Answers of a day ago may hold a webhook's secret and address.
    IdempotencyRecord.objects.filter(account=account).delete()
