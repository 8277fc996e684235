"""Periodic work on webhooks."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Final

from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.alerts.delivery import BATCH, deliver_due
from apps.alerts.evaluation import rules_look
from apps.alerts.idempotency import answers_forget
from apps.alerts.market_events import market_events_tell
from apps.alerts.models import Event, IdempotencyRecord
from apps.alerts.streaming import events_stream
from apps.core.logs import get_logger

_ROUNDS: Final = 5
# Receivers that let us wait never hold all threads of a worker: payments are worked off beside them.
_AT_ONCE: Final = threading.BoundedSemaphore(2)
_KEPT: Final = timedelta(days=30)
_REPEATABLE: Final = timedelta(hours=24)
_log = get_logger(__name__)


@shared_task(name="alerts.deliver", ignore_result=True)
def deliver() -> int:
    """At each event, and every few seconds for what is due again or a killed worker left behind."""
    if not _AT_ONCE.acquire(blocking=False):
        return 0
    try:
        return _deliver()
    finally:
        _AT_ONCE.release()


def _deliver() -> int:
    try:
        events_stream()
    except RedisError as error:
        _log.warning("alerts_stream_waits", error=type(error).__name__)
    sent = 0
    for _ in range(_ROUNDS):
        batch = deliver_due(timezone.now())
        sent += batch
        if batch < BATCH:
            break
    return sent


@shared_task(name="alerts.look", ignore_result=True)
def look() -> int:
    """Every two seconds: whatever snapshot is new."""
    try:
        return market_events_tell() + rules_look()
    except RedisError as error:
        # Without Redis nothing is published to it; what is new is looked at afterwards.
        _log.warning("alerts_look_redis_away", error=type(error).__name__)
        return 0


@shared_task(name="alerts.forget", ignore_result=True)
def forget() -> None:
    """Events with their deliveries after 30 days, answers to repeated requests after a day or minutes."""
    now = timezone.now()
    answers_forget()
    Event.objects.filter(created_at__lt=now - _KEPT).delete()
    IdempotencyRecord.objects.filter(created_at__lt=now - _REPEATABLE).delete()


def deliver_soon() -> None:
    """A broker that is away is no error: beat sends the task again."""
    try:
        deliver.apply_async(expires=10, retry=False)
    except OperationalError as error:
        _log.warning("deliver_waits_for_beat", error=type(error).__name__)
