"""/openapi.json: the API description, made from the running code once per process."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped library
    return document


@lru_cache(maxsize=1)
def _encoded() -> tuple[bytes, str]:
    body = orjson.dumps(openapi_document(), option=orjson.OPT_NON_STR_KEYS)
    return body, f'"{hashlib.sha256(body).hexdigest()[:20]}"'


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    body, etag = _encoded()
    if request.headers.get("If-None-Match") == etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(body, content_type="application/json")
    response["ETag"] = etag
    response["Cache-Control"] = "public, max-age=300"
    return response
