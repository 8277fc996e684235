"""Bybit's public REST, through ccxt's implicit calls (its addresses and its parsing).

Implicit rather than unified calls because ccxt's unified open interest counts both sides. ccxt's throttle is
off: the venue counts requests per address, and so does the one budget here. Order books go direct: their
levels are decoded straight into floats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal, Unpack

import msgspec

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.bybit import convert, rest_rows, tickers, wire
from apps.venues.bybit.convert import NS_PER_MS, VENUE
from apps.venues.bybit.errors import REFUSED_S, WINDOW_S, result_of
from apps.venues.bybit.symbols import (
    Drop,
    futures_of,
    interval_h,
    listed_instruments,
    perpetuals_of,
)
from apps.venues.errors import VenueBadAnswer, VenueError, VenueRefused, VenueThrottled
from apps.venues.marks import paired
from apps.venues.public_rest import Answer, PublicRest, Reader, Wiring
from apps.venues.rows import Row, interval_name
from apps.venues.values import BadValue

REQUESTS: Final = 500
"""Per five seconds; the venue shuts an address out for ten minutes that goes beyond 600."""
_CALLS: Final[dict[str, str]] = {
    "instruments": "publicGetV5MarketInstrumentsInfo",
    "tickers": "publicGetV5MarketTickers",
    "funding-history": "publicGetV5MarketFundingHistory",
    "open-interest": "publicGetV5MarketOpenInterest",
    "account-ratio": "publicGetV5MarketAccountRatio",
    "kline": "publicGetV5MarketKline",
    "mark-price-kline": "publicGetV5MarketMarkPriceKline",
    "index-price-kline": "publicGetV5MarketIndexPriceKline",
}
_LIST_PAGE: Final = 1_000
_MOST_LIST_PAGES: Final = 20
_FUNDING_PAGE: Final = 200
_OPEN_INTEREST_PAGE: Final = 200
_RATIO_PAGE: Final = 500
_KLINE_PAGE: Final = 1_000
_BOOK_LEVELS: Final = 200
_CATEGORY: Final = "linear"


class BybitRestClient(PublicRest):
    """See :class:`apps.venues.rest_client.RestClient`."""

    venue = VENUE

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        super().__init__(**wiring)
        self.drops: list[Drop] = []
        """What the last :meth:`instruments` left out."""
        self._pool = self.new_pool("rest", REQUESTS, WINDOW_S)

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        rows = await self._list()
        found, self.drops = perpetuals_of(rows)
        found += futures_of(rows)
        self._known = {item.symbol: item for item in found}
        return found

    def dropped(self) -> Sequence[Drop]:
        return self.drops

    async def funding_intervals(self) -> dict[str, float]:
        hours = {
            listed.symbol: interval_h(listed.fundingInterval)
            for listed in listed_instruments(await self._list())
        }
        return {symbol: found for symbol, found in hours.items() if found is not None}

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        found = await self._older_pages(
            "funding-history",
            rest_rows.FundingHistoryRow,
            attrgetter("fundingRateTimestamp"),
            # The start alone is an error.
            ("startTime", "endTime"),
            (start_ms, end_ms),
            None,
            symbol=instrument.symbol,
            limit=_FUNDING_PAGE,
        )
        return rest_rows.settled_rates(instrument, found, self._now_ns())

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        for row, ts_event in await self._tickers(symbol=instrument.symbol):
            found = self._interest_of(instrument, row, ts_event)
            if found is not None:
                return found
        raise VenueBadAnswer(VENUE, f"tickers: no open interest of {instrument.symbol}")

    async def open_interests(self) -> list[OpenInterest]:
        """Of every contract that we cover, in one call."""
        known = await self._contracts()
        events = []
        for row, ts_event in await self._tickers():
            instrument = known.get(row.symbol)
            found = self._interest_of(instrument, row, ts_event) if instrument else None
            if found is not None:
                events.append(found)
        return events

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        found = await self._older_pages(
            "open-interest",
            rest_rows.OpenInterestRow,
            attrgetter("timestamp"),
            ("startTime", "endTime"),
            (start_ms, end_ms),
            _OPEN_INTEREST_PAGE * period_s * 1000,
            symbol=instrument.symbol,
            intervalTime=interval_name(rest_rows.PERIOD, period_s),
            limit=_OPEN_INTEREST_PAGE,
        )
        ts_recv = self._now_ns()
        made = [rest_rows.open_interest_then(instrument, row, ts_recv) for row in found]
        good = [one for one in made if one is not None]
        self.bad_rows += len(made) - len(good)
        return good

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        span = (interval_s, start_ms, end_ms)
        found = await self._klines("kline", rest_rows.KlineRow, instrument, *span)
        ts_recv = self._now_ns()
        return [rest_rows.candle(instrument, row, interval_s, ts_recv) for row in found]

    async def mark_history(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[MarkPrice]:
        """See :class:`apps.venues.rest_client.GivesMarkHistory`."""
        span, row_type = (interval_s, start_ms, end_ms), rest_rows.PriceRow
        marks, indices = [
            {row.start: row.close for row in await self._klines(name, row_type, instrument, *span)}
            for name in ("mark-price-kline", "index-price-kline")
        ]
        return paired(instrument, interval_s, marks, indices, self._now_ns())

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[PositioningRatio]:
        if series != "accounts":
            raise ValueError(f"expected accounts, the venue's only series, received {series!r}")
        found = await self._older_pages(
            "account-ratio",
            rest_rows.RatioRow,
            attrgetter("timestamp"),
            ("startTime", "endTime"),
            (start_ms, end_ms),
            _RATIO_PAGE * period_s * 1000,
            symbol=instrument.symbol,
            period=interval_name(rest_rows.PERIOD, period_s),
            limit=_RATIO_PAGE,
        )
        return rest_rows.long_shares(instrument, found, period_s, self._now_ns())

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        result = await self._get(
            "orderbook",
            f"{self._endpoints.rest}/v5/market/orderbook?category={_CATEGORY}"
            f"&symbol={instrument.symbol}&limit={_BOOK_LEVELS}",
        )
        try:
            body = msgspec.convert(result, rest_rows.BookBody, strict=False)
        except (msgspec.ValidationError, ValueError) as error:
            raise VenueBadAnswer(VENUE, f"orderbook: {error}") from error
        return rest_rows.book_snapshot(instrument, body, self._now_ns())

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        known = await self._contracts()
        events: list[MarkPrice | FundingRate] = []
        ts_recv = self._now_ns()
        for row, ts_event in await self._tickers():
            instrument = known.get(row.symbol)
            if instrument is None:
                continue
            try:
                state = tickers.merge(None, row)
            except BadValue:
                self.bad_rows += 1
                continue
            if state.mark:
                events.append(tickers.mark_price(instrument, state, ts_event, ts_recv))
            if state.rate and state.next_ms:
                events.append(
                    convert.predicted(
                        instrument, ts_event, ts_recv, state.rate, state.interval_h, state.next_ms
                    )
                )
        return events

    # --- inside -----------------------------------------------------------------------------------

    async def _contracts(self) -> dict[str, Instrument]:
        if not self._known:
            await self.instruments()
        return self._known

    async def _list(self) -> list[Any]:
        """All pages: the venue lists more than fit into one."""
        found: list[Any] = []
        cursor = ""
        for _ in range(_MOST_LIST_PAGES):
            more = {"cursor": cursor} if cursor else {}
            result = await self._call("instruments", limit=_LIST_PAGE, **more)
            found += rest_rows.list_of("instruments", result)
            cursor = str(result.get("nextPageCursor") or "")
            if not cursor:
                break
        return found

    async def _tickers(self, **params: object) -> list[tuple[wire.TickerRow, int]]:
        """Rows with our receive time: the answer has one time for all, of the server that sent it."""
        result = await self._call("tickers", **params)
        ts_event = self._now_ns()
        data = rest_rows.list_of("tickers", result)
        return [(row, ts_event) for row in self.readable(data, wire.TickerRow)]

    def _interest_of(
        self, instrument: Instrument, row: wire.TickerRow, ts_event: int
    ) -> OpenInterest | None:
        try:
            state = tickers.merge(None, row)
        except BadValue:
            self.bad_rows += 1
            return None
        if state.oi is None:
            return None
        return tickers.open_interest(instrument, state, ts_event, self._now_ns())

    async def _klines(
        self,
        name: str,
        row_type: type[Row],
        instrument: Instrument,
        interval_s: int,
        start_ms: int,
        end_ms: int,
    ) -> list[Row]:
        return await self._older_pages(
            name,
            row_type,
            attrgetter("start"),
            ("start", "end"),
            (start_ms, min(end_ms, self._now_ns() // NS_PER_MS + 1)),
            _KLINE_PAGE * interval_s * 1000,
            symbol=instrument.symbol,
            interval=interval_name(rest_rows.INTERVAL, interval_s),
            limit=_KLINE_PAGE,
        )

    async def _older_pages(
        self,
        name: str,
        row_type: type[Row],
        time_of: Callable[[Any], int],
        bounds: tuple[str, str],
        span: tuple[int, int],
        page_ms: int | None,
        **params: object,
    ) -> list[Row]:
        """Rows with start ≤ time < end, oldest first, asked for from the newest back.

        ``page_ms``: how much time a full page covers; a page then asks for no more than that, and an empty
        one (the venue was down) is stepped over. None: an empty page is the end.
        """
        start_ms, cursor = span
        found: dict[int, Row] = {}
        while cursor > start_ms:
            begin = start_ms if page_ms is None else max(start_ms, cursor - page_ms)
            window = {bounds[0]: begin, bounds[1]: cursor - 1}
            result = await self._call(name, _reader_of(row_type), **params, **window)
            page = self.readable(rest_rows.list_of(name, result), row_type)
            at = list(map(time_of, page))
            if at and begin <= min(at) and max(at) < cursor:
                found.update(zip(at, page, strict=True))
            else:
                found |= {
                    when: row for when, row in zip(at, page, strict=True) if begin <= when < cursor
                }
            if page_ms is not None:
                cursor = begin
                continue
            oldest = min((when for when in at if when >= begin), default=begin)
            if not at or oldest >= cursor:
                break
            cursor = oldest
        return [found[when] for when in sorted(found)]

    async def _call(
        self, name: str, read: Reader | None = None, /, **params: object
    ) -> dict[str, Any]:
        await self._pool.acquire()
        query = {"category": _CATEGORY, **params}
        body = await self.implicit("bybit", _CALLS[name], query, what=name, read=read)
        result = body.get("result") if isinstance(body, dict) else None
        if not isinstance(result, dict):
            raise VenueBadAnswer(VENUE, f"{name}: expected a result")
        return result

    async def _get(self, name: str, url: str) -> dict[str, Any]:
        await self._pool.acquire()
        return self._result(name, await self.ask(name, url))

    def aim(self, client: Any) -> None:
        client.urls["api"]["public"] = self._endpoints.rest

    def refusal(self, what: str, answer: Answer) -> VenueError:
        try:
            self._result(what, answer)
        except VenueError as error:
            return error
        return VenueBadAnswer(VENUE, f"{what}: {answer.excerpt}")

    def _result(self, name: str, answer: Answer) -> dict[str, Any]:
        try:
            return result_of(name, *answer)
        except VenueThrottled as error:
            self._pool.block_for(error.retry_after or WINDOW_S)
            raise
        except VenueRefused as error:
            self._pool.block_for(error.retry_after or REFUSED_S)
            raise


@cache
def _reader_of(row_type: type[Any]) -> Reader:
    result = msgspec.defstruct("Result", [("list", list[row_type])])  # type: ignore[valid-type]  # a type made at run time
    answer = msgspec.defstruct("Answer", [("retCode", Literal[0]), ("result", result)])
    decode: Callable[[str], Any] = msgspec.json.Decoder(answer, strict=False).decode
    return lambda body: {"retCode": 0, "result": {"list": decode(body).result.list}}
