"""OKX's public REST, through ccxt's implicit calls (its addresses and its parsing).

Implicit rather than unified calls where ccxt's unified form loses what we need: raw rate strings,
intervals, coins beside contracts. ccxt's throttle is off: each endpoint has its own budget here, as at the
venue. Order books go direct: their levels are decoded straight into floats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Literal, Unpack

import msgspec

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.errors import VenueBadAnswer, VenueError, VenueThrottled
from apps.venues.marks import paired
from apps.venues.okx import convert, limits, rest_rows, wire
from apps.venues.okx.convert import NS_PER_MS, VENUE
from apps.venues.okx.errors import WINDOW_S, rows_of
from apps.venues.okx.parse import index_name
from apps.venues.okx.symbols import Drop, futures_of, swaps_of
from apps.venues.public_rest import Answer, PublicRest, Reader, Wiring
from apps.venues.rows import Row, interval_name
from apps.venues.values import BadValue, UnknownValue


class OkxRestClient(PublicRest):
    """See :class:`apps.venues.rest_client.RestClient`.

    Each endpoint has a budget of its own, as at the venue.
    """

    venue = VENUE

    def __init__(self, **wiring: Unpack[Wiring]) -> None:
        super().__init__(**wiring)
        self.drops: list[Drop] = []
        """What the last :meth:`instruments` left out."""
        budgets = {name: limit for name, (_, limit) in limits.CALLS.items()}
        self._pools = {
            name: self.new_pool(name, limit, WINDOW_S)
            for name, limit in {"books": limits.BOOKS_LIMIT, **budgets}.items()
        }

    # --- the contract ---------------------------------------------------------------------------------

    async def instruments(self) -> list[Instrument]:
        intervals = await self.funding_intervals()
        data = await self._call("instruments", instType="SWAP")
        found, self.drops = swaps_of(data, funding_intervals=intervals)
        found += futures_of(await self._call("instruments", instType="FUTURES"))
        self._known = {item.symbol: item for item in found}
        return found

    def dropped(self) -> Sequence[Drop]:
        return self.drops

    async def funding_intervals(self) -> dict[str, float]:
        intervals = {}
        for row in await self._funding_rows():
            try:
                hours = convert.interval_h(row)
            except BadValue:
                self.bad_rows += 1
                continue
            if hours is not None:
                intervals[row.instId] = hours
        return intervals

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        found = await self._older_pages(
            "funding-rate-history",
            rest_rows.FundingHistoryRow,
            attrgetter("fundingTime"),
            "after",
            start_ms,
            end_ms,
            instId=instrument.symbol,
            # A page reaches back as far as it holds rows, not as far as is wanted.
            limit=settlements_page(instrument, end_ms - start_ms),
        )
        return rest_rows.settled_rates(instrument, found, self._now_ns())

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        inst_type = "SWAP" if instrument.kind is InstrumentKind.PERP else "FUTURES"
        data = await self._call("open-interest", instType=inst_type, instId=instrument.symbol)
        rows = self.readable(data, wire.OpenInterestRow)
        if not rows:
            raise VenueBadAnswer(VENUE, f"open-interest: no row of {instrument.symbol}")
        try:
            return convert.open_interest(instrument, rows[0], self._now_ns())
        except BadValue as error:
            raise VenueBadAnswer(VENUE, f"open-interest: {error}") from error

    async def open_interests(self) -> list[OpenInterest]:
        """Of every contract that we cover, in one call per type."""
        known = await self._contracts()
        data = await self._of_types("open-interest", known)
        ts_recv = self._now_ns()
        events = []
        for row in self.readable(data, wire.OpenInterestRow):
            instrument = known.get(row.instId)
            if instrument is None:
                continue
            try:
                events.append(convert.open_interest(instrument, row, ts_recv))
            except BadValue:
                self.bad_rows += 1
        return events

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[OpenInterest]:
        found = await self._older_pages(
            "open-interest-history",
            rest_rows.OpenInterestHistoryRow,
            attrgetter("ts"),
            "end",
            start_ms,
            end_ms,
            instId=instrument.symbol,
            period=interval_name(limits.BAR, period_s),
            limit=limits.RUBIK_PAGE,
        )
        return rest_rows.open_interest_then(instrument, found, self._now_ns())

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        bar = interval_name(limits.BAR, interval_s)
        ts_recv = self._now_ns()
        is_recent = self._is_recent(interval_s, start_ms)
        found = await self._older_pages(
            "candles" if is_recent else "history-candles",
            wire.CandleRow,
            attrgetter("ts"),
            "after",
            start_ms,
            end_ms,
            instId=instrument.symbol,
            bar=bar,
            limit=limits.CANDLE_PAGE if is_recent else limits.HISTORY_CANDLE_PAGE,
        )
        candles = []
        for row in found:
            try:
                candles.append(convert.candle(instrument, row, interval_s, ts_recv))
            except UnknownValue:
                self.bad_rows += 1
        return candles

    async def mark_history(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[MarkPrice]:
        """See :class:`apps.venues.rest_client.GivesMarkHistory`. An index has a name of its own."""
        age = "" if self._is_recent(interval_s, start_ms) else "history-"
        marks, indices = [
            {
                row.ts: row.close
                for row in await self._older_pages(
                    f"{age}{name}",
                    rest_rows.PriceRow,
                    attrgetter("ts"),
                    "after",
                    start_ms,
                    end_ms,
                    instId=subject,
                    bar=interval_name(limits.BAR, interval_s),
                    limit=limits.HISTORY_CANDLE_PAGE,
                )
            }
            for name, subject in (
                ("mark-price-candles", instrument.symbol),
                ("index-candles", index_name(instrument)),
            )
        ]
        return paired(instrument, interval_s, marks, indices, self._now_ns())

    def _is_recent(self, interval_s: int, start_ms: int) -> bool:
        """The quick endpoints know the newest 1440 candles only; one of slack for the clocks."""
        span_ms = (limits.RECENT_CANDLES - 1) * interval_s * 1000
        return start_ms >= self._now_ns() // NS_PER_MS - span_ms

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[PositioningRatio]:
        row_type: type[Any] = rest_rows.TakerRow if series == "taker" else rest_rows.RatioRow
        if series not in ("accounts", "top_accounts", "top_positions", "taker"):
            raise ValueError(f"expected a positioning series, received {series!r}")
        unit = {"unit": limits.TAKER_COINS} if series == "taker" else {}
        found = await self._older_pages(
            series,
            row_type,
            attrgetter("ts"),
            "end",
            start_ms,
            end_ms,
            instId=instrument.symbol,
            period=interval_name(limits.BAR, period_s),
            limit=limits.RUBIK_PAGE,
            **unit,
        )
        return rest_rows.long_shares(instrument, series, found, period_s, self._now_ns())

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        await self._pools["books"].acquire()
        url = f"{self._endpoints.rest}/api/v5/market/books?instId={instrument.symbol}&sz={limits.BOOK_LEVELS}"
        rows = self.readable(self._data("books", await self.ask("books", url)), wire.BookRow)
        if not rows:
            raise VenueBadAnswer(VENUE, f"books: no book of {instrument.symbol}")
        return rest_rows.book_snapshot(instrument, rows[0], self._now_ns())

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        known = await self._contracts()
        marks = self.readable(await self._of_types("mark-price", known), wire.MarkPriceRow)
        quotes = self.readable(
            await self._call("index-tickers", quoteCcy="USDT"), wire.IndexTickerRow
        )
        index_of = {row.instId: row.idxPx for row in quotes}
        fundings = await self._funding_rows()
        ts_recv = self._now_ns()
        events: list[MarkPrice | FundingRate] = []
        for mark in marks:
            instrument = known.get(mark.instId)
            if instrument is not None:
                index = index_of.get(index_name(instrument))
                events.append(rest_rows.mark_price(instrument, mark, index, ts_recv))
        for funding in fundings:
            instrument = known.get(funding.instId)
            if instrument is None:
                continue
            try:
                rates = convert.funding_rates(instrument, funding, ts_recv)
            except BadValue:
                self.bad_rows += 1
                continue
            events += [rate for rate in rates if rate.kind is FundingKind.PREDICTED]
        return events

    # --- inside -----------------------------------------------------------------------------------

    async def _contracts(self) -> dict[str, Instrument]:
        if not self._known:
            await self.instruments()
        return self._known

    async def _of_types(self, name: str, known: Mapping[str, Instrument]) -> list[Any]:
        """Rows of all swaps, and of all dated futures where we cover any."""
        rows = await self._call(name, instType="SWAP")
        if any(one.kind is InstrumentKind.FUTURE for one in known.values()):
            rows = rows + await self._call(name, instType="FUTURES")
        return rows

    async def _funding_rows(self) -> list[wire.FundingRateRow]:
        return self.readable(await self._call("funding-rate", instId="ANY"), wire.FundingRateRow)

    async def _older_pages(
        self,
        name: str,
        row_type: type[Row],
        time_of: Callable[[Any], int],
        older_than: str,
        start_ms: int,
        end_ms: int,
        **params: object,
    ) -> list[Row]:
        """Rows with ``start_ms`` ≤ time < ``end_ms``, oldest first, asked for from the newest back.

        ``older_than`` is the endpoint's parameter for "strictly before". How many rows a page has is the
        venue's choice: the end is an empty page, or one that reaches the start.
        """
        found: dict[int, Row] = {}
        cursor = end_ms
        while cursor > start_ms:
            data = await self._call(name, _reader_of(row_type), **{**params, older_than: cursor})
            page = self.readable(data, row_type)
            times = list(map(time_of, page))
            if times and start_ms <= min(times) and max(times) < end_ms:
                found.update(zip(times, page, strict=True))
            else:
                found |= {
                    at: row for at, row in zip(times, page, strict=True) if start_ms <= at < end_ms
                }
            # The newer rows of a page that did not move would be asked for again for ever.
            if not times or min(times) >= cursor:
                break
            cursor = min(times)
        return [found[at] for at in sorted(found)]

    async def _call(self, name: str, read: Reader | None = None, /, **params: object) -> list[Any]:
        call, _ = limits.CALLS[name]
        await self._pools[name].acquire()
        body = await self.implicit("okx", call, params, what=name, read=read)
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list):
            raise VenueBadAnswer(VENUE, f"{name}: expected data")
        return data

    def aim(self, client: Any) -> None:
        client.urls["api"]["rest"] = self._endpoints.rest

    def refusal(self, what: str, answer: Answer) -> VenueError:
        try:
            self._data(what, answer)
        except VenueError as error:
            return error
        return VenueBadAnswer(VENUE, f"{what}: {answer.excerpt}")

    def _data(self, name: str, answer: Answer) -> list[Any]:
        try:
            return rows_of(name, *answer)
        except VenueThrottled as error:
            # Endpoints are counted apart: only this one rests.
            self._pools[name].block_for(error.retry_after or WINDOW_S)
            raise


def settlements_page(instrument: Instrument, span_ms: int) -> int:
    """Rows that hold the settlements of a span, as far as a page goes."""
    interval_ms = (instrument.funding_interval_h or 1.0) * 3_600_000
    return min(limits.FUNDING_PAGE, int(span_ms / interval_ms) + 2)


@cache
def _reader_of(row_type: type[Any]) -> Reader:
    answer = msgspec.defstruct("Answer", [("code", Literal["0"]), ("data", list[row_type])])  # type: ignore[valid-type]  # a type made at run time
    decode: Callable[[str], Any] = msgspec.json.Decoder(answer, strict=False).decode
    return lambda body: {"code": "0", "data": decode(body).data}
