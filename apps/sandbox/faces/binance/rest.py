"""Binance REST: which path answers what, at which weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import web

from apps.sandbox.faces.binance import params
from apps.sandbox.faces.binance.errors import VenueError, not_trading
from apps.sandbox.faces.binance.limits import Limits
from apps.sandbox.faces.binance.source import Json, Source, TimeRange
from apps.sandbox.faces.tables import as_json

Query: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[Source, Query], Json]
Weight: TypeAlias = Callable[[Query], int]
_UM_DEPTHS: Final = (5, 10, 20, 50, 100, 500, 1000)
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    path: str
    handler: Handler
    weight: Weight
    pool: str | None = None


def _flat(weight: int) -> Weight:
    return lambda _query: weight


def _one_or_all(one: int, every: int) -> Weight:
    return lambda query: one if query.get("symbol") else every


def _by_limit(default: int, *steps: tuple[int, int], above: int) -> Weight:
    """Weight by the ``limit`` asked for: (largest limit, weight) pairs, ``above`` beyond them."""

    def weigh(query: Query) -> int:
        text = query.get("limit", "")
        limit = int(text) if text.isascii() and text.isdigit() else default
        return next((weight for most, weight in steps if limit <= most), above)

    return weigh


def _depth(source: Source, query: Query) -> Json:
    symbol = params.known_symbol(query, source)
    limit = params.integer(query, "limit") or 500
    if limit not in _UM_DEPTHS:
        raise VenueError(-4021, f"{limit} is not valid depth limit.")
    return source.depth(symbol, limit)


def _spot_depth(source: Source, query: Query) -> Json:
    symbol = params.known_symbol(query, source)
    return source.depth(symbol, params.limit_of(query, 100, 5000, clamp=True))


def _agg_trades(source: Source, query: Query) -> Json:
    symbol = params.known_symbol(query, source)
    span = params.span_of(query, 500, 1000)
    if span.start is not None and span.end is not None and span.end - span.start > _HOUR_MS:
        raise VenueError(-1127, "More than 1 hours between startTime and endTime.")
    return source.agg_trades(symbol, params.integer(query, "fromId"), span)


def _trades(source: Source, query: Query) -> Json:
    return source.recent_trades(
        params.known_symbol(query, source), params.limit_of(query, 500, 1000)
    )


def _klines(series: str, name: str, most: int, *, clamp: bool = False) -> Handler:
    def answer(source: Source, query: Query) -> Json:
        symbol = params.known_symbol(query, source, name)
        interval = params.interval_of(query)
        return source.klines(
            series, symbol, interval, params.span_of(query, 500, most, clamp=clamp)
        )

    return answer


def _each(pick: Callable[[Source, str], Json | None]) -> Handler:
    """One symbol's answer, or a list of everyone's."""

    def answer(source: Source, query: Query) -> Json:
        symbol = params.optional_symbol(query, source)
        if symbol is None:
            rows = (pick(source, name) for name in source.symbols())
            return [row for row in rows if row is not None]
        row = pick(source, symbol)
        if row is None:
            raise not_trading()
        return row

    return answer


def _funding_rates(source: Source, query: Query) -> Json:
    symbol = params.optional_symbol(query, source)
    return source.funding_rates(symbol, params.span_of(query, 100, 1000))


def _data_span(query: Query) -> tuple[int, TimeRange]:
    return params.period_of(query), params.span_of(query, 30, 500)


def _open_interest_history(source: Source, query: Query) -> Json:
    symbol = params.known_symbol(query, source)
    return source.open_interest_history(symbol, *_data_span(query))


def _long_short(series: str) -> Handler:
    def answer(source: Source, query: Query) -> Json:
        symbol = params.known_symbol(query, source)
        return source.long_short_ratio(series, symbol, *_data_span(query))

    return answer


def _taker(source: Source, query: Query) -> Json:
    return source.taker_ratio(params.known_symbol(query, source), *_data_span(query))


def _time(source: Source, _query: Query) -> Json:
    return {"serverTime": source.now_ms()}


_KLINE_WEIGHT: Final = _by_limit(500, (99, 1), (499, 2), (1000, 5), above=10)
_UM_DEPTH_WEIGHT: Final = _by_limit(500, (50, 2), (100, 5), (500, 10), above=20)
_SPOT_DEPTH_WEIGHT: Final = _by_limit(100, (100, 5), (500, 25), (1000, 50), above=250)

UM_ENDPOINTS: Final = (
    Endpoint("/fapi/v1/ping", lambda _source, _query: {}, _flat(1)),
    Endpoint("/fapi/v1/time", _time, _flat(1)),
    Endpoint("/fapi/v1/exchangeInfo", lambda source, _query: source.exchange_info(), _flat(1)),
    Endpoint("/fapi/v1/depth", _depth, _UM_DEPTH_WEIGHT),
    Endpoint("/fapi/v1/aggTrades", _agg_trades, _flat(20)),
    Endpoint("/fapi/v1/trades", _trades, _flat(5)),
    Endpoint("/fapi/v1/klines", _klines("last", "symbol", 1500), _KLINE_WEIGHT),
    Endpoint("/fapi/v1/markPriceKlines", _klines("mark", "symbol", 1500), _KLINE_WEIGHT),
    Endpoint("/fapi/v1/indexPriceKlines", _klines("index", "pair", 1500), _KLINE_WEIGHT),
    Endpoint("/fapi/v1/premiumIndexKlines", _klines("premium", "symbol", 1500), _KLINE_WEIGHT),
    Endpoint(
        "/fapi/v1/premiumIndex",
        _each(lambda source, symbol: source.premium_index(symbol)),
        _one_or_all(1, 10),
    ),
    Endpoint(
        "/fapi/v1/fundingInfo", lambda source, _query: source.funding_info(), _flat(0), "funding"
    ),
    Endpoint("/fapi/v1/fundingRate", _funding_rates, _flat(0), "funding"),
    Endpoint(
        "/fapi/v1/openInterest",
        lambda source, query: source.open_interest(params.known_symbol(query, source)),
        _flat(1),
    ),
    Endpoint(
        "/fapi/v1/ticker/24hr",
        _each(lambda source, symbol: source.ticker_24h(symbol)),
        _one_or_all(1, 40),
    ),
    Endpoint(
        "/fapi/v1/ticker/bookTicker",
        _each(lambda source, symbol: source.book_ticker(symbol)),
        _one_or_all(2, 5),
    ),
    Endpoint(
        "/fapi/v1/ticker/price",
        _each(lambda source, symbol: source.price(symbol)),
        _one_or_all(1, 2),
    ),
    Endpoint("/futures/data/openInterestHist", _open_interest_history, _flat(0), "data"),
    Endpoint(
        "/futures/data/globalLongShortAccountRatio", _long_short("accounts"), _flat(0), "data"
    ),
    Endpoint(
        "/futures/data/topLongShortAccountRatio", _long_short("top_accounts"), _flat(0), "data"
    ),
    Endpoint(
        "/futures/data/topLongShortPositionRatio", _long_short("top_positions"), _flat(0), "data"
    ),
    Endpoint("/futures/data/takerlongshortRatio", _taker, _flat(0), "data"),
    # Of coin-margined contracts there are the list and the streams; the weight is counted together.
    Endpoint("/dapi/v1/exchangeInfo", lambda source, _query: source.coin_exchange_info(), _flat(1)),
)
SPOT_ENDPOINTS: Final = (
    Endpoint("/api/v3/ping", lambda _source, _query: {}, _flat(1)),
    Endpoint("/api/v3/time", _time, _flat(1)),
    Endpoint("/api/v3/exchangeInfo", lambda source, _query: source.exchange_info(), _flat(20)),
    Endpoint("/api/v3/depth", _spot_depth, _SPOT_DEPTH_WEIGHT),
    Endpoint("/api/v3/aggTrades", _agg_trades, _flat(4)),
    Endpoint("/api/v3/trades", _trades, _flat(25)),
    Endpoint("/api/v3/klines", _klines("last", "symbol", 1000, clamp=True), _flat(2)),
    Endpoint(
        "/api/v3/ticker/24hr",
        _each(lambda source, symbol: source.ticker_24h(symbol)),
        _one_or_all(2, 80),
    ),
    Endpoint(
        "/api/v3/ticker/bookTicker",
        _each(lambda source, symbol: source.book_ticker(symbol)),
        _one_or_all(2, 4),
    ),
    Endpoint(
        "/api/v3/ticker/price",
        _each(lambda source, symbol: source.price(symbol)),
        _one_or_all(2, 4),
    ),
)


class RestFace:
    """Registers endpoints on an aiohttp application and answers them from a source."""

    def __init__(self, endpoints: tuple[Endpoint, ...], source: Source, limits: Limits) -> None:
        self._endpoints = endpoints
        self._source = source
        self._limits = limits
        self.requests = 0

    def register(self, app: web.Application) -> None:
        for endpoint in self._endpoints:
            app.router.add_get(endpoint.path, self._handler(endpoint))

    def _handler(self, endpoint: Endpoint) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self.requests += 1
            try:
                self._limits.charge(endpoint.weight(request.query), endpoint.pool)
                return self._response(endpoint.handler(self._source, request.query))
            except VenueError as error:
                return self._refusal(error)

        return handle

    def _headers(self) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self._limits.weight.used)}

    def _response(self, answer: Json) -> web.Response:
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer, default=as_json)
        return web.Response(body=body, content_type="application/json", headers=self._headers())

    def _refusal(self, error: VenueError) -> web.Response:
        headers = self._headers()
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(error.retry_after_s)
        return web.Response(
            body=orjson.dumps({"code": error.code, "msg": error.msg}),
            status=error.status,
            content_type="application/json",
            headers=headers,
        )
