"""Test faults in Django: one mixin, so that every view of the API has them alike.

The edge leaves requests with the header to Django, after admitting them; so they are counted, limited and
logged like any other, and neither its memory nor anyone else's answer ever sees a fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, cast

from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.core import errors
from apps.core.testfaults.header import APPLIED_HEADER, HEADER, TestFaults, read
from apps.core.testfaults.overlay import overlaid

_WAITING_AT_ONCE: Final = 8
_waiting: Final = threading.BoundedSemaphore(_WAITING_AT_ONCE)
_CACHED: Final = ("ETag", "X-Next-Update-At")


class HasTestFaults(APIView):
    """Reads the header once the caller is known, and changes the answer on its way out."""

    test_faults: TestFaults | None = None

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        if HEADER in request.headers and "If-None-Match" in request.headers:
            # Unchanged or not is no question for an answer that is made up.
            request.META.pop("HTTP_IF_NONE_MATCH", None)
            request.__dict__.pop("headers", None)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        text = request.headers.get(HEADER)
        if text is None or not self.authentication_classes:
            # What is public is cached and shared: it has no faults.
            return
        if not getattr(request.user, "key_id", 0):
            raise errors.InvalidParameter(f"{HEADER} needs an API key.", param=HEADER)
        faults = read(text, settings.KEY_ENVIRONMENT)
        self.test_faults = faults
        _wait(faults.slow_s)
        refusal = faults.refusal()
        if refusal is not None:
            raise refusal

    def finalize_response(  # type: ignore[override]  # ready bytes are Django responses
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        faults = self.test_faults
        if faults is None:
            return final
        try:
            return _changed(final, faults)
        except errors.FocsalError as error:
            problem = self.handle_exception(error)
            return super().finalize_response(request, problem, *args, **kwargs)


def _wait(seconds: float) -> None:
    """Slow answers hold a thread each, so only so many wait at once."""
    if seconds <= 0:
        return
    if not _waiting.acquire(blocking=False):
        raise errors.Overloaded(
            f"{_WAITING_AT_ONCE} slow answers wait already; ask for fewer.", retry_after=2
        )
    try:
        time.sleep(seconds)
    finally:
        _waiting.release()


def _changed(response: HttpResponseBase, faults: TestFaults) -> HttpResponseBase:
    if response.status_code == 200 and faults.changes_body:
        response = _with_other_body(response, faults)
    for name in _CACHED:
        response.headers.pop(name, None)
    response["Cache-Control"] = "no-store"
    response[APPLIED_HEADER] = faults.applied
    return response


def _with_other_body(response: HttpResponseBase, faults: TestFaults) -> HttpResponseBase:
    if not response.headers.get("Content-Type", "").startswith("application/json"):
        # CSV and NDJSON have no meta to tell the truth in.
        raise errors.InvalidParameter(
            f"{HEADER}: {faults.applied} needs format=json.", param=HEADER
        )
    changed = HttpResponse(overlaid(_body_of(response), faults), content_type="application/json")
    for name, value in response.headers.items():
        if name.lower() not in ("content-length", "content-type"):
            changed[name] = value
    return changed


def _body_of(response: HttpResponseBase) -> bytes:
    if isinstance(response, SimpleTemplateResponse):
        response.render()
    if not isinstance(response, StreamingHttpResponse):
        return cast(HttpResponse, response).content
    if response.is_async:
        return async_to_sync(_joined)(cast(AsyncIterator[bytes], response.streaming_content))
    return b"".join(cast(Iterable[bytes], response.streaming_content))


async def _joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
