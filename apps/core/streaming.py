"""Answers that leave in pieces, under ASGI and WSGI alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed(
    request: HttpRequest, chunks: Iterator[bytes], content_type: str
) -> StreamingHttpResponse:
    """Send ``chunks`` one at a time; each next one is computed in a thread while the client reads.

    The first chunk is computed before the status line is sent, so that an early failure is still
    answered with an error status.
    """
    first = next(chunks, b"")
    body = (
        _async_chain(first, chunks) if isinstance(request, ASGIRequest) else _chain(first, chunks)
    )
    return StreamingHttpResponse(body, content_type=content_type)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


async def _async_chain(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    while chunk := await sync_to_async(_next)(rest):
        yield chunk


def _next(chunks: Iterator[bytes]) -> bytes:
    """The next piece, empty at the end."""
    return next(chunks, b"")
