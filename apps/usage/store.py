"""Usage events into PostgreSQL. Every write may be repeated: a second time changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Q

from apps.keys.models import ApiKey
from apps.tiers.admission import is_counted
from apps.usage.completions import Completion
from apps.usage.events import AdmissionEvent, moment
from apps.usage.partitions import partitions_ensure

# Writers share this advisory lock; a rebuild of the counters takes it alone, to see whole batches only.
COUNTERS_LOCK: Final = 0x0F0C_5A01
_LAST_USED_STEP: Final = timedelta(seconds=10)

_INSERT: Final = """
INSERT INTO usage_request (usage_id, ts, request_id, account_id, key_id, environment, market, metric,
                           method, path, params, cost, is_counted, served_by)
SELECT *, true, '' FROM unnest(
    %s::text[], %s::timestamptz[], %s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::text[], %s::int[])
ON CONFLICT (usage_id, ts) DO NOTHING
"""

_LOCK_OPEN: Final = """
SELECT usage_id, ts, account_id, environment, cost, is_counted, status IS NULL
FROM usage_request
WHERE usage_id = ANY(%s) AND ts BETWEEN %s AND %s
ORDER BY usage_id FOR UPDATE
"""

_COMPLETE: Final = """
UPDATE usage_request AS row
SET status = done.status, latency_ms = done.latency_ms, body_bytes = done.body_bytes,
    served_by = done.served_by, is_counted = row.is_counted AND done.is_counted
FROM unnest(%s::text[], %s::timestamptz[], %s::int[], %s::float8[], %s::bigint[], %s::text[],
            %s::boolean[])
     AS done (usage_id, ts, status, latency_ms, body_bytes, served_by, is_counted)
WHERE row.usage_id = done.usage_id AND row.ts = done.ts AND row.status IS NULL
  AND row.ts BETWEEN %s AND %s
"""


@dataclass(frozen=True, slots=True)
class Refund:
    """A charge that an uncounted answer gives back."""

    usage_id: str
    ts: datetime
    account_id: int
    environment: str
    cost: int


@dataclass(frozen=True, slots=True)
class Joinable:
    """Completions whose admission is in the log, and those whose is not (yet)."""

    open_rows: list[Completion]
    unknown: list[Completion]
    refunds: list[Refund]


def lock_shared() -> None:
    """Hold off rebuilds of the counters until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [COUNTERS_LOCK])


def admissions_insert(events: Sequence[AdmissionEvent]) -> None:
    if not events:
        return
    partitions_ensure({event.ts.date() for event in events})
    columns: list[Any] = [
        [event.usage_id for event in events],
        [event.ts for event in events],
        [event.request_id for event in events],
        [event.account_id for event in events],
        [event.key_id for event in events],
        [event.environment for event in events],
        [event.market for event in events],
        [event.metric for event in events],
        [event.method for event in events],
        [event.path for event in events],
        [event.params for event in events],
        [event.cost for event in events],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, columns)
    _last_used_update(events)


def _last_used_update(events: Sequence[AdmissionEvent]) -> None:
    latest: dict[int, datetime] = {}
    for event in events:
        latest[event.key_id] = max(event.ts, latest.get(event.key_id, event.ts))
    # In one order everywhere, so that parallel drains cannot lock each other out.
    for key_id, ts in sorted(latest.items()):
        unseen = Q(last_used_at__isnull=True) | Q(last_used_at__lt=ts - _LAST_USED_STEP)
        ApiKey.objects.filter(unseen, pk=key_id).update(last_used_at=ts)


def completions_join(completions: Collection[Completion]) -> Joinable:
    """Lock the rows of these completions and say what each means. Call inside a transaction."""
    if not completions:
        return Joinable([], [], [])
    first: dict[str, Completion] = {}
    for completion in completions:
        first.setdefault(completion.usage_id, completion)
    times = [moment(completion.ts_us) for completion in first.values()]
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_OPEN, [list(first), min(times), max(times)])
        rows = {row[0]: row for row in cursor.fetchall()}
    open_rows, unknown, refunds = [], [], []
    for usage_id, completion in first.items():
        row = rows.get(usage_id)
        if row is None:
            unknown.append(completion)
            continue
        _, ts, account_id, environment, cost, counted, is_open = row
        if not is_open:
            continue
        open_rows.append(completion)
        if counted and cost > 0 and not is_counted(completion.status):
            refunds.append(Refund(usage_id, ts, account_id, environment, cost))
    return Joinable(open_rows, unknown, refunds)


def completions_apply(completions: Sequence[Completion]) -> None:
    if not completions:
        return
    times = [moment(completion.ts_us) for completion in completions]
    columns: list[Any] = [
        [completion.usage_id for completion in completions],
        times,
        [completion.status for completion in completions],
        [completion.latency_us / 1000 for completion in completions],
        [completion.body_bytes for completion in completions],
        [completion.served_by[:5] for completion in completions],
        [is_counted(completion.status) for completion in completions],
        min(times),
        max(times),
    ]
    with connection.cursor() as cursor:
        cursor.execute(_COMPLETE, columns)


def usage_store(
    admissions: Sequence[AdmissionEvent], completions: Sequence[Completion]
) -> Joinable:
    """Admissions, then the completions that belong to them, in one transaction; no counters touched."""
    with transaction.atomic():
        lock_shared()
        admissions_insert(admissions)
        joinable = completions_join(completions)
        completions_apply(joinable.open_rows)
    return joinable
