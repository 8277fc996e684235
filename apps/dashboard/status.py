"""The status page: what /v1/meta/status says, for people; the board renews itself."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.marketdata.clocksync import sync_market_clock
from apps.meta import selectors

RENEWED_EVERY_S: Final = 10


@require_safe
@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """The whole page, or its board alone when the page asks for it anew."""
    sync_market_clock()
    renewed = request.headers.get("HX-Request") == "true"
    template = "site/status_board.html" if renewed else "site/status.html"
    return render(request, template, {"status": selectors.status(), "every_s": RENEWED_EVERY_S})
