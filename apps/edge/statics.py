"""The headers that Django's middleware puts on every answer of the API, asked from that middleware once
per scheme, so that both ways of answering stay equal when settings change."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from apps.core.cors import CORS_HEADERS
from apps.core.problems import CONTENT_TYPE

Header = tuple[bytes, bytes]
JSON_TYPE: Final = (b"content-type", b"application/json")
PROBLEM_TYPE: Final = (b"content-type", CONTENT_TYPE.encode())


@lru_cache(maxsize=4)
def static_headers(scheme: str) -> tuple[Header, ...]:
    """Security and cross-origin headers of an answer under /v1, names in lower case."""
    request: Any = HttpRequest()
    request.path = request.path_info = "/v1/"
    request.META = {"REQUEST_METHOD": "GET", "SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    # Where ``request.scheme`` asks.
    request._get_scheme = lambda: scheme
    response: Any = HttpResponse()
    for middleware in (CSPMiddleware, XFrameOptionsMiddleware, SecurityMiddleware):
        response = middleware(lambda _request: HttpResponse()).process_response(request, response)
    pairs = [*response.headers.items(), *CORS_HEADERS]
    return tuple(
        (name.lower().encode(), value.encode("latin-1"))
        for name, value in pairs
        if name.lower() != "content-type"
    )
