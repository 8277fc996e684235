"""Raw bytes in a query string reach the views."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.asgi import AsciiQuery


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"asset=BTC&from=2026-05-17T00:00+02:00", b"asset=BTC&from=2026-05-17T00:00+02:00"),
        (b"asset=\xff\xfe", b"asset=%FF%FE"),
        ("asset=ä%20 x".encode(), b"asset=%C3%A4%20 x"),
        (b"", b""),
    ],
)
async def test_only_raw_bytes_are_encoded(raw: bytes, seen: bytes) -> None:
    scopes: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    async def nothing(*_: Any) -> None:
        raise AssertionError("not called")

    await AsciiQuery(inner)({"type": "http", "query_string": raw}, nothing, nothing)
    assert scopes[0]["query_string"] == seen
