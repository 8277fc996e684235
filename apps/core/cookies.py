"""Cookies that no server of ours ever set must not reach the database."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase


class HarmlessCookiesMiddleware:
    """Drops cookies with control characters: a quoted cookie may carry ``\\000``, PostgreSQL refuses NUL."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        cookies = request.COOKIES
        for name in [name for name, value in cookies.items() if not value.isprintable()]:
            del cookies[name]
        return self.get_response(request)
