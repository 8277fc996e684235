"""Partitions of the series tables: created before they are written, dropped when their time is over.

A partition is built as a table of its own and then attached: attaching needs a weaker lock than
``CREATE TABLE … PARTITION OF``, so that readers and writers of the other partitions go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from threading import Lock
from typing import Final

from django.conf import settings
from django.db import connections, transaction

_LOCK_NAMESPACE: Final = 0x464F4353
"""First half of the advisory lock that serialises partition changes."""
_LOCK_TIMEOUT: Final = "5s"
BEHIND: Final = timedelta(days=32)
PERIODS_AHEAD: Final = 2


class Period(StrEnum):
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a table is cut, and which of its intervals (seconds) may stay for less than the others.

    How long rows stay is a setting, ``RETENTION_DAYS``, by table or ``table:interval``; nothing that the
    contract promises a year of can be set shorter.
    """

    period: Period
    short_intervals: tuple[int, ...] = ()


POLICIES: Final[dict[str, Policy]] = {
    "funding_rate": Policy(Period.MONTH),
    "open_interest": Policy(Period.MONTH),
    "basis": Policy(Period.MONTH),
    "positioning": Policy(Period.MONTH),
    "liquidation": Policy(Period.MONTH),
    "bar": Policy(Period.WEEK, short_intervals=(60,)),
}


def keep_of(table: str, interval_s: int | None = None) -> timedelta:
    """How long rows of a table, or those of one of its short intervals, are kept."""
    days: dict[str, int] = settings.RETENTION_DAYS
    name = table if interval_s is None else f"{table}:{interval_s}"
    return timedelta(days=days.get(name, days["*"]))


@dataclass(frozen=True, slots=True)
class Span:
    """One partition's range ``[start, end)``."""

    start: datetime
    end: datetime
    suffix: str


@lru_cache(maxsize=1_024)
def span_of(period: Period, moment: datetime) -> Span:
    """The calendar month, or the week from Monday, that holds the moment (UTC)."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period is Period.WEEK:
        start = day - timedelta(days=day.weekday())
        return Span(start, start + timedelta(days=7), start.strftime("%Y%m%d"))
    start = day.replace(day=1)
    end = (start + timedelta(days=32)).replace(day=1)
    return Span(start, end, start.strftime("%Y%m"))


def spans_between(period: Period, start: datetime, end: datetime) -> list[Span]:
    """The partitions that cover ``[start, end]``."""
    spans = [span_of(period, start)]
    while spans[-1].end <= end:
        spans.append(span_of(period, spans[-1].end))
    return spans


def partition_name(table: str, span: Span) -> str:
    return f"{table}_p{span.suffix}"


def short_name(partition: str, interval_s: int) -> str:
    """The part of a partition that holds one short interval."""
    return f"{partition}_s{interval_s}"


_known: set[str] = set()
_known_lock: Final = Lock()


def forget_known_partitions() -> None:
    """Look again at what exists: for tests, and after an error that a dropped partition may explain."""
    with _known_lock:
        _known.clear()


def ensure_partitions(table: str, moments: Iterable[datetime]) -> list[str]:
    """Make sure that rows of these moments have a place; returns the names of new partitions."""
    period = POLICIES[table].period
    wanted = {span_of(period, moment) for moment in moments}
    missing = [span for span in wanted if partition_name(table, span) not in _known]
    if not missing:
        return []
    created = [
        partition_name(table, span)
        for span in sorted(missing, key=lambda span: span.start)
        if _create(table, span)
    ]
    with _known_lock:
        _known.update(partition_name(table, span) for span in missing)
    return created


def _create(table: str, span: Span) -> bool:
    name = partition_name(table, span)
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_NAMESPACE, table])
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        (exists,) = cursor.fetchone()
        if exists:
            return False
        short = POLICIES[table].short_intervals
        cut = " PARTITION BY LIST (interval_s)" if short else ""
        cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS){cut}")
        for interval_s in short:
            # A table of their own, so that they too end by being dropped and not row by row.
            cursor.execute(
                f"CREATE TABLE {short_name(name, interval_s)} PARTITION OF {name} "
                f"FOR VALUES IN ({interval_s})"
            )
        if short:
            cursor.execute(f"CREATE TABLE {name}_rest PARTITION OF {name} DEFAULT")
        cursor.execute(
            f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)",
            [span.start, span.end],
        )
    return True


def ensure_window(now: datetime) -> list[str]:
    """Every table: from 32 days back to two periods ahead of the given market time."""
    created: list[str] = []
    for table, policy in POLICIES.items():
        last = span_of(policy.period, now)
        for _ in range(PERIODS_AHEAD):
            last = span_of(policy.period, last.end)
        spans = spans_between(policy.period, now - BEHIND, last.start)
        created += ensure_partitions(table, [span.start for span in spans])
    return created


def existing_partitions(table: str) -> list[str]:
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits "
            "JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(%s) ORDER BY child.relname",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]


def _span_of_name(table: str, name: str) -> Span:
    policy = POLICIES[table]
    suffix = name.removeprefix(f"{table}_p")
    form = "%Y%m%d" if policy.period is Period.WEEK else "%Y%m"
    return span_of(policy.period, datetime.strptime(suffix, form).replace(tzinfo=UTC))


def drop_expired(now: datetime) -> list[str]:
    """Drop partitions whose last row is too old, and the short intervals of those that stay."""
    dropped: list[str] = []
    for table, policy in POLICIES.items():
        for name in existing_partitions(table):
            end = _span_of_name(table, name).end
            if end <= now - keep_of(table):
                _drop(name)
                dropped.append(name)
                continue
            for interval_s in policy.short_intervals:
                part = short_name(name, interval_s)
                if end <= now - keep_of(table, interval_s) and _exists(part):
                    _drop(part)
                    dropped.append(part)
    return dropped


def _exists(name: str) -> bool:
    with connections["market"].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        (exists,) = cursor.fetchone()
        return bool(exists)


def _drop(name: str) -> None:
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        # Dropping locks the whole table for a moment: rather give up and come back than queue readers.
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        cursor.execute(f"DROP TABLE {name}")
    with _known_lock:
        _known.discard(name)
