"""A customer's usage in sums: by day, endpoint, status and key; and its rows, for search and export."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from apps.accounts.export_window import log_days
from apps.accounts.models import Account
from apps.usage.models import UsageRequest

TOP: Final = 12
LATEST: Final = 50
_CHUNK: Final = 2_000
COLUMNS: Final = (
    *("ts", "request_id", "method", "path", "params", "status", "cost", "is_counted"),
    *("latency_ms", "body_bytes", "environment", "key_prefix"),
)


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """Which of an account's requests: ``days`` back from ``now``, perhaps one key or one request id."""

    account: Account
    now: datetime
    days: int
    key_id: int | None = None
    request_id: str = ""

    def rows(self) -> QuerySet[UsageRequest]:
        """Never more than the plan shows, never another account's."""
        seen = min(self.days, log_days(self.account, self.now))
        rows = UsageRequest.objects.filter(
            account_id=self.account.pk, ts__gte=self.now - timedelta(days=seen)
        )
        if self.key_id is not None:
            rows = rows.filter(key_id=self.key_id)
        if self.request_id:
            rows = rows.filter(request_id=self.request_id)
        return rows


@dataclass(frozen=True, slots=True)
class DayUsage:
    day: date
    good: int
    refused: int
    failed: int

    @property
    def total(self) -> int:
        return self.good + self.refused + self.failed


@dataclass(frozen=True, slots=True)
class Share:
    label: str
    calls: int
    cost: int


_GOOD: Final = Q(status__lt=400) | Q(status__isnull=True)
_REFUSED: Final = Q(status__gte=400, status__lt=500)
_FAILED: Final = Q(status__gte=500)


def usage_by_day(question: UsageQuestion) -> list[DayUsage]:
    """Every UTC day of the question, also those without a call, oldest first."""
    counts = (
        question.rows()
        .annotate(day=TruncDate("ts", tzinfo=UTC))
        .values("day")
        .annotate(
            good=Count("pk", filter=_GOOD),
            refused=Count("pk", filter=_REFUSED),
            failed=Count("pk", filter=_FAILED),
        )
    )
    found = {row["day"]: row for row in counts}
    today = question.now.date()
    days = [today - timedelta(days=ago) for ago in range(question.days - 1, -1, -1)]
    nothing = {"good": 0, "refused": 0, "failed": 0}
    return [
        DayUsage(day, *(found.get(day, nothing)[name] for name in ("good", "refused", "failed")))
        for day in days
    ]


def usage_by(question: UsageQuestion, column: str) -> list[Share]:
    """The most called values of ``path``, ``status`` or ``key__prefix``."""
    rows = (
        question.rows()
        .values(label=F(column))
        .annotate(calls=Count("pk"), paid=Sum("cost", filter=Q(is_counted=True)))
        .order_by("-calls", "label")[:TOP]
    )
    return [Share(_label(row["label"]), row["calls"], row["paid"] or 0) for row in rows]


def latest(question: UsageQuestion) -> list[UsageRequest]:
    return list(question.rows().select_related("key").order_by("-ts")[:LATEST])


class _Line:
    """A file that hands each line back instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def export_csv(question: UsageQuestion) -> Iterator[str]:
    """All rows as CSV, newest first, read a chunk at a time."""
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    rows = question.rows().annotate(key_prefix=F("key__prefix")).order_by("-ts")
    for row in rows.values_list(*COLUMNS).iterator(chunk_size=_CHUNK):
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    # A caller chose this text: a spreadsheet must not take it for a formula.
    if isinstance(value, str) and value[:1] in "=+-@\t\r":
        return "'" + value
    return value


def _label(value: Any) -> str:
    return "none" if value is None else str(value)
