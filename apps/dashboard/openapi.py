"""/openapi.json: the API description, made from the running code once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from apps.core.documents import Document, document_answer, document_of


@lru_cache(maxsize=1)
def openapi_document() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped library
    return document


@lru_cache(maxsize=1)
def _document() -> Document:
    return document_of(orjson.dumps(openapi_document(), option=orjson.OPT_NON_STR_KEYS))


@require_safe
def openapi(request: HttpRequest) -> HttpResponse:
    return document_answer(request, _document())
