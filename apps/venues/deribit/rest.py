"""Deribit's public REST, asked directly: its answers decode straight into numbers.

ccxt is not used here: its funding history is ``interest_8h`` on hourly rows (eight times too much when
summed), its open interest leaves the unit to the reader, and it asks without Deribit's own limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, Unpack

import msgspec

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    Event,
    FundingRate,
    IndexPrice,
    MarkPrice,
    OpenInterest,
    OptionQuote,
    PositioningRatio,
    VolatilityIndex,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.deribit import convert, rest_rows, symbols, wire
from apps.venues.deribit.convert import NS_PER_MS, VENUE
from apps.venues.deribit.parse import RESOLUTION_S
from apps.venues.deribit.perpetual import whole_book
from apps.venues.deribit.refusals import THROTTLED_S, rpc_error
from apps.venues.errors import VenueBadAnswer, VenueError, VenueThrottled, error_for_status
from apps.venues.public_rest import Answer, PublicRest, Wiring
from apps.venues.rest_client import Drop
from apps.venues.rows import interval_name
from apps.venues.values import BadValue, UnknownValue

_RESOLUTION: Final = {seconds: name for name, seconds in RESOLUTION_S.items()}
_HOUR_MS: Final = 3_600_000
_FUNDING_PAGE: Final = 744
_CHART_PAGE: Final = 5_000
_TRADES_PAGE: Final = 1_000
_BOOK_DEPTH: Final = 1_000
# The unauthenticated limit is not published: five requests a second is well inside what is known.
_REQUESTS_PER_S: Final = 5.0
T = TypeVar("T")


class DeribitRestClient(PublicRest):
    """See :class:`apps.venues.rest_client.RestClient`; the options' part comes on top of it."""

    venue = VENUE

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        super().__init__(**wiring)
        self._drops: list[symbols.Drop] = []
        self._pool = self.new_pool("requests", _REQUESTS_PER_S, 1.0)
        # get_instruments: one request a second.
        self._instruments_pool = self.new_pool("instruments", 1.0, 1.1)

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        """The followed perpetuals and dated futures."""
        listed: list[symbols.ListedInstrument] = []
        for currency in symbols.CURRENCIES:
            listed += await self._listed(currency, "future")
        found, self._drops = symbols.perpetuals(listed)
        found += symbols.futures(listed)
        self._known = {item.symbol: item for item in found}
        return found

    def dropped(self) -> Sequence[Drop]:
        return self._drops

    async def funding_intervals(self) -> dict[str, float]:
        # Funding is continuous; what is published is a rate per eight hours, for every perpetual.
        return {}

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        rows: list[rest_rows.FundingRow] = []
        window_ms = _FUNDING_PAGE * _HOUR_MS
        for cursor in range(start_ms, end_ms, window_ms):
            rows += await self._get(
                "get_funding_rate_history",
                list[rest_rows.FundingRow],
                instrument_name=instrument.symbol,
                start_timestamp=cursor,
                end_timestamp=min(cursor + window_ms, end_ms) - 1,
            )
        inside = [row for row in rows if start_ms <= row.timestamp < end_ms]
        return self._believed(rest_rows.settled_rates, instrument, inside, self._now_ns())

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        ticker = await self._get("ticker", wire.Ticker, instrument_name=instrument.symbol)
        if ticker.mark_price <= 0 or ticker.open_interest is None:
            raise VenueBadAnswer(VENUE, f"ticker of {instrument.symbol}: no mark or open interest")
        return convert.open_interest(
            instrument,
            ticker.open_interest,
            ticker.mark_price,
            ticker.timestamp * NS_PER_MS,
            self._now_ns(),
        )

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        """Always empty: Deribit keeps none, what is not sampled is lost."""
        return []

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        resolution = interval_name(_RESOLUTION, interval_s)
        found: dict[int, Candle] = {}
        window_ms = _CHART_PAGE * interval_s * 1000
        for cursor in range(start_ms, end_ms, window_ms):
            data = await self._get(
                "get_tradingview_chart_data",
                rest_rows.ChartData,
                instrument_name=instrument.symbol,
                start_timestamp=cursor,
                end_timestamp=min(cursor + window_ms, end_ms) - 1,
                resolution=resolution,
            )
            ts_recv = self._now_ns()
            now_ms = ts_recv // NS_PER_MS
            for candle in rest_rows.candles(instrument, data, interval_s, now_ms, ts_recv):
                if start_ms <= candle.open_ts // NS_PER_MS < end_ms:
                    found[candle.open_ts] = candle
        return [found[at] for at in sorted(found)]

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]:
        """Always empty: Deribit publishes no long/short ratios."""
        return []

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        body = await self._get(
            "get_order_book",
            wire.GroupedBook,
            instrument_name=instrument.symbol,
            depth=_BOOK_DEPTH,
        )
        return whole_book(instrument, body, self._now_ns())

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        events: list[MarkPrice | FundingRate] = []
        for instrument, row in await self._summaries():
            events += self._believed(rest_rows.summary_mark, instrument, row, self._now_ns())
        return events

    async def open_interests(self) -> list[OpenInterest]:
        rows = await self._summaries()
        ts_recv = self._now_ns()
        found = (rest_rows.summary_interest(item, row, ts_recv) for item, row in rows)
        return [event for event in found if event is not None]

    # --- options --------------------------------------------------------------------------------------

    async def option_instruments(self, currency: str) -> list[Instrument]:
        """Open options of our assets under a currency: BTC, ETH, or USDC for SOL and XRP."""
        return symbols.options(await self._listed(currency, "option"))

    async def option_chain(
        self, currency: str, instruments: Sequence[Instrument]
    ) -> list[OptionQuote]:
        """The whole chain in one call, for those of ``instruments`` that it names. No greeks."""
        known = {item.symbol: item for item in instruments}
        rows = await self._summary_rows(currency, "option")
        ts_recv = self._now_ns()
        quotes: list[OptionQuote] = []
        for row in rows:
            instrument = known.get(row.instrument_name)
            if instrument is None:
                continue
            try:
                quotes.append(rest_rows.summary_quote(instrument, row, ts_recv))
            except BadValue:
                self.bad_rows += 1
        return quotes

    async def option_quote(self, instrument: Instrument) -> OptionQuote:
        """One option with the venue's greeks."""
        ticker = await self._get("ticker", wire.Ticker, instrument_name=instrument.symbol)
        return self._believed(convert.option_quote, instrument, ticker, self._now_ns())

    async def trades(
        self,
        currency: str,
        kind: InstrumentKind,
        instruments: Sequence[Instrument],
        start_ms: int,
        end_ms: int,
    ) -> list[Event]:
        """Prints and liquidations with start ≤ time < end, oldest first; combinations by their legs."""
        known = {item.symbol: item for item in instruments}
        name = "option" if kind is InstrumentKind.OPTION else "future"
        seen: set[str] = set()
        events: list[Event] = []
        cursor = start_ms
        while cursor < end_ms:
            page = await self._get(
                "get_last_trades_by_currency_and_time",
                rest_rows.TradesPage,
                currency=currency,
                kind=name,
                start_timestamp=cursor,
                end_timestamp=end_ms - 1,
                count=_TRADES_PAGE,
                sorting="asc",
            )
            fresh = [row for row in page.trades if row.trade_id not in seen]
            seen.update(row.trade_id for row in fresh)
            events += self._trade_events(fresh, known)
            if not page.has_more or not page.trades:
                break
            newest = page.trades[-1].timestamp
            # The next page begins in the same millisecond, unless a whole page lies inside it.
            cursor = newest if fresh and newest > cursor else newest + 1
        return events

    async def index_price(self, asset: str) -> IndexPrice:
        name = symbols.PRICE_INDEX[asset]
        answer = await self._get("get_index_price", rest_rows.IndexAnswer, index_name=name)
        now = self._now_ns()
        return IndexPrice(VENUE, asset, name, now, now, answer.index_price)

    async def volatility_index(
        self, asset: str, resolution_s: int, start_ms: int, end_ms: int
    ) -> list[VolatilityIndex]:
        """DVOL closes, oldest first. Pages come newest first and name the end of the one before."""
        found: dict[int, VolatilityIndex] = {}
        until: int | None = end_ms - 1
        while until is not None and until >= start_ms:
            page = await self._get(
                "get_volatility_index_data",
                rest_rows.DvolPage,
                currency=asset,
                start_timestamp=start_ms,
                end_timestamp=until,
                resolution="1D" if resolution_s == 86_400 else resolution_s,
            )
            name = symbols.PRICE_INDEX[asset]
            for event in rest_rows.volatility_indices(asset, name, page, self._now_ns()):
                found[event.ts_event] = event
            following = page.continuation
            until = following if following is not None and following < until else None
        return [found[at] for at in sorted(found)]

    # --- inside ---------------------------------------------------------------------------------------

    def _trade_events(
        self, rows: Sequence[wire.Trade], known: dict[str, Instrument]
    ) -> list[Event]:
        events: list[Event] = []
        ts_recv = self._now_ns()
        for row in rows:
            instrument = known.get(row.instrument_name)
            if instrument is None:
                continue
            try:
                events += convert.trade_events(instrument, row, ts_recv)
            except (BadValue, UnknownValue):
                self.bad_rows += 1
        return events

    async def _listed(self, currency: str, kind: str) -> list[symbols.ListedInstrument]:
        await self._instruments_pool.acquire()
        rows = await self._get("get_instruments", list[Any], currency=currency, kind=kind)
        found, bad = symbols.listed_rows(rows)
        self.bad_rows += bad
        if bad and not found:
            raise VenueBadAnswer(VENUE, f"get_instruments: none of {bad} rows is readable")
        return found

    async def _summaries(self) -> list[tuple[Instrument, rest_rows.SummaryRow]]:
        if not self._known:
            await self.instruments()
        found: list[tuple[Instrument, rest_rows.SummaryRow]] = []
        for currency in symbols.CURRENCIES:
            for row in await self._summary_rows(currency, "future"):
                instrument = self._known.get(row.instrument_name)
                if instrument is not None:
                    found.append((instrument, row))
        return found

    async def _summary_rows(self, currency: str, kind: str) -> list[rest_rows.SummaryRow]:
        raw = await self._get(
            "get_book_summary_by_currency", list[msgspec.Raw], currency=currency, kind=kind
        )
        found: list[rest_rows.SummaryRow] = []
        for text in raw:
            try:
                found.append(msgspec.json.decode(text, type=rest_rows.SummaryRow))
            except msgspec.MsgspecError:
                self.bad_rows += 1
        if raw and not found:
            raise VenueBadAnswer(VENUE, f"book summary: none of {len(raw)} rows is readable")
        return found

    def _believed(self, make: Callable[..., T], *arguments: object) -> T:
        try:
            return make(*arguments)
        except BadValue as error:
            raise VenueBadAnswer(VENUE, str(error)) from error

    async def _get(self, method: str, shape: type[T], /, **params: str | int) -> T:
        await self._pool.acquire()
        answer = await self.ask(
            method, f"{self._endpoints.rest}/api/v2/public/{method}", params=params
        )
        if answer.status != 200:
            raise self.refusal(method, answer)
        try:
            return msgspec.json.decode(answer.body, type=wire.Result[shape]).result  # type: ignore[valid-type] # the type is a value here
        except msgspec.MsgspecError as error:
            raise VenueBadAnswer(VENUE, f"{method}: {error}") from error

    def refusal(self, what: str, answer: Answer) -> VenueError:
        status, headers, body = answer
        try:
            rpc = msgspec.json.decode(body, type=wire.Envelope).error
        except msgspec.MsgspecError:
            rpc = None
        if rpc is None:
            error = error_for_status(VENUE, what, status, headers, answer.excerpt)
        else:
            error = rpc_error(what, status, rpc)
        if isinstance(error, VenueThrottled):
            for pool in (self._pool, self._instruments_pool):
                pool.block_for(error.retry_after or THROTTLED_S)
        return error
