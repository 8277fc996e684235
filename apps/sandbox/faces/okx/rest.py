"""OKX REST: which path answers what, within which limit. Every limit counts two seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson
from aiohttp import web

from apps.sandbox.faces.okx.bars import BARS, PERIODS, Bar
from apps.sandbox.faces.okx.errors import (
    Refusal,
    missing,
    throttled,
    unknown_instrument,
    wrong,
)
from apps.sandbox.faces.okx.history import Page
from apps.sandbox.faces.okx.source import Rows, Source

Query: TypeAlias = Mapping[str, str]
Handler: TypeAlias = Callable[[Source, Query], Rows]
_WINDOW_S: Final = 2
_RECENT_ROWS: Final = 1_440
_ANY: Final = "ANY"
_BY_INSTRUMENT: Final = ("/api/v5/public/", "/api/v5/rubik/")
_MOST_COUNTED: Final = 5_000


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise wrong(name)
    return int(text)


def _limit(query: Query, name: str, default: int, most: int) -> int:
    """More than the most is cut, as at the venue."""
    value = _integer(query, name)
    if value == 0:
        raise wrong(name)
    return default if value is None else min(value, most)


def _page(query: Query, default: int, most: int) -> Page:
    return Page(
        _integer(query, "before"), _integer(query, "after"), _limit(query, "limit", default, most)
    )


def _symbol(source: Source, query: Query, name: str = "instId") -> str:
    symbol = query.get(name, "")
    if not symbol:
        raise missing(name)
    if symbol not in source.wires:
        raise unknown_instrument()
    return symbol


def _index_symbol(source: Source, query: Query) -> str:
    """The swap whose index is asked for."""
    name = query.get("instId", "")
    if not name:
        raise missing("instId")
    for symbol, wire in source.wires.items():
        if wire.index == name:
            return symbol
    raise unknown_instrument()


def _bar(query: Query, name: str, default: str, known: frozenset[str]) -> Bar:
    text = query.get(name) or default
    if text not in known:
        raise wrong(name)
    return BARS[text]


_ALL_BARS: Final = frozenset(BARS)


def _inst_type(query: Query) -> str:
    name = query.get("instType", "")
    if not name:
        raise missing("instType")
    if name not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS"):
        raise wrong("instType")
    return name


def _instruments(source: Source, query: Query) -> Rows:
    inst_type = _inst_type(query)
    rows = (
        source.options(_family(query)) if inst_type == "OPTION" else source.instruments(inst_type)
    )
    wanted = query.get("instId")
    return [row for row in rows if not wanted or row["instId"] == wanted]


def _family(query: Query) -> str:
    family = query.get("instFamily") or query.get("uly", "")
    if not family:
        raise missing("instFamily")
    return family


def _past_trades(source: Source, query: Query) -> Rows:
    kind = query.get("type") or "1"
    if kind not in ("1", "2"):
        raise wrong("type")
    return source.past_trades(_symbol(source, query), _page(query, 100, 100), by_time=kind == "2")


def _every(source: Source, query: Query, rows_of: Callable[[str], Rows]) -> Rows:
    """Of one contract, or of all of a type."""
    inst_type = _inst_type(query)
    chosen = [symbol for symbol, wire in source.wires.items() if wire.inst_type == inst_type]
    if query.get("instId"):
        chosen = [symbol for symbol in chosen if symbol == _symbol(source, query)]
    return [row for symbol in chosen for row in rows_of(symbol)]


def _live(channel: str) -> Handler:
    return lambda source, query: _every(source, query, lambda symbol: source.live(channel, symbol))


def _swaps(source: Source) -> list[str]:
    return [symbol for symbol, wire in source.wires.items() if wire.listing.is_perp]


def _funding_rate(source: Source, query: Query) -> Rows:
    if query.get("instId") == _ANY:
        return [row for symbol in _swaps(source) for row in source.live("funding-rate", symbol)]
    return source.live("funding-rate", _symbol(source, query))


def _index_tickers(source: Source, query: Query) -> Rows:
    if query.get("instId"):
        return source.live("index-tickers", _index_symbol(source, query))
    if not query.get("quoteCcy"):
        raise missing("instId")
    tail = f"-{query['quoteCcy']}"
    own = [symbol for symbol in _swaps(source) if source.wires[symbol].index.endswith(tail)]
    return [row for symbol in own for row in source.live("index-tickers", symbol)]


def _candles(series: str, most: int, rows: int | None = None) -> Handler:
    def answer(source: Source, query: Query) -> Rows:
        symbol = _index_symbol(source, query) if series == "index" else _symbol(source, query)
        bar = _bar(query, "bar", "1m", _ALL_BARS)
        return source.candles(series, symbol, bar, _page(query, 100, most), rows)

    return answer


def _statistic(name: str) -> Handler:
    def answer(source: Source, query: Query) -> Rows:
        symbol = _symbol(source, query)
        period = _bar(query, "period", "5m", PERIODS)
        page = Page(
            _integer(query, "begin"), _integer(query, "end"), _limit(query, "limit", 100, 100)
        )
        unit = query.get("unit") or "1"
        if unit not in ("0", "1", "2"):
            raise wrong("unit")
        return source.statistic(name, symbol, period, page, unit)

    return answer


_RUBIK: Final = "/api/v5/rubik/stat/contracts"
ENDPOINTS: Final[tuple[tuple[str, int, Handler], ...]] = (
    ("/api/v5/public/time", 10, lambda source, _: [{"ts": str(source.now_ms())}]),
    ("/api/v5/public/instruments", 20, _instruments),
    ("/api/v5/public/mark-price", 10, _live("mark-price")),
    ("/api/v5/public/open-interest", 20, _live("open-interest")),
    ("/api/v5/public/funding-rate", 10, _funding_rate),
    (
        "/api/v5/public/funding-rate-history",
        10,
        lambda source, query: source.funding_history(
            _symbol(source, query), _page(query, 400, 400)
        ),
    ),
    ("/api/v5/market/index-tickers", 20, _index_tickers),
    (
        "/api/v5/market/tickers",
        20,
        lambda source, query: _every(source, query, source.ticker),
    ),
    (
        "/api/v5/market/ticker",
        20,
        lambda source, query: source.ticker(_symbol(source, query)),
    ),
    (
        "/api/v5/market/books",
        40,
        lambda source, query: source.book(_symbol(source, query), _limit(query, "sz", 1, 400)),
    ),
    (
        "/api/v5/market/books-full",
        10,
        lambda source, query: source.full_book(
            _symbol(source, query), _limit(query, "sz", 1, 5000)
        ),
    ),
    (
        "/api/v5/market/trades",
        100,
        lambda source, query: source.trades(
            _symbol(source, query), _limit(query, "limit", 100, 500)
        ),
    ),
    (
        "/api/v5/market/history-trades",
        20,
        _past_trades,
    ),
    (
        "/api/v5/public/opt-summary",
        20,
        lambda source, query: source.option_summaries(_family(query), query.get("expTime", "")),
    ),
    ("/api/v5/market/candles", 40, _candles("last", 300, _RECENT_ROWS)),
    ("/api/v5/market/history-candles", 20, _candles("last", 100)),
    ("/api/v5/market/mark-price-candles", 20, _candles("mark", 100)),
    ("/api/v5/market/history-mark-price-candles", 10, _candles("mark", 100)),
    ("/api/v5/market/index-candles", 20, _candles("index", 100)),
    ("/api/v5/market/history-index-candles", 10, _candles("index", 100)),
    (f"{_RUBIK}/open-interest-history", 10, _statistic("open_interest")),
    (f"{_RUBIK}/long-short-account-ratio-contract", 5, _statistic("accounts")),
    (
        f"{_RUBIK}/long-short-account-ratio-contract-top-trader",
        5,
        _statistic("top_accounts"),
    ),
    (
        f"{_RUBIK}/long-short-position-ratio-contract-top-trader",
        5,
        _statistic("top_positions"),
    ),
    ("/api/v5/rubik/stat/taker-volume-contract", 5, _statistic("taker")),
)


def counted_as(path: str, query: Query) -> str:
    """Limits of ``public`` and ``rubik`` paths are counted by instrument, those of ``market`` are not."""
    named = query.get("instId", "") if path.startswith(_BY_INSTRUMENT) else ""
    return f"{path}?{named}"


class Windows:
    """Requests per endpoint in each two seconds. Loopback has one address, so there is one of these."""

    def __init__(self, multiplier: float, wall_s: Callable[[], float]) -> None:
        self._multiplier = multiplier
        self._wall_s = wall_s
        self._used: dict[str, tuple[int, int]] = {}

    def take(self, path: str, limit: int) -> None:
        slot = int(self._wall_s()) // _WINDOW_S
        last, used = self._used.get(path, (slot, 0))
        used = used + 1 if last == slot else 1
        if len(self._used) > _MOST_COUNTED:
            self._used.clear()
        self._used[path] = (slot, used)
        if used > limit * self._multiplier:
            raise throttled()


class RestFace:
    """Registers the endpoints on an application and answers them from a source."""

    def __init__(self, source: Source, wall_s: Callable[[], float], multiplier: float) -> None:
        self._source = source
        self.windows = Windows(multiplier, wall_s)
        self.requests = 0

    def register(self, app: web.Application) -> None:
        for path, limit, handler in ENDPOINTS:
            app.router.add_get(path, self._handler(limit, handler))

    def _handler(self, limit: int, handler: Handler) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            self.requests += 1
            try:
                self.windows.take(counted_as(request.path, request.query), limit)
                return _answer("0", "", handler(self._source, request.query))
            except Refusal as refusal:
                return _answer(refusal.code, refusal.msg, [], refusal.status)

        return handle


def _answer(code: str, msg: str, data: Rows, status: int = 200) -> web.Response:
    body = orjson.dumps({"code": code, "data": data, "msg": msg})
    return web.Response(body=body, status=status, content_type="application/json")
