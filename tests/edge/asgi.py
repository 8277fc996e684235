"""A bare ASGI client: what a server would send, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """``headers`` by lower-case name; repeated names are joined."""

    status: int
    headers: dict[str, str]
    body: bytes


def http_scope(method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    given = {"Host": "testserver", **headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in given.items()
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "state": {},
    }


async def ask(
    app: Any, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET"
) -> Answer:
    """One request; ``target`` is path and query string."""
    sent: list[MutableMapping[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # As a server does while the client stays connected.
        await asyncio.Event().wait()
        raise AssertionError("never set")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app(http_scope(method, target, headers or {}), receive, send)
    start = sent[0]
    found: dict[str, str] = {}
    for name, value in start["headers"]:
        key = name.decode().lower()
        text = value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(start["status"], found, body)
