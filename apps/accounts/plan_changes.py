"""Changes of a plan that its customers hear of 30 days before they come into force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import Signal
from django.utils.translation import gettext_noop as _

from apps.accounts.letters import letter_send
from apps.accounts.models import Account
from apps.tiers.models import Plan, PlanChange

NOTICE: Final = timedelta(days=30)
PRICE: Final = "price_usd_month"
FIELDS: Final[dict[str, str]] = {
    PRICE: _("Price, USD a month"),
    "quota_day": _("Calls a day"),
    "quota_month": _("Calls a month"),
    "rate_per_minute": _("Requests a minute and key"),
    "max_keys": _("API keys"),
    "max_sockets": _("WebSocket connections"),
    "max_subscriptions_per_socket": _("Subscriptions a connection"),
    "usage_log_days": _("Usage log, days"),
    "layers": _("Layers"),
    "has_websocket": _("WebSocket"),
}
announced: Final = Signal()
"""Sent with ``change`` in the transaction that announces it: whoever charges for plans notes who was told."""


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
    if trial.price_usd_month < 0:
        raise ValidationError(
            {"changes": f"Expected a price of 0 or more, received {changes[PRICE]}."}
        )
    return dict(changes)


def plan_change_announce(change: PlanChange, now: datetime) -> None:
    """Write to every customer of the plan. Raises ``ValidationError`` when it comes too soon."""
    changes = changes_checked(change.plan, change.changes)
    if change.effective_at < now + NOTICE:
        raise ValidationError({"effective_at": f"Expected {now + NOTICE:%Y-%m-%d %H:%M} or later."})
    rows = _rows(change.plan, changes)
    with transaction.atomic():
        for account in Account.objects.filter(plan=change.plan).iterator(chunk_size=500):
            plan_change_write(account, change, rows, change.effective_at)
        change.announced_at = now
        change.save()
        announced.send(sender=PlanChange, change=change)


def plan_change_write(
    account: Account, change: PlanChange, rows: Sequence[ChangedField], effective_at: datetime
) -> None:
    """The letter, in both languages: what is, what will be, and from which day."""
    letter_send(
        account,
        "plan_change",
        plan=change.plan,
        rows=rows,
        reason=change.reason,
        effective_at=effective_at,
        has_price=any(row.label == FIELDS[PRICE] for row in rows),
    )


def price_row(before: Decimal, after: Decimal) -> ChangedField:
    return ChangedField(FIELDS[PRICE], _shown(PRICE, before), _shown(PRICE, after))


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
        ChangedField(FIELDS[name], _shown(name, getattr(plan, name)), _shown(name, value))
        for name, value in changes.items()
    ]


def _shown(name: str, value: Any) -> str:
    if name == PRICE:
        return f"{Decimal(str(value)):.2f}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
