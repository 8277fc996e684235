"""How each venue words an HTTP status that is no answer, for the faults that make it say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

JSON: Final = "application/json"
HTML: Final = "text/html"


@dataclass(frozen=True, slots=True)
class Refused:
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def _page(status: int, title: str) -> Refused:
    """What stands in front of a venue answers for it: no JSON."""
    text = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return Refused(text.encode(), HTML)


def _json(value: Any, **headers: str) -> Refused:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Refused(orjson.dumps(value), JSON, named)


def _binance(status: int, now_ms: int) -> Refused:
    if status == 429:
        msg = "Too many requests; current limit is 2400 request weight per 1 MINUTE."
        return _json({"code": -1003, "msg": msg}, Retry_After="2")
    if status == 418:
        msg = f"Way too many requests; IP banned until {now_ms + 120_000}."
        return _json({"code": -1003, "msg": msg}, Retry_After="120")
    if status == 451:
        msg = "Service unavailable from a restricted location according to 'b. Eligibility'."
        return _json({"code": 0, "msg": msg})
    if status == 403:
        return _page(status, "Forbidden")
    msg = "An unknown error occurred while processing the request."
    return _json({"code": -1000, "msg": msg})


def _bybit(status: int, now_ms: int) -> Refused:
    if status == 403:
        return Refused(b"access too frequent", "text/plain")
    if status in (418, 451):
        return _page(status, "Access denied")
    code, msg = (10006, "Too many visits. Exceeded the API Rate Limit.")
    if status != 429:
        code, msg = (10016, "Internal server error.")
    return _json({"retCode": code, "retMsg": msg, "result": {}, "retExtInfo": {}, "time": now_ms})


def _okx(status: int, _now_ms: int) -> Refused:
    if status == 429:
        return _json({"code": "50011", "data": [], "msg": "Too Many Requests"})
    if status in (403, 418, 451):
        return _page(status, "Access denied")
    code = "50026" if status >= 500 else "50000"
    return _json({"code": code, "data": [], "msg": "System error. Try again later"})


def _deribit(status: int, now_ms: int) -> Refused:
    if status in (403, 418, 451):
        return _page(status, "Forbidden")
    error = {"message": "internal_server_error", "code": 11094}
    if status == 429:
        error = {"message": "too_many_requests", "code": 10028}
    at_us = now_ms * 1_000
    return _json(
        {
            "jsonrpc": "2.0",
            "error": error,
            "usIn": at_us,
            "usOut": at_us,
            "usDiff": 0,
            "testnet": False,
        }
    )


def _hyperliquid(status: int, _now_ms: int) -> Refused:
    if status in (403, 418, 451):
        return _page(status, "Forbidden")
    return Refused(b"null")


_WORDS: Final[Mapping[str, Callable[[int, int], Refused]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "deribit": _deribit,
    "hyperliquid": _hyperliquid,
}


def refused(venue: str, status: int, now_ms: int) -> Refused:
    return _WORDS[venue](status, now_ms)
