"""What a venue answered behind ccxt: its errors carry neither status nor headers nor body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias

Answer: TypeAlias = tuple[int, dict[str, str], str]
"""Status, headers, body."""
LastAnswer: TypeAlias = ContextVar[Answer | None]


def last_answer(venue: str) -> LastAnswer:
    """Where a venue's answers are kept, per task."""
    return ContextVar(f"{venue}_answer", default=None)


def remember(client: Any, last: LastAnswer) -> None:
    """Keep each answer of a ccxt client as it passes by."""
    original: Callable[..., Awaitable[Any]] = client.on_rest_response

    def on_rest_response(
        code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any
    ) -> Any:
        last.set((code, dict(headers or {}), body))
        return original(code, reason, url, method, headers, body, *rest)

    client.on_rest_response = on_rest_response
