"""Binance's public REST, through ccxt's implicit calls (its addresses, parsing and error handling).

Implicit rather than unified calls where ccxt's unified form loses what we need: taker volumes of
candles, raw rate strings, ``Special`` settlements. ccxt's throttle is off. Order-book snapshots go
direct: their 1000 levels are decoded straight into floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, Unpack

import msgspec

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.binance import rest_rows
from apps.venues.binance.parse import INTERVAL_S, NS_PER_MS, VENUE, Market, depth_snapshot
from apps.venues.binance.symbols import (
    Drop,
    futures_from_exchange_info,
    instruments_from_exchange_info,
)
from apps.venues.errors import VenueBadAnswer, VenueError, VenueThrottled, error_for_status
from apps.venues.marks import paired
from apps.venues.public_rest import Answer, PublicRest, Reader, Wiring
from apps.venues.rows import Row, interval_name
from apps.venues.values import BadValue

_PERIOD: Final = {seconds: name for name, seconds in INTERVAL_S.items()}
_SERIES: Final[dict[str, tuple[str, type[rest_rows.LongShortRow] | type[rest_rows.TakerRow]]]] = {
    "accounts": ("fapiDataGetGlobalLongShortAccountRatio", rest_rows.LongShortRow),
    "top_accounts": ("fapiDataGetTopLongShortAccountRatio", rest_rows.LongShortRow),
    "top_positions": ("fapiDataGetTopLongShortPositionRatio", rest_rows.LongShortRow),
    "taker": ("fapiDataGetTakerlongshortRatio", rest_rows.TakerRow),
}
_DATA_PAGE: Final = 500
_FUNDING_PAGE: Final = 1000
_KLINE_PAGE: Final = {Market.UM: 1500, Market.SPOT: 1000}
_DEPTH_LIMIT: Final = 1000
_DEPTH_WEIGHT: Final = {
    InstrumentKind.PERP: 20.0,
    InstrumentKind.FUTURE: 20.0,
    InstrumentKind.SPOT: 50.0,
}
_MINUTE_WEIGHT: Final = {Market.UM: 2300.0, Market.SPOT: 5700.0}
"""Just under what the venue allows an address: 2400 (shared with coin-margined contracts) and 6000."""
_WEIGHT: Final = {
    "fapiPublicGetExchangeInfo": 1.0,
    "publicGetExchangeInfo": 20.0,
    "fapiPublicGetKlines": 10.0,
    "publicGetKlines": 2.0,
    "fapiPublicGetMarkPriceKlines": 10.0,
    "fapiPublicGetIndexPriceKlines": 10.0,
    "fapiPublicGetPremiumIndex": 10.0,
    "fapiPublicGetOpenInterest": 1.0,
}
"""At the page sizes used here; what is not named has a pool of its own and no weight."""


class BinanceRestClient(PublicRest):
    """See :class:`apps.venues.rest_client.RestClient`."""

    venue = VENUE

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        super().__init__(**wiring)
        self.drops: list[tuple[Market, Drop]] = []
        """What the last :meth:`instruments` left out."""
        self._data_pool = self.new_pool("data", 950, 300)
        self._funding_pool = self.new_pool("funding", 480, 300)
        self._weight_pools = {
            market: self.new_pool(f"weight-{market.value}", weight, 60)
            for market, weight in _MINUTE_WEIGHT.items()
        }

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        intervals = await self.funding_intervals()
        found: list[Instrument] = []
        self.drops = []
        for market in self._markets():
            call = "publicGetExchangeInfo" if market is Market.SPOT else "fapiPublicGetExchangeInfo"
            body = await self._call(market, call)
            if not isinstance(body, dict) or "symbols" not in body:
                raise VenueBadAnswer(VENUE, f"{call}: expected symbols")
            listed, drops = instruments_from_exchange_info(
                body, market, funding_intervals=intervals
            )
            found += listed
            if market is Market.UM:
                found += futures_from_exchange_info(body)
            self.drops += [(market, drop) for drop in drops]
        self._known = {item.symbol: item for item in found if item.kind is not InstrumentKind.SPOT}
        return found

    async def funding_intervals(self) -> dict[str, float]:
        await self._funding_pool.acquire()
        body = await self._call(Market.UM, "fapiPublicGetFundingInfo")
        return {
            row.symbol: row.fundingIntervalHours
            for row in self.readable(body, rest_rows.FundingInfoRow)
        }

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        collected: list[rest_rows.FundingRow] = []
        cursor = start_ms
        while cursor < end_ms:
            await self._funding_pool.acquire()
            body = await self._call(
                Market.UM,
                "fapiPublicGetFundingRate",
                symbol=instrument.symbol,
                startTime=cursor,
                # The venue includes the end; ours is exclusive.
                endTime=end_ms - 1,
                limit=_FUNDING_PAGE,
            )
            page = self.readable(body, rest_rows.FundingRow)
            collected += page
            if len(page) < _FUNDING_PAGE:
                break
            cursor = max(row.fundingTime for row in page) + 1
        return rest_rows.settled_rates(instrument, collected, self._now_ns())

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        body = await self._call(Market.UM, "fapiPublicGetOpenInterest", symbol=instrument.symbol)
        rows = self.readable([body], rest_rows.OpenInterestRow)
        return rest_rows.open_interest_now(instrument, rows[0], self._now_ns())

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[OpenInterest]:
        name = "fapiDataGetOpenInterestHist"
        found = await self._data_pages(
            name, rest_rows.OpenInterestHistRow, instrument, period_s, start_ms, end_ms
        )
        return rest_rows.open_interest_then(instrument, found, self._now_ns())

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[Candle]:
        is_spot = instrument.kind is InstrumentKind.SPOT
        market = Market.SPOT if is_spot else Market.UM
        call = "publicGetKlines" if is_spot else "fapiPublicGetKlines"
        found = await self._klines(
            market, call, {"symbol": instrument.symbol}, interval_s, start_ms, end_ms
        )
        ts_recv = self._now_ns()
        return rest_rows.candles(instrument, found, interval_s, ts_recv // NS_PER_MS, ts_recv)

    async def mark_history(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[MarkPrice]:
        """See :class:`apps.venues.rest_client.GivesMarkHistory`. An index is named by its pair."""
        pair, span = instrument.symbol.partition("_")[0], (interval_s, start_ms, end_ms)
        marks, indices = [
            {row.open_time: row.close for row in await self._klines(Market.UM, call, name, *span)}
            for call, name in (
                ("fapiPublicGetMarkPriceKlines", {"symbol": instrument.symbol}),
                ("fapiPublicGetIndexPriceKlines", {"pair": pair}),
            )
        ]
        return paired(instrument, interval_s, marks, indices, self._now_ns())

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[PositioningRatio]:
        call, row_type = _SERIES[series]
        found: list[Any] = await self._data_pages(
            call, row_type, instrument, period_s, start_ms, end_ms
        )
        return rest_rows.long_shares(instrument, series, found, period_s, self._now_ns())

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        body = await self.book_body(instrument)
        try:
            return depth_snapshot(body, instrument, self._now_ns())
        except msgspec.MsgspecError as error:
            raise VenueBadAnswer(VENUE, f"depth of {instrument.symbol}: {error}") from error

    async def book_body(self, instrument: Instrument) -> bytes:
        """See :class:`apps.venues.rest_client.GivesBookBodies`."""
        is_spot = instrument.kind is InstrumentKind.SPOT
        pool = self._weight_pools[Market.SPOT if is_spot else Market.UM]
        await pool.acquire(_DEPTH_WEIGHT[instrument.kind])
        base = self._endpoints.spot_rest if is_spot else self._endpoints.rest
        path = "/api/v3/depth" if is_spot else "/fapi/v1/depth"
        url = f"{base}{path}?symbol={instrument.symbol}&limit={_DEPTH_LIMIT}"
        answer = await self.ask("depth", url)
        if answer.status != 200:
            raise self.refusal("depth", answer)
        return answer.body

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        if not self._known:
            await self.instruments()
        body = await self._call(Market.UM, "fapiPublicGetPremiumIndex")
        ts_recv = self._now_ns()
        events: list[MarkPrice | FundingRate] = []
        for row in self.readable(body, rest_rows.PremiumIndexRow):
            instrument = self._known.get(row.symbol)
            if instrument is None:
                continue
            try:
                events += rest_rows.mark_and_rate(instrument, row, ts_recv)
            except BadValue:
                self.bad_rows += 1
        return events

    def dropped(self) -> list[Drop]:
        """Perpetuals left out by the last :meth:`instruments`; spot pairs are extras."""
        return [drop for market, drop in self.drops if market is Market.UM]

    # --- inside -----------------------------------------------------------------------------------

    def _markets(self) -> list[Market]:
        return [Market.UM, Market.SPOT] if self._endpoints.spot_rest else [Market.UM]

    async def _klines(
        self,
        market: Market,
        call: str,
        name: Mapping[str, str],
        interval_s: int,
        start_ms: int,
        end_ms: int,
    ) -> list[rest_rows.KlineRow]:
        """Rows that open in [``start_ms``, ``end_ms``), oldest first; ``name`` says of what."""
        found: list[rest_rows.KlineRow] = []
        cursor, page_rows = start_ms, _KLINE_PAGE[market]
        while cursor < end_ms:
            page = await self._rows(
                market,
                call,
                rest_rows.KlineRow,
                **name,
                interval=interval_name(_PERIOD, interval_s),
                startTime=cursor,
                endTime=end_ms - 1,
                limit=page_rows,
            )
            found += page
            if len(page) < page_rows:
                break
            cursor = page[-1].open_time + interval_s * 1000
        return sorted(found, key=attrgetter("open_time"))

    async def _data_pages(
        self,
        call: str,
        row_type: type[Row],
        instrument: Instrument,
        period_s: int,
        start_ms: int,
        end_ms: int,
    ) -> list[Row]:
        """Rows of a ``/futures/data`` series, oldest first, asked for in windows of one page."""
        found: list[Row] = []
        window_ms = _DATA_PAGE * period_s * 1000
        for cursor in range(start_ms, end_ms, window_ms):
            await self._data_pool.acquire()
            found += await self._rows(
                Market.UM,
                call,
                row_type,
                symbol=instrument.symbol,
                period=interval_name(_PERIOD, period_s),
                startTime=cursor,
                endTime=min(cursor + window_ms, end_ms) - 1,
                limit=_DATA_PAGE,
            )
        return sorted(found, key=attrgetter("timestamp"))

    async def _rows(
        self, market: Market, name: str, row_type: type[Row], **params: object
    ) -> list[Row]:
        body = await self._call(market, name, _reader_of(row_type), **params)
        return self.readable(
            body[_ROWS] if isinstance(body, dict) and _ROWS in body else body, row_type
        )

    async def _call(
        self, market: Market, name: str, read: Reader | None = None, **params: object
    ) -> Any:
        if name in _WEIGHT:
            await self._weight_pools[market].acquire(_WEIGHT[name])
        exchange = "binance" if market is Market.SPOT else "binanceusdm"
        return await self.implicit(exchange, name, params, what=name, read=read)

    def aim(self, client: Any) -> None:
        api = client.urls["api"]
        rest = self._endpoints.rest
        api["fapiPublic"] = f"{rest}/fapi/v1"
        api["fapiData"] = f"{rest}/futures/data"
        if self._endpoints.spot_rest:
            api["public"] = f"{self._endpoints.spot_rest}/api/v3"

    def refusal(self, what: str, answer: Answer) -> VenueError:
        status, headers, _ = answer
        error = error_for_status(VENUE, what, status, headers, answer.excerpt)
        if isinstance(error, VenueThrottled):
            # Asking on through a 429 turns it into a ban of the address.
            for pool in (self._data_pool, self._funding_pool, *self._weight_pools.values()):
                pool.block_for(error.retry_after or 0.0)
        return error


_ROWS: Final = "rows"


@cache
def _reader_of(row_type: type[Any]) -> Reader:
    """Of lists, which the venue answers bare; what is wrong comes as an object."""
    decode = msgspec.json.Decoder(list[row_type], strict=False).decode  # type: ignore[valid-type]  # a type made at run time
    return lambda body: {_ROWS: decode(body)}
