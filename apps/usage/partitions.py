"""Daily partitions of the usage log: made ahead of time, dropped when no plan shows them any more."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Max

from apps.tiers.models import Plan

DAYS_AHEAD: Final = 7
# After a downgrade the log can still be exported for 30 days.
EXPORT_GRACE_DAYS: Final = 31
_PREFIX: Final = "usage_request_"
_LOCK: Final = 0x0F0C_5A02
_known: set[date] = set()


def partition_name(day: date) -> str:
    return f"{_PREFIX}{day:%Y%m%d}"


def partitions() -> dict[date, str]:
    """The partitions there are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = 'usage_request'::regclass"
        )
        names = [row[0] for row in cursor.fetchall()]
    return {
        datetime.strptime(name.removeprefix(_PREFIX), "%Y%m%d").replace(tzinfo=UTC).date(): name
        for name in names
    }


def partitions_ensure(days: Iterable[date]) -> None:
    """Make the partitions of these days where they are missing. Cheap for days seen before."""
    missing = set(days) - _known
    if not missing:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        # CREATE TABLE IF NOT EXISTS alone still collides when two processes create at once.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for day in sorted(missing):
            start, end = _midnight(day), _midnight(day + timedelta(days=1))
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {partition_name(day)} PARTITION OF usage_request "
                f"FOR VALUES FROM ('{start}') TO ('{end}')"
            )
    transaction.on_commit(lambda: _known.update(missing))


def partitions_forget() -> None:
    """Look again next time: the tables may have been dropped or rolled back."""
    _known.clear()


def partitions_maintain(today: date) -> list[str]:
    """Create the coming days, drop what is past every plan's log; the names dropped."""
    partitions_forget()
    partitions_ensure(today + timedelta(days=ahead) for ahead in range(-1, DAYS_AHEAD + 1))
    days = Plan.objects.aggregate(most=Max("usage_log_days"))["most"] or 0
    oldest = today - timedelta(days=days + EXPORT_GRACE_DAYS)
    dropped = [name for day, name in sorted(partitions().items()) if day < oldest]
    for name in dropped:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {name}")
    return dropped


def _midnight(day: date) -> str:
    return f"{day:%Y-%m-%d} 00:00:00+00"
