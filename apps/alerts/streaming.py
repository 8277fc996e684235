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
from apps.core.redis import sync_redis
from apps.feed.writer import BlockingFeedWriter

_BATCH: Final = 200


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
    told = [event for event in waiting if event.account.plan.has_websocket]
    _writer().append_many(
        [
            (
                f"{ALERTS.name}@{event.account_id}",
                dumps(envelope(message_of(event))),
                int(event.occurred_at.timestamp() * 1000),
                b"",
            )
            for event in told
        ]
    )
    Event.objects.filter(pk__in=[one.pk for one in waiting]).update(streamed_at=timezone.now())
    return len(told)


@lru_cache(maxsize=1)
def _writer() -> BlockingFeedWriter:
    return BlockingFeedWriter(sync_redis())
