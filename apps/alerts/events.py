"""Putting an event on record together with the deliveries that it needs: one transaction, so none is lost."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Account
from apps.alerts.models import Delivery, Event, Webhook
from apps.alerts.registry import by_name


def event_id_of(*parts: object) -> str:
    """The same for the same happening, however often it is told."""
    text = "\n".join(str(part) for part in parts)
    return "evt_" + hashlib.sha256(text.encode()).hexdigest()[:26]


def may_be_told(account: Account, type_name: str) -> bool:
    """Whether the account's plan has events of this type."""
    event_type = by_name(type_name)
    return event_type is not None and (
        not event_type.layer or event_type.layer in account.plan.layers
    )


@transaction.atomic
def event_record(
    account: Account,
    type_name: str,
    *,
    event_id: str,
    data: Mapping[str, Any],
    asset: str = "",
    occurred_at: datetime | None = None,
) -> Event | None:
    """Tell an account; None when it was told already or its plan does not have it."""
    if not may_be_told(account, type_name):
        return None
    event, is_new = Event.objects.get_or_create(
        account=account,
        event_id=event_id,
        defaults={
            "type": type_name,
            "asset": asset,
            "data": dict(data),
            "occurred_at": occurred_at or timezone.now(),
        },
    )
    if not is_new:
        return None
    now = timezone.now()
    hooks = Webhook.objects.filter(account=account, is_enabled=True)
    wanting = [hook for hook in hooks if wants(hook, type_name, asset)]
    Delivery.objects.bulk_create(
        [Delivery(event=event, webhook=hook, due_at=now) for hook in wanting]
    )
    _deliver_soon()
    return event


def wants(hook: Webhook, type_name: str, asset: str) -> bool:
    return (not hook.events or type_name in hook.events) and (
        not hook.assets or not asset or asset in hook.assets
    )


@transaction.atomic
def event_test(hook: Webhook, type_name: str, data: Mapping[str, Any] | None = None) -> Delivery:
    """The type's example (or ``data``) to one webhook, marked as a test."""
    event_type = by_name(type_name)
    if event_type is None:
        raise KeyError(type_name)
    event = Event.objects.create(
        account_id=hook.account_id,
        event_id="evt_" + secrets.token_hex(13),
        type=type_name,
        data=dict(event_type.example if data is None else data),
        is_test=True,
        occurred_at=timezone.now(),
        streamed_at=timezone.now(),
    )
    delivery = Delivery.objects.create(event=event, webhook=hook, due_at=timezone.now())
    _deliver_soon()
    return delivery


@transaction.atomic
def redeliver(delivery: Delivery) -> Delivery:
    """Send again what was delivered or has failed, with the same id; what is still on its way stays."""
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    if locked.status != Delivery.Status.PENDING:
        locked.status = Delivery.Status.PENDING
        locked.attempts = 0
        locked.note = ""
    locked.due_at = timezone.now()
    locked.save()
    _deliver_soon()
    return locked


def _deliver_soon() -> None:
    """Beat does it too, a moment later: a broker that is away loses nothing."""
    from apps.alerts.tasks import deliver_soon

    transaction.on_commit(deliver_soon, robust=True)
