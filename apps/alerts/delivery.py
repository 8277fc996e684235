"""Claim what is due, send it, write down how it went: at least once, three times in half an hour, then off.

A claim is a lease: the worker that dies with it loses it, and the delivery goes out again under the same
``webhook-id``. Nothing is sent inside a transaction.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.letters import letter_send
from apps.alerts.formats import Message, body_of
from apps.alerts.models import Attempt, Delivery, Event
from apps.alerts.registry import by_name
from apps.alerts.sender import Outcome, Post, Sender, sends
from apps.alerts.signing import signed_headers
from apps.alerts.webhooks import secrets_of, url_of, webhook_disable
from apps.core.logs import get_logger

RETRY_DELAYS: Final = (timedelta(minutes=10), timedelta(minutes=20))
"""After the first and the second attempt; the third is the last, half an hour after the first."""
BATCH: Final = 20
# Longer than a whole batch takes.
LEASE: Final = timedelta(seconds=60)
_log = get_logger(__name__)


def default_sender() -> Sender:
    return Sender(allow_loopback=settings.WEBHOOKS_ALLOW_LOOPBACK)


def deliver_due(now: datetime, sender: Sender | None = None) -> int:
    """One batch; returns how many were sent."""
    claimed = claim_due(now)
    if not claimed:
        return 0
    ready = [(one, post) for one in claimed if (post := _post_or_fail(one)) is not None]
    outcomes = sends(sender or default_sender(), [post for _, post in ready])
    for (delivery, _), outcome in zip(ready, outcomes, strict=True):
        outcome_record(delivery, outcome)
    return len(claimed)


def _post_or_fail(delivery: Delivery) -> Post | None:
    """None for what cannot be written: it alone fails, and what was claimed with it is sent."""
    try:
        return post_of(delivery)
    except Exception as error:
        _log.exception("webhook_unwritable", delivery=delivery.pk, type=delivery.event.type)
        _fail(delivery, f"not sent: we could not write this event ({type(error).__name__})")
    return None


@transaction.atomic
def _fail(delivery: Delivery, reason: str) -> None:
    """Our fault: no repetition helps and the webhook stays on; it can be sent again once it is mended."""
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    Attempt.objects.create(delivery=locked, at=timezone.now(), error=reason[:200])
    locked.claim = locked.claimed_until = None
    locked.attempts += 1
    locked.status, locked.note = Delivery.Status.FAILED, reason[:200]
    locked.save()


@transaction.atomic
def claim_due(now: datetime) -> list[Delivery]:
    """Deliveries that are ours until the lease ends; others pass them by."""
    due = (
        Delivery.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(status=Delivery.Status.PENDING, due_at__lte=now)
        .exclude(claimed_until__gt=now)
        .order_by("due_at", "pk")[:BATCH]
    )
    token = uuid.uuid4()
    keys = [one.pk for one in due]
    Delivery.objects.filter(pk__in=keys).update(claim=token, claimed_until=now + LEASE)
    found = Delivery.objects.filter(pk__in=keys).select_related("event", "webhook__account__plan")
    return list(found.order_by("pk"))


def post_of(delivery: Delivery) -> Post:
    """The signed request of a delivery, as of now."""
    event, hook = delivery.event, delivery.webhook
    url = url_of(hook)
    body = body_of(message_of(event), hook.format, url)
    timestamp_s = int(timezone.now().timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "FOCSAL-Webhooks/1",
        **signed_headers(secrets_of(hook), event.event_id, timestamp_s, body),
    }
    return Post(url, body, headers)


def message_of(event: Event) -> Message:
    event_type = by_name(event.type)
    return Message(
        event_id=event.event_id,
        type=event.type,
        occurred_at=event.occurred_at,
        data=event.data,
        title=event.type if event_type is None else event_type.title,
        is_test=event.is_test,
    )


@transaction.atomic
def outcome_record(delivery: Delivery, outcome: Outcome) -> None:
    """What came of an attempt. A claim that has run out is another worker's by now."""
    now = timezone.now()
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    Attempt.objects.create(
        delivery=locked,
        at=now,
        status_code=outcome.status_code,
        error=outcome.error[:200],
        latency_ms=outcome.latency_ms,
    )
    if locked.claim != delivery.claim:
        return
    locked.claim = locked.claimed_until = None
    locked.attempts += 1
    if outcome.is_delivered:
        locked.status, locked.delivered_at, locked.note = Delivery.Status.DELIVERED, now, ""
        locked.save()
        return
    locked.note = outcome.text[:200]
    is_last = locked.attempts > len(RETRY_DELAYS) or outcome.is_gone
    if locked.event.is_test:
        # Whoever tries a webhook looks at the answer; nothing is repeated or switched off.
        locked.status = Delivery.Status.FAILED
    elif is_last:
        locked.status = Delivery.Status.FAILED
    else:
        locked.due_at = now + RETRY_DELAYS[locked.attempts - 1]
    locked.save()
    if is_last and not locked.event.is_test:
        _give_up(locked)


def _give_up(delivery: Delivery) -> None:
    hook = delivery.webhook
    if not webhook_disable(hook, delivery.note):
        return
    _log.info("webhook_disabled", webhook=hook.pk, account=hook.account_id)
    letter_send(
        hook.account,
        "webhook_disabled",
        webhook=hook,
        reason=delivery.note,
        attempts=delivery.attempts,
    )
