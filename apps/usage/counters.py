"""Quota counters in Redis: refunds, and the rebuild from the usage log after a loss."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Q, Sum
from redis.exceptions import NoScriptError

from apps.core.logs import get_logger
from apps.core.redis import decisive_redis
from apps.tiers.limits import (
    ADMISSIONS_STREAM,
    AUTH_PREFIX,
    SENTINEL,
    WINDOW_S,
    load_script,
)
from apps.tiers.periods import (
    DAY_TTL_S,
    MONTH_TTL_S,
    day_counter,
    day_start,
    month_counter,
    month_start,
)
from apps.usage.events import AdmissionEvent, admission_events, moment
from apps.usage.models import UsageRequest
from apps.usage.store import COUNTERS_LOCK, Refund, admissions_insert

_REFUND_LUA, _REFUND_SHA = load_script("refund.lua")
# As long as a batch may be delivered again.
_REFUND_REMEMBERED_S: Final = 86_400
_READ_COUNT: Final = 1000
_log = get_logger(__name__)
_process_lock = threading.Lock()


def generation() -> str | None:
    """Identity of the present counters; None while they are lost."""
    value: Any = decisive_redis().get(SENTINEL)
    return None if value is None else value.decode()


def refunds_give(refunds: Sequence[Refund], counters: str | None) -> int:
    """Give charges back to the counters of this generation; the number that had not been given yet."""
    if not refunds or counters is None:
        return 0
    arguments: list[str | int] = [counters, _REFUND_REMEMBERED_S]
    for refund in refunds:
        owner = (refund.account_id, refund.environment, refund.ts)
        arguments += [refund.usage_id, day_counter(*owner), month_counter(*owner), refund.cost]
    client: Any = decisive_redis()
    try:
        return int(client.evalsha(_REFUND_SHA, 1, SENTINEL, *arguments))
    except NoScriptError:
        return int(client.eval(_REFUND_LUA, 1, SENTINEL, *arguments))


def counters_forget() -> None:
    """Have the counters rebuilt from the log before the next admission."""
    decisive_redis().delete(SENTINEL)


def counters_rebuild() -> None:
    """Count day, month and the last minute from the log and the events not yet in it.

    While the sentinel is missing nobody is admitted, so what is read is complete. The advisory lock lets
    one process do it; the others wait and find it done.
    """
    with _process_lock, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [COUNTERS_LOCK])
        if generation() is not None:
            return
        seconds, micros = _redis_time()
        now = moment(seconds * 1_000_000 + micros)
        admissions_insert(_undrained())
        _write_counters(now)
        _log.warning("counters_rebuilt", day=f"{now:%Y-%m-%d}")


def _redis_time() -> tuple[int, int]:
    client: Any = decisive_redis()
    seconds, micros = client.time()
    return int(seconds), int(micros)


def _undrained() -> list[AdmissionEvent]:
    """Events that survived in the stream; the drain will meet them again and change nothing."""
    client: Any = decisive_redis()
    events: list[AdmissionEvent] = []
    start = "-"
    while entries := client.xrange(ADMISSIONS_STREAM, min=start, count=_READ_COUNT):
        events += admission_events(entries)[0]
        start = "(" + entries[-1][0].decode()
    return events


def _write_counters(now: datetime) -> None:
    totals = (
        UsageRequest.objects.filter(is_counted=True, ts__gte=month_start(now))
        .values("account_id", "environment")
        .annotate(day=Sum("cost", filter=Q(ts__gte=day_start(now))), month=Sum("cost"))
        .order_by()
    )
    recent = UsageRequest.objects.filter(ts__gt=now - timedelta(seconds=WINDOW_S)).values_list(
        "key_id", "usage_id", "ts"
    )
    pipeline: Any = decisive_redis().pipeline(transaction=True)
    for total in totals:
        owner = (total["account_id"], total["environment"], now)
        pipeline.set(day_counter(*owner), total["day"] or 0, ex=DAY_TTL_S)
        pipeline.set(month_counter(*owner), total["month"] or 0, ex=MONTH_TTL_S)
    for key_id, usage_id, ts in recent:
        window = f"{AUTH_PREFIX}min:{key_id}"
        pipeline.zadd(window, {usage_id: _micros(ts)})
        pipeline.pexpire(window, (WINDOW_S + 1) * 1000)
    pipeline.set(SENTINEL, uuid.uuid4().hex)
    pipeline.execute()


def _micros(ts: datetime) -> int:
    """Exact, unlike ``timestamp() * 1e6``."""
    return int(ts.replace(microsecond=0).timestamp()) * 1_000_000 + ts.microsecond
