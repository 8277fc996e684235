"""Cross-origin calls: /v1 with a key header is open to every origin, cookies are not.

The edge answers without passing here and adds ``CORS_HEADERS`` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

_EXPOSED: Final = (
    "ETag",
    "Link",
    "Retry-After",
    "X-Next-Cursor",
    "X-Next-Update-At",
    "X-Quota-Day-Remaining",
    "X-Quota-Month-Remaining",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
    "X-Test-Fault-Applied",
)
# "*" never goes with credentials: a session cookie of ours is not usable from another site.
CORS_HEADERS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", ", ".join(_EXPOSED)),
)
_PREFLIGHT: Final = (
    ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, POST, DELETE"),
    (
        "Access-Control-Allow-Headers",
        "X-API-Key, Authorization, Accept, If-None-Match, Last-Event-ID, X-Request-Id, X-Test-Fault",
    ),
    ("Access-Control-Max-Age", "86400"),
    ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
)


def is_open_path(path: str) -> bool:
    return path.startswith("/v1/") or path in ("/openapi.json", "/asyncapi.json")


class CorsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_open_path(request.path):
            return self.get_response(request)
        is_preflight = request.method == "OPTIONS" and (
            "Access-Control-Request-Method" in request.headers
        )
        response = HttpResponse(status=204) if is_preflight else self.get_response(request)
        for name, value in (*CORS_HEADERS, *(_PREFLIGHT if is_preflight else ())):
            response.headers.setdefault(name, value)
        return response
