"""Deribit's refusals: its own codes, with the HTTP status that goes with them."""

from __future__ import annotations

from typing import Any


class RpcRefusal(Exception):
    """Answered as ``{"error":{"code":…,"message":…,"data":…}}``; ``closes`` a WebSocket as well."""

    def __init__(
        self, code: int, message: str, data: Any = None, *, status: int = 400, closes: bool = False
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data
        self.status = status
        self.closes = closes

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.data is not None:
            error["data"] = self.data
        return error


def invalid(param: str, reason: str = "wrong format") -> RpcRefusal:
    return RpcRefusal(-32602, "Invalid params", {"reason": reason, "param": param})


def not_found() -> RpcRefusal:
    return RpcRefusal(13020, "not_found")


def unknown_method() -> RpcRefusal:
    return RpcRefusal(-32601, "Method not found")


def too_many() -> RpcRefusal:
    return RpcRefusal(10028, "too_many_requests", status=429, closes=True)


def raw_needs_login() -> RpcRefusal:
    return RpcRefusal(13778, "raw_subscriptions_not_available_for_unauthorized")
