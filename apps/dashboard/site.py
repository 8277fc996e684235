"""Public pages: landing, pricing, and the switches of the frame."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from apps.dashboard.context import THEME_COOKIE, THEMES
from apps.dashboard.landing import (
    PlanShown,
    figures,
    layers_shown,
    page_context,
    plans_shown,
    sample_answer,
)

_YEAR_S: Final = 365 * 86_400


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    context = {
        **page_context(),
        "figures": figures(),
        "layers": layers_shown(),
        "plans": _plans(),
        "sample": sample_answer(),
        "market": settings.MARKET,
    }
    return render(request, "site/landing.html", context)


@require_safe
def pricing(request: HttpRequest) -> HttpResponse:
    return render(request, "site/pricing.html", {**page_context(), "plans": _plans()})


@require_safe
def icon(request: HttpRequest) -> HttpResponse:
    """Where browsers look that were told of no icon, such as in the admin."""
    return HttpResponseRedirect(static("img/icon.svg"))


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Remember light or dark; anything else means the reader's system."""
    response = HttpResponseRedirect(_next(request))
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE,
            theme,
            max_age=_YEAR_S,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
        )
    else:
        response.delete_cookie(THEME_COOKIE)
    return response


def _plans() -> list[PlanShown]:
    try:
        return list(plans_shown())
    except DatabaseError:
        # The rest of the page does not need the database.
        return []


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next", "/")
    is_ours = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if is_ours else "/"
