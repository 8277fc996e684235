"""What happens after too many wrong passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def attempted_email(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """The address that somebody tries, in one spelling, so that case changes count together."""
    given = credentials or {}
    name = given.get("email") or given.get("username") or request.POST.get("login") or ""
    return str(name).strip().casefold()[:254]


def locked_out(
    request: HttpRequest, credentials: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any
) -> HttpResponse:
    response = render(request, "account/locked_out.html", status=429)
    response["Retry-After"] = "900"
    return response
