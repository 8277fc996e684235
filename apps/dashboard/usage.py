"""The usage page: charts, sums, search by request id, CSV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.export_window import log_days
from apps.accounts.models import Account, User
from apps.dashboard.account import quota_bars
from apps.keys.selectors import keys_of_account
from apps.usage.reports import (
    DayUsage,
    UsageQuestion,
    export_csv,
    latest,
    usage_by,
    usage_by_day,
)

SPANS: Final = (7, 30, 90, 365)
_WIDTH: Final = 720
_HEIGHT: Final = 140


@dataclass(frozen=True, slots=True)
class Bar:
    """One day in the chart, in its own units of length."""

    day: DayUsage
    x: float
    width: float
    good_y: float
    good: float
    refused_y: float
    refused: float
    failed_y: float
    failed: float


@require_safe
@never_cache
@login_required
def usage(request: HttpRequest) -> HttpResponse:
    account = _account(request)
    if account is None:
        return redirect("account-api")
    question = _question(request, account)
    days = usage_by_day(question)
    context = {
        "account": account,
        "bars": _bars(days),
        "first_day": days[0].day,
        "last_day": days[-1].day,
        "busiest": max(day.total for day in days),
        "endpoints": usage_by(question, "path"),
        "statuses": usage_by(question, "status"),
        "keys": usage_by(question, "key__prefix"),
        "key_choices": keys_of_account(account.pk),
        "requests": latest(question),
        "question": question,
        "spans": [span for span in SPANS if span <= max(log_days(account, question.now), SPANS[0])],
        "quota_bars": quota_bars(account, question.now),
        "log_days": log_days(account, question.now),
        "width": _WIDTH,
        "height": _HEIGHT,
    }
    return render(request, "account/usage.html", context)


@require_safe
@never_cache
@login_required
def usage_csv(request: HttpRequest) -> HttpResponseBase:
    account = _account(request)
    if account is None:
        return redirect("account-api")
    lines = export_csv(_question(request, account))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="focsal-usage.csv"'
    return response


def _account(request: HttpRequest) -> Account | None:
    return request.user.account if isinstance(request.user, User) else None


def _question(request: HttpRequest, account: Account) -> UsageQuestion:
    """What the page's form says; anything that it cannot say counts as not said."""
    given = request.GET
    days = given.get("days", "")
    key = given.get("key", "")
    own = {str(key_id) for key_id in keys_of_account(account.pk).values_list("pk", flat=True)}
    return UsageQuestion(
        account=account,
        now=timezone.now(),
        days=int(days) if days in {str(span) for span in SPANS} else 30,
        key_id=int(key) if key in own else None,
        request_id=given.get("request_id", "").replace("\0", "").strip()[:64],
    )


def _bars(days: list[DayUsage]) -> list[Bar]:
    most = max((day.total for day in days), default=0) or 1
    step = _WIDTH / len(days)
    bars = []
    for number, day in enumerate(days):
        good, refused, failed = (
            _HEIGHT * calls / most for calls in (day.good, day.refused, day.failed)
        )
        bars.append(
            Bar(
                day=day,
                x=round(number * step, 2),
                width=round(max(step - 1, 1), 2),
                good=round(good, 2),
                good_y=round(_HEIGHT - good, 2),
                refused=round(refused, 2),
                refused_y=round(_HEIGHT - good - refused, 2),
                failed=round(failed, 2),
                failed_y=round(_HEIGHT - good - refused - failed, 2),
            )
        )
    return bars
