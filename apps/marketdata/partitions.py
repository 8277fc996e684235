"""Partitions of the series tables: created before they are written, dropped when their time is over.

A partition is built as a table of its own and then attached: attaching needs a weaker lock than
``CREATE TABLE … PARTITION OF``, so that readers and writers of the other partitions go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Final

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
    """How a table is cut, how long rows stay, and which of its rows stay for less."""

    period: Period
    keep: timedelta
    keep_by_interval: tuple[tuple[int, timedelta], ...] = ()


POLICIES: Final[dict[str, Policy]] = {
    "funding_rate": Policy(Period.MONTH, timedelta(days=400)),
    "open_interest": Policy(Period.MONTH, timedelta(days=400)),
    "basis": Policy(Period.MONTH, timedelta(days=400)),
    "positioning": Policy(Period.MONTH, timedelta(days=400)),
    "liquidation": Policy(Period.MONTH, timedelta(days=400)),
    "bar": Policy(Period.WEEK, timedelta(days=400), ((60, timedelta(days=90)),)),
}


@dataclass(frozen=True, slots=True)
class Span:
    """One partition's range ``[start, end)``."""

    start: datetime
    end: datetime
    suffix: str


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
        cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)")
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
    """Drop partitions whose last row is too old, and delete short-lived rows from those that stay."""
    dropped: list[str] = []
    for table, policy in POLICIES.items():
        for name in existing_partitions(table):
            end = _span_of_name(table, name).end
            if end <= now - policy.keep:
                _drop(name)
                dropped.append(name)
                continue
            for interval_s, keep in policy.keep_by_interval:
                if end <= now - keep:
                    _delete_interval(name, interval_s)
    return dropped


def _drop(name: str) -> None:
    with transaction.atomic(using="market"), connections["market"].cursor() as cursor:
        # Dropping locks the whole table for a moment: rather give up and come back than queue readers.
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        cursor.execute(f"DROP TABLE {name}")
    with _known_lock:
        _known.discard(name)


def _delete_interval(name: str, interval_s: int) -> None:
    with connections["market"].cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {name} WHERE interval_s = %s",  # noqa: S608 name read from the catalogue
            [interval_s],
        )
