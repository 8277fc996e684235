"""The frame of every documentation page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.dashboard.guides import GUIDES


def docs_page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    shared = {
        "base_url": settings.PUBLIC_BASE_URL,
        "guides": GUIDES.values(),
        "market": settings.MARKET,
    }
    return render(request, f"docs/{template}.html", {**shared, **context})
