"""Pages: documentation for everybody, the API account for its owner."""

from __future__ import annotations

import sys
from typing import Final

import orjson
from csp.constants import SELF
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.models import User
from apps.core.clock import iso_utc, market_clock
from apps.core.error_guide import ERROR_GUIDE
from apps.core.problems import DATABASE_AWAY_S, DatabaseAway
from apps.core.testfaults import header as testfaults
from apps.dashboard.account import account_overview
from apps.dashboard.context import frame
from apps.dashboard.docs import docs_page
from apps.dashboard.guides import GUIDES, LABELS
from apps.dashboard.streams import channels_shown, frames_shown, socket_url, stream_samples
from apps.marketdata.clocksync import sync_market_clock
from apps.markets.contracts_common import NULL_REASONS
from apps.markets.schema import example
from apps.meta.selectors import plans

# Redoc writes its own style elements and runs its search in a worker.
_REDOC_CSP = {
    "style-src": [SELF, "'unsafe-inline'"],
    "worker-src": [SELF, "blob:"],
    "script-src": [SELF],
}


_DAY_MS: Final = 86_400_000
_SAMPLE_DAYS: Final = 7
"""Length of the history that samples ask for, up to the day that began last."""


@require_safe
def docs_index(request: HttpRequest) -> HttpResponse:
    try:
        offers = plans().data
    except DatabaseError:
        # The rest of the page does not need the database.
        offers = []
    return docs_page(request, "index", plans=offers)


@require_safe
def docs_quickstart(request: HttpRequest) -> HttpResponse:
    return docs_page(request, "quickstart", environment=settings.KEY_ENVIRONMENT)


@require_safe
def docs_conventions(request: HttpRequest) -> HttpResponse:
    return docs_page(request, "conventions", labels=LABELS, null_reasons=NULL_REASONS)


@require_safe
def docs_errors(request: HttpRequest) -> HttpResponse:
    return docs_page(request, "errors", entries=ERROR_GUIDE)


@require_safe
def docs_test_faults(request: HttpRequest) -> HttpResponse:
    return docs_page(
        request,
        "test_faults",
        words=testfaults.WORDS,
        venues=testfaults.VENUES,
        most=testfaults.MOST,
        example="venue_down:binance, slow:2s",
    )


@require_safe
def docs_metric(request: HttpRequest, slug: str) -> HttpResponse:
    guide = GUIDES.get(slug)
    if guide is None:
        raise Http404(slug)
    pretty = orjson.dumps(example(guide.example), option=orjson.OPT_INDENT_2).decode()
    sync_market_clock()
    until_ms = market_clock.now_ms() // _DAY_MS * _DAY_MS
    since, until = (iso_utc(ms)[:10] for ms in (until_ms - _SAMPLE_DAYS * _DAY_MS, until_ms))
    base_url = settings.PUBLIC_BASE_URL
    return docs_page(
        request,
        "metric",
        guide=guide,
        example=pretty,
        labels=LABELS,
        samples=guide.samples(base_url),
        history=guide.history(base_url, since, until),
        since=since,
        until=until,
    )


@require_safe
def docs_websocket(request: HttpRequest) -> HttpResponse:
    from_client, from_server = frames_shown()
    return docs_page(
        request,
        "websocket",
        channels=channels_shown(),
        from_client=from_client,
        from_server=from_server,
        samples=stream_samples(settings.PUBLIC_BASE_URL),
        socket_url=socket_url(settings.PUBLIC_BASE_URL),
    )


@require_safe
def docs_live(request: HttpRequest) -> HttpResponse:
    return docs_page(
        request, "live", channels=channels_shown(), environment=settings.KEY_ENVIRONMENT
    )


@require_safe
@csp_update(_REDOC_CSP)
def docs_reference(request: HttpRequest) -> HttpResponse:
    return docs_page(request, "reference")


@require_safe
@never_cache
@login_required
def account_api(request: HttpRequest) -> HttpResponse:
    """The signed-in customer's own plan, keys and usage; nothing in the address chooses whose."""
    user = request.user
    account = user.account if isinstance(user, User) else None
    overview = None if account is None else account_overview(account)
    return render(request, "account/api.html", {"overview": overview, "account": account})


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Without the request: who is signed in is what the database may not answer."""
    if not isinstance(sys.exception(), DatabaseAway):
        return render(None, "500.html", status=500)
    response = render(None, "503.html", {"theme": frame(request)["theme"]}, status=503)
    response["Retry-After"] = str(DATABASE_AWAY_S)
    response["Cache-Control"] = "no-store"
    return response
