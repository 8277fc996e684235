"""Documents that are made once per process and served to everybody: OpenAPI, AsyncAPI."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse


class Document(NamedTuple):
    body: bytes
    etag: str


def document_of(body: bytes) -> Document:
    return Document(body, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def document_answer(request: HttpRequest, document: Document) -> HttpResponse:
    """304 when the caller has it."""
    if request.headers.get("If-None-Match") == document.etag:
        response = HttpResponse(status=304)
    else:
        response = HttpResponse(document.body, content_type="application/json")
    response["ETag"] = document.etag
    response["Cache-Control"] = "public, max-age=300"
    return response
