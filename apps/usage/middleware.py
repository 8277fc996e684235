"""Limit headers and completions of keyed requests that Django answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.tiers.admission import Admission
from apps.tiers.headers import rate_headers
from apps.usage.completions import completion_record

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class UsageMiddleware:
    """Stands outside of whatever replaces error answers, so that status and headers are the final ones."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        response = self.get_response(request)
        admission = admission_of(request)
        if admission is None:
            return response
        for name, value in rate_headers(admission.settled(response.status_code)):
            response[name] = value
        if isinstance(response, StreamingHttpResponse):
            _count_stream(response, admission, started)
        else:
            size = len(cast(HttpResponse, response).content)
            completion_record(admission, response.status_code, _elapsed_us(started), size)
        return response


def admission_of(request: HttpRequest) -> Admission | None:
    """What authentication decided; else what the edge decided for a request that met no view."""
    found = getattr(request, "focsal_admission", None)
    if found is None:
        found = getattr(request, "scope", {}).get("focsal.admission")
    return found if isinstance(found, Admission) else None


def _elapsed_us(started: float) -> int:
    return int((time.perf_counter() - started) * 1_000_000)


def _count_stream(response: StreamingHttpResponse, admission: Admission, started: float) -> None:
    """Record the completion when the stream ends, also when the client went away in between."""
    status = response.status_code
    if response.is_async:
        response.streaming_content = _counted_async(
            cast(AsyncIterator[bytes], response.streaming_content), admission, status, started
        )
    else:
        response.streaming_content = _counted(
            cast(Iterator[bytes], response.streaming_content), admission, status, started
        )


def _counted(
    chunks: Iterator[bytes], admission: Admission, status: int, started: float
) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            yield chunk
    finally:
        completion_record(admission, status, _elapsed_us(started), size)


async def _counted_async(
    chunks: AsyncIterator[bytes], admission: Admission, status: int, started: float
) -> AsyncIterator[bytes]:
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            yield chunk
    finally:
        await sync_to_async(completion_record)(admission, status, _elapsed_us(started), size)
