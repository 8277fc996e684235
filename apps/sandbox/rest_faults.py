"""Faults of a venue's REST interface, in front of its face: the same for every venue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from apps.sandbox.faults import Faults
from apps.sandbox.listing_changes import ListingChanges
from apps.sandbox.refusals import JSON, refused
from apps.sandbox.replay.restamp import restamp

_BROKEN: Final = b'{"code":200,"data":[{"'
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def rest_faults(faults: Faults, venue: str, now_ms: Callable[[], int]) -> Middleware:
    """Middleware of one venue's applications; WebSockets pass untouched."""

    @web.middleware
    async def handle(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await handler(request)
        slow = faults.rest_fault(venue, request.path, "delay_s")
        if slow is not None:
            await asyncio.sleep(slow.delay_s)
        told = faults.rest_fault(venue, request.path, "status")
        if told is not None:
            words = refused(venue, told.status, now_ms())
            asked = {"Retry-After": f"{told.retry_after_s:.0f}"} if told.retry_after_s else {}
            return web.Response(
                body=words.body,
                status=told.status,
                content_type=words.content_type,
                headers={**words.headers, **asked},
            )
        broken = faults.rest_fault(venue, request.path, "form")
        changes = faults.listings.get(venue)
        if changes is not None:
            request = await _translated(request, changes)
        return _changed(await handler(request), faults, venue, broken.form if broken else "")

    return handle


async def _translated(request: web.Request, changes: ListingChanges) -> web.Request:
    """The request in inner names."""
    address = changes.incoming(str(request.rel_url).encode()).decode()
    inner = request.clone(rel_url=address)
    inner._match_info = request.match_info
    inner._read_bytes = changes.incoming(await request.read())
    return inner


def _changed(
    response: web.StreamResponse, faults: Faults, venue: str, form: str
) -> web.StreamResponse:
    changes, skew_ms = faults.listings.get(venue), faults.skew_ms.get(venue, 0)
    if not (form or changes or skew_ms) or not isinstance(response, web.Response):
        return response
    body = response.body if isinstance(response.body, bytes) else b""
    if changes is not None:
        body = changes.outgoing(changes.without_gone(body))
    body = restamp(body, skew_ms, venue)
    if form == "truncated":
        body = body[: len(body) // 2]
    elif form == "malformed":
        body = _BROKEN
    headers = {
        name: text
        for name, text in response.headers.items()
        if name.lower() not in ("content-length", "content-type")
    }
    return web.Response(
        body=body,
        status=response.status,
        content_type=response.content_type or JSON,
        headers=headers,
    )
