"""Bybit REST: which path answers what. All requests of an address share one limit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import web

from apps.sandbox.faces.bybit.errors import Refusal, shut_out, wrong
from apps.sandbox.faces.bybit.history import INTERVALS, PERIODS, Span
from apps.sandbox.faces.bybit.source import LINEAR, SPOT, Rows, Source
from apps.sandbox.faces.tables import as_json

Query: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[Source, Query], dict[str, Any]]
_WINDOW_S: Final = 5.0
_REQUESTS: Final = 600
_SHUT_OUT_S: Final = 600.0
_RECENT_TRADES: Final = {LINEAR: (500, 1_000), SPOT: (60, 60)}
"""How many by default, and at most."""
_CATEGORIES: Final = frozenset({"linear", "spot", "inverse", "option"})


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise wrong(f"{name} invalid")
    return int(text)


def _limit(query: Query, default: int, most: int) -> int:
    """More than the most is cut, as at the venue."""
    value = _integer(query, "limit")
    if value == 0:
        raise wrong("limit invalid")
    return default if value is None else min(value, most)


def _category(query: Query) -> str:
    category = query.get("category", "")
    if category not in _CATEGORIES:
        raise wrong("Category is invalid" if category else "Category cannot be empty")
    return category


def _symbol(source: Source, query: Query) -> str:
    symbol = query.get("symbol", "")
    if _category(query) != source.category or symbol not in source.listings:
        raise wrong("Symbol Is Invalid" if symbol else "Symbol cannot be empty")
    return symbol


def _contract(source: Source, query: Query) -> str:
    """Spot has no funding, open interest or mark."""
    symbol = _symbol(source, query)
    if source.category != LINEAR:
        raise wrong("Category is invalid")
    return symbol


def _named(query: Query, name: str, known: Mapping[str, int]) -> int:
    text = query.get(name, "")
    if text not in known:
        raise wrong(f"{name} invalid")
    return known[text]


def _instruments(source: Source, query: Query) -> dict[str, Any]:
    """The cursor is the place in the list."""
    category = _category(query)
    wanted, limit = query.get("symbol"), _limit(query, 500, 1_000)
    rows = source.instruments() if category == source.category else []
    rows = [row for row in rows if not wanted or row["symbol"] == wanted]
    at = _integer(query, "cursor") or 0
    cursor = str(at + limit) if at + limit < len(rows) else ""
    return {"category": category, "list": rows[at : at + limit], "nextPageCursor": cursor}


def _tickers(source: Source, query: Query) -> dict[str, Any]:
    category = _category(query)
    rows: list[Any] = []
    if category == source.category:
        chosen = [_symbol(source, query)] if query.get("symbol") else list(source.listings)
        rows = [row for symbol in chosen for row in source.ticker(symbol)]
    return {"category": category, "list": rows}


def _funding(source: Source, query: Query) -> dict[str, Any]:
    start, end = _integer(query, "startTime"), _integer(query, "endTime")
    symbol = _contract(source, query)
    if start is not None and end is None:
        raise wrong("endTime cannot be empty when startTime is given")
    rows = source.funding(symbol, Span(start, end, _limit(query, 200, 200)))
    return {"category": "linear", "list": rows}


def _series(
    answer: Callable[[Source, str, int, Span], Rows],
    name: str,
    default: int,
    most: int,
    *,
    is_named: bool = True,
) -> Handler:
    """Statistics with a cursor: the end of the next page."""

    def handle(source: Source, query: Query) -> dict[str, Any]:
        symbol, minutes = _contract(source, query), _named(query, name, PERIODS)
        start, end = _integer(query, "startTime"), _integer(query, "endTime")
        limit = _limit(query, default, most)
        older = _integer(query, "cursor")
        rows = answer(source, symbol, minutes, Span(start, older or end, limit))
        cursor = str(int(rows[-1]["timestamp"]) - 1) if len(rows) == limit else ""
        head = {"symbol": symbol, "category": LINEAR} if is_named else {}
        return {**head, "list": rows, "nextPageCursor": cursor}

    return handle


def _candles(series: str) -> Handler:
    def handle(source: Source, query: Query) -> dict[str, Any]:
        symbol = _symbol(source, query) if series == "last" else _contract(source, query)
        minutes = _named(query, "interval", INTERVALS)
        span = Span(_integer(query, "start"), _integer(query, "end"), _limit(query, 200, 1_000))
        rows = source.candles(series, symbol, minutes, span)
        return {"category": source.category, "symbol": symbol, "list": rows}

    return handle


def _trades(source: Source, query: Query) -> dict[str, Any]:
    symbol = _symbol(source, query)
    limit = _limit(query, *_RECENT_TRADES[source.category])
    return {"category": source.category, "list": source.trades(symbol, limit)}


def _time(source: Source, query: Query) -> dict[str, Any]:
    now = source.now_ms()
    return {"timeSecond": str(now // 1_000), "timeNano": str(now * 1_000_000)}


ENDPOINTS: Final[tuple[tuple[str, Handler], ...]] = (
    ("/v5/market/time", _time),
    ("/v5/market/instruments-info", _instruments),
    ("/v5/market/tickers", _tickers),
    (
        "/v5/market/orderbook",
        lambda source, query: source.book(
            _symbol(source, query), _limit(query, 1 if source.category == SPOT else 25, 1_000)
        ),
    ),
    ("/v5/market/recent-trade", _trades),
    ("/v5/market/funding/history", _funding),
    (
        "/v5/market/open-interest",
        _series(
            lambda source, *args: source.open_interest(*args),
            "intervalTime",
            50,
            200,
        ),
    ),
    (
        "/v5/market/account-ratio",
        _series(
            lambda source, *args: source.account_ratio(*args), "period", 50, 500, is_named=False
        ),
    ),
    ("/v5/market/kline", _candles("last")),
    ("/v5/market/mark-price-kline", _candles("mark")),
    ("/v5/market/index-price-kline", _candles("index")),
    ("/v5/market/premium-index-price-kline", _candles("premium")),
)


class Window:
    """Requests of the last five seconds. Loopback has one address, so there is one of these."""

    def __init__(self, multiplier: float, wall_s: Callable[[], float]) -> None:
        self._most = _REQUESTS * multiplier
        self._wall_s = wall_s
        self._times: deque[float] = deque()
        self._shut_until = 0.0

    def take(self) -> None:
        now = self._wall_s()
        while self._times and self._times[0] <= now - _WINDOW_S:
            self._times.popleft()
        if now < self._shut_until:
            raise shut_out()
        self._times.append(now)
        if len(self._times) > self._most:
            self._shut_until = now + _SHUT_OUT_S
            raise shut_out()


class RestFace:
    """Registers the endpoints on an application and answers them from a source."""

    def __init__(
        self,
        source: Source,
        wall_s: Callable[[], float],
        multiplier: float,
        spot: Source | None = None,
    ) -> None:
        self._source = source
        self._spot = spot or source
        self.window = Window(multiplier, wall_s)
        self.requests = 0

    def register(self, app: web.Application) -> None:
        for path, handler in ENDPOINTS:
            app.router.add_get(path, self._handler(handler))

    def _handler(self, handler: Handler) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self.requests += 1
            try:
                self.window.take()
                is_spot = request.query.get("category") == SPOT
                source = self._spot if is_spot else self._source
                return self._answer(0, "OK", handler(source, request.query))
            except Refusal as refusal:
                return self._answer(refusal.code, refusal.msg, {}, refusal.status)

        return handle

    def _answer(
        self, code: int, msg: str, result: dict[str, Any], status: int = 200
    ) -> web.Response:
        body = {
            "retCode": code,
            "retMsg": msg,
            "result": result,
            "retExtInfo": {},
            "time": self._source.now_ms(),
        }
        return web.Response(
            body=orjson.dumps(body, default=as_json),
            status=status,
            content_type="application/json",
        )
