"""Changes of a plan that its customers hear of 30 days before they come into force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.letters import letter_send
from apps.accounts.models import Account
from apps.tiers.models import Plan, PlanChange

NOTICE: Final = timedelta(days=30)
FIELDS: Final[dict[str, str]] = {
    "price_usd_month": "Price, USD a month",
    "quota_day": "Calls a day",
    "quota_month": "Calls a month",
    "rate_per_minute": "Requests a minute and key",
    "max_keys": "API keys",
    "max_sockets": "WebSocket connections",
    "max_subscriptions_per_socket": "Subscriptions a connection",
    "usage_log_days": "Usage log, days",
    "layers": "Layers",
    "has_websocket": "WebSocket",
}


@dataclass(frozen=True, slots=True)
class ChangedField:
    label: str
    before: str
    after: str


def changes_checked(plan: Plan, changes: Any) -> dict[str, Any]:
    """The changes as the plan would take them; raises ``ValidationError`` that names what is wrong."""
    if not isinstance(changes, Mapping) or not changes:
        raise ValidationError({"changes": f"Expected an object with any of {', '.join(FIELDS)}."})
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise ValidationError({"changes": f"Expected fields of a plan, received {unknown}."})
    trial = Plan.objects.get(pk=plan.pk)
    for name, value in changes.items():
        setattr(trial, name, value)
    try:
        trial.full_clean()
    except ValidationError as error:
        raise ValidationError({"changes": "; ".join(error.messages)}) from error
    return dict(changes)


def plan_change_announce(change: PlanChange, now: datetime) -> None:
    """Write to every customer of the plan. Raises ``ValidationError`` when it comes too soon."""
    changes = changes_checked(change.plan, change.changes)
    if change.effective_at < now + NOTICE:
        raise ValidationError({"effective_at": f"Expected {now + NOTICE:%Y-%m-%d %H:%M} or later."})
    rows = _rows(change.plan, changes)
    with transaction.atomic():
        for account in Account.objects.filter(plan=change.plan).iterator(chunk_size=500):
            letter_send(
                account,
                "plan_change",
                plan=change.plan,
                rows=rows,
                reason=change.reason,
                effective_at=change.effective_at,
            )
        change.announced_at = now
        change.save()


def plan_changes_apply(now: datetime) -> int:
    """Bring announced changes into force whose time has come; keys follow at once."""
    due = PlanChange.objects.filter(
        announced_at__isnull=False, applied_at__isnull=True, effective_at__lte=now
    )
    applied = 0
    for change_id in due.order_by("effective_at").values_list("pk", flat=True):
        with transaction.atomic():
            change = PlanChange.objects.select_for_update().get(pk=change_id)
            if change.applied_at is not None:
                continue
            plan = Plan.objects.select_for_update().get(pk=change.plan_id)
            for name, value in change.changes.items():
                setattr(plan, name, value)
            plan.full_clean()
            plan.save()
            change.applied_at = now
            change.save(update_fields=["applied_at"])
            applied += 1
    return applied


def _rows(plan: Plan, changes: Mapping[str, Any]) -> list[ChangedField]:
    return [
        ChangedField(FIELDS[name], _shown(getattr(plan, name)), _shown(value))
        for name, value in changes.items()
    ]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
