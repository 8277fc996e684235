"""What stands between the server and Django's own reading of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote_from_bytes

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

_ASCII: Final = bytes(range(128))


class AsciiQuery:
    """Percent-encodes raw bytes in a query string.

    Django would answer them with an empty 400 before any middleware: no problem document, no request id.
    Encoded, they reach the view, which names what is wrong.
    """

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("query_string", b"")
        if not raw.isascii():
            scope["query_string"] = quote_from_bytes(raw, safe=_ASCII).encode()
        await self._inner(scope, receive, send)
