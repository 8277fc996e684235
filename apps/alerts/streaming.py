"""Events on record go to their account's ``alerts`` channel, in order and at least once."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.db import transaction
from django.utils import timezone

from apps.alerts.channels import ALERTS
from apps.alerts.delivery import message_of
from apps.alerts.formats import envelope
from apps.alerts.models import Event
from apps.core.jsonout import dumps
from apps.core.logs import get_logger
from apps.core.redis import sync_redis
from apps.feed.writer import BlockingFeedWriter

_BATCH: Final = 200
_log = get_logger(__name__)


@transaction.atomic
def events_stream() -> int:
    """Those that were not streamed yet; marked in one transaction with the writing."""
    waiting = list(
        Event.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(streamed_at=None)
        .select_related("account__plan")
        .order_by("pk")[:_BATCH]
    )
    if not waiting:
        return 0
    told = [
        entry
        for event in waiting
        if event.account.plan.has_websocket and (entry := _entry(event)) is not None
    ]
    _writer().append_many(told)
    Event.objects.filter(pk__in=[one.pk for one in waiting]).update(streamed_at=timezone.now())
    return len(told)


def _entry(event: Event) -> tuple[str, bytes, int, bytes] | None:
    """None for what cannot be written: it keeps no other event waiting."""
    try:
        body = dumps(envelope(message_of(event)))
    except Exception:
        _log.exception("event_unwritable", event_id=event.event_id, type=event.type)
        return None
    moment_ms = int(event.occurred_at.timestamp() * 1000)
    return f"{ALERTS.name}@{event.account_id}", body, moment_ms, b""


@lru_cache(maxsize=1)
def _writer() -> BlockingFeedWriter:
    return BlockingFeedWriter(sync_redis())
