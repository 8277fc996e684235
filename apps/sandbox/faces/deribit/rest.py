"""The methods over HTTP: ``GET /api/v2/public/<method>?…``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from apps.sandbox.faces.deribit.errors import RpcRefusal
from apps.sandbox.faces.deribit.limits import Limits
from apps.sandbox.faces.deribit.rpc import call
from apps.sandbox.faces.deribit.source import Source

PREFIX: Final = "/api/v2/public/"
_US: Final = 1_000_000


def envelope(
    number: Any,
    began_s: float,
    ended_s: float,
    *,
    result: Any = None,
    refusal: RpcRefusal | None = None,
) -> bytes:
    """An answer, with the venue's own times in microseconds."""
    body: dict[str, Any] = {"jsonrpc": "2.0"}
    if number is not None:
        body["id"] = number
    if refusal is None:
        body["result"] = result
    else:
        body["error"] = refusal.body()
    began, ended = int(began_s * _US), int(ended_s * _US)
    return orjson.dumps(
        body | {"usIn": began, "usOut": ended, "usDiff": ended - began, "testnet": False}
    )


class RestFace:
    """Answers from a source; counts requests."""

    def __init__(self, source: Source, limits: Limits, now_s: Callable[[], float]) -> None:
        self._source = source
        self._limits = limits
        self._now_s = now_s
        self.requests = 0

    def register(self, app: web.Application) -> None:
        app.router.add_get(PREFIX + "{method}", self._handle)

    async def _handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        began = self._now_s()
        try:
            method = request.match_info["method"]
            self._limits.charge(method)
            result = call(self._source, method, request.query)
        except RpcRefusal as refusal:
            body = envelope(None, began, self._now_s(), refusal=refusal)
            return web.Response(body=body, status=refusal.status, content_type="application/json")
        body = envelope(None, began, self._now_s(), result=result)
        return web.Response(body=body, content_type="application/json")
