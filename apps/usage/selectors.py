"""Reading the usage log. Whatever serves a customer takes the account and sees nothing beyond it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from apps.accounts.models import User
from apps.tiers.fallback import QuotaUse
from apps.tiers.periods import day_start, month_start
from apps.usage.models import QuotaNotice, UsageRequest

_EXPORTED_ROWS: Final = 10_000


def usage_exported(user: User) -> list[dict[str, Any]]:
    """The account's newest requests, at most 10,000; the account page exports all of them as CSV."""
    if user.account_id is None:
        return []
    rows = UsageRequest.objects.filter(account_id=user.account_id).order_by("-ts")
    columns = ("ts", "request_id", "path", "params", "status")
    return [dict(row) for row in rows.values(*columns)[:_EXPORTED_ROWS]]


def notices_exported(user: User) -> list[dict[str, Any]]:
    """When the account was told how much of a quota it had used."""
    if user.account_id is None:
        return []
    notices = QuotaNotice.objects.filter(account_id=user.account_id).order_by("-pk")
    columns = ("environment", "period", "period_start", "percent", "created_at")
    return [dict(row) for row in notices.values(*columns)]


def quota_used(*, account_id: int, environment: str, now: datetime) -> QuotaUse:
    """Cost counted in the UTC day and month of ``now``, as far as the log has it."""
    totals = UsageRequest.objects.filter(
        account_id=account_id,
        environment=environment,
        is_counted=True,
        ts__gte=month_start(now),
    ).aggregate(day=Sum("cost", filter=Q(ts__gte=day_start(now))), month=Sum("cost"))
    return QuotaUse(day=totals["day"] or 0, month=totals["month"] or 0)


def usage_of_account(
    *, account_id: int, log_days: int, now: datetime | None = None
) -> QuerySet[UsageRequest]:
    """The account's requests, newest first, as far back as its plan shows them."""
    since = (now or timezone.now()) - timedelta(days=log_days)
    return UsageRequest.objects.filter(account_id=account_id, ts__gte=since).order_by("-ts")
