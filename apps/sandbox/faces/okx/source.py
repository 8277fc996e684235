"""What the REST interface asks of whatever stands behind it: the market model or a recording."""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import orjson

from apps.sandbox.faces.base import ReplayMemory
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.faces.okx import frames, history
from apps.sandbox.faces.okx.bars import Bar
from apps.sandbox.faces.okx.errors import unknown_instrument
from apps.sandbox.faces.okx.frames import Wire
from apps.sandbox.faces.okx.history import Page
from apps.sandbox.faces.okx.options import OptionBook
from apps.sandbox.market.dated import is_listed
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import key_of
from apps.sandbox.market.protocol import MINUTE_MS, Market

Rows: TypeAlias = list[Any]
_TRADES_MS: Final = 90 * 86_400_000
LIVE: Final = frozenset({"mark-price", "index-tickers", "funding-rate", "open-interest"})
"""Channels whose newest row REST answers too."""


class Source(Protocol):
    """Rows of each endpoint. ``symbol`` arguments are known (``wires``)."""

    wires: dict[str, Wire]

    def now_ms(self) -> int: ...

    def instruments(self, inst_type: str) -> Rows: ...

    def book(self, symbol: str, depth: int) -> Rows: ...

    def full_book(self, symbol: str, depth: int) -> Rows:
        """Levels of price, size and number of orders."""
        ...

    def trades(self, symbol: str, limit: int) -> Rows: ...

    def past_trades(self, symbol: str, page: Page, *, by_time: bool) -> Rows:
        """Of the last three months; ``page`` counts trade ids or milliseconds."""
        ...

    def options(self, family: str) -> Rows:
        """Listed options."""
        ...

    def option_summaries(self, family: str, expiry: str) -> Rows: ...

    def ticker(self, symbol: str) -> Rows: ...

    def live(self, channel: str, symbol: str) -> Rows:
        """The newest row of mark-price, index-tickers, funding-rate or open-interest."""
        ...

    def candles(self, series: str, symbol: str, bar: Bar, page: Page, rows: int | None) -> Rows:
        """``series``: last, mark or index."""
        ...

    def funding_history(self, symbol: str, page: Page) -> Rows: ...

    def statistic(self, name: str, symbol: str, bar: Bar, page: Page, unit: str) -> Rows:
        """``name``: open_interest, accounts, top_accounts, top_positions or taker."""
        ...


def instrument_row(wire: Wire) -> dict[str, Any]:
    """As ``/public/instruments`` lists it."""
    listing = wire.listing
    is_spot = listing.kind == "spot"
    return {
        "alias": "", "auctionEndTime": "", "baseCcy": listing.asset if is_spot else "",
        "category": "1", "contTdSwTime": "",
        "ctMult": "" if is_spot else "1",
        "ctType": "" if is_spot else "inverse" if listing.is_inverse else "linear",
        "ctVal": "" if is_spot else frames.trimmed(listing.contract_size, 8),
        "ctValCcy": "" if is_spot else "USD" if listing.is_inverse else listing.asset,
        "expTime": str(listing.expiry_ms or ""), "futureSettlement": False,
        "instFamily": "" if is_spot else wire.index,
        "instId": listing.symbol, "instIdCode": key_of(0, listing.name) % 100_000,
        "instType": wire.inst_type, "lever": "100",
        "listTime": str(history.LISTED_MS), "lotSz": wire.size(1), "maxIcebergSz": "100000000",
        "maxLmtAmt": "20000000", "maxLmtSz": "100000000", "maxMktAmt": "", "maxMktSz": "35000",
        "maxPlatOILmt": "", "maxStopSz": "35000", "maxTriggerSz": "100000000",
        "maxTwapSz": "100000000", "minSz": wire.size(1), "openType": "", "optType": "",
        "posLmtAmt": "", "posLmtPct": "", "preMktSwTime": "",
        "quoteCcy": listing.quote if is_spot else "", "ruleType": "normal",
        "settleCcy": "" if is_spot else listing.asset if listing.is_inverse else listing.quote,
        "state": "live", "stk": "", "tickSz": wire.price(1),
        "tradeQuoteCcyList": [], "uly": "" if is_spot else wire.index,
    }  # fmt: skip


def _listed_trade(row: dict[str, Any]) -> dict[str, Any]:
    """In the order of REST."""
    return {name: row[name] for name in ("instId", "side", "sz", "px", "tradeId", "ts")}


class ModelSource:
    """The seeded market."""

    def __init__(
        self,
        market: Market,
        listings: tuple[Listing, ...],
        now_ms: Any,
        numbering: Numbering | None = None,
    ) -> None:
        """``numbering``: shared with the streams."""
        self.wires = {listing.symbol: Wire(listing) for listing in listings}
        self._numbering = numbering or Numbering(frames.SEQS_PER_STEP)
        self._market = market
        self.now_ms = now_ms
        self._started_ms = int(now_ms())
        self._options = OptionBook(market, listings)

    def instruments(self, inst_type: str) -> Rows:
        current = [wire for wire in self.wires.values() if is_listed(wire.listing, self.now_ms())]
        return [instrument_row(wire) for wire in current if wire.inst_type == inst_type]

    def book(self, symbol: str, depth: int) -> Rows:
        wire = self.wires[symbol]
        step = self.now_ms() // wire.listing.book_step_ms
        book = self._market.book(wire.listing, step)
        row = orjson.loads(frames.top_row(wire, book, depth, self._numbering.of(symbol, step)))
        return [row]

    def full_book(self, symbol: str, depth: int) -> Rows:
        (row,) = self.book(symbol, depth)
        for side in ("asks", "bids"):
            row[side] = [[price, size, orders] for price, size, _, orders in row[side]]
        return [row]

    def trades(self, symbol: str, limit: int) -> Rows:
        return [_listed_trade(row) for row in self._newest(symbol, limit)]

    def past_trades(self, symbol: str, page: Page, *, by_time: bool) -> Rows:
        wire, now = self.wires[symbol], self.now_ms()
        last = now
        if page.older_than is not None:
            last = page.older_than - 1 if by_time else self._time_of(wire, page.older_than)
        rows: Rows = []
        minute, oldest = min(now, last) // MINUTE_MS, (now - _TRADES_MS) // MINUTE_MS
        while len(rows) < page.limit and minute > oldest:
            found = self._rows_of(wire, minute, min(now, last if by_time else now))
            numbers = [int(row["ts"] if by_time else row["tradeId"]) for row in found]
            rows += [
                row
                for number, row in zip(numbers, found, strict=True)
                if (page.older_than is None or number < page.older_than)
                and (page.newer_than is None or number > page.newer_than)
            ]
            if page.newer_than is not None and numbers and numbers[-1] <= page.newer_than:
                break
            minute -= 1
        return [_listed_trade(row) for row in rows[: page.limit]]

    def _time_of(self, wire: Wire, trade_id: int) -> int:
        """A moment of the minute that has a trade."""
        now: int = self.now_ms() // MINUTE_MS
        first, last = now - _TRADES_MS // MINUTE_MS, now
        ids = self._market.minute_bars(wire.listing, first, last).first_trade_id
        at = max(int(np.searchsorted(ids, trade_id, side="right")) - 1, 0)
        return (first + at) * MINUTE_MS + MINUTE_MS - 1

    def _rows_of(self, wire: Wire, minute: int, until_ms: int) -> Rows:
        """Of one minute, newest first."""
        tape = self._market.tape(wire.listing, minute)
        columns = (tape.time_ms, tape.price, tape.lots, tape.is_buy)
        made = [
            orjson.loads(frames.trade_row(wire, tape.first_id + at, t, p, q, bool(b)))
            for at, (t, p, q, b) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            )
            if t <= until_ms
        ]
        return made[::-1]

    def options(self, family: str) -> Rows:
        return self._options.instruments(family, self.now_ms())

    def option_summaries(self, family: str, expiry: str) -> Rows:
        return self._options.summaries(family, expiry, self.now_ms())

    def _newest(self, symbol: str, limit: int) -> Rows:
        wire, now = self.wires[symbol], self.now_ms()
        rows: Rows = []
        minute = now // MINUTE_MS
        while len(rows) < limit and minute > now // MINUTE_MS - 120:
            rows += self._rows_of(wire, minute, now)
            minute -= 1
        return rows[:limit]

    def ticker(self, symbol: str) -> Rows:
        return [ticker_row(self._market, self.wires[symbol], self.now_ms())]

    def live(self, channel: str, symbol: str) -> Rows:
        wire, now = self.wires[symbol], self.now_ms()
        if not is_listed(wire.listing, now):
            return []
        return [orjson.loads(live_row(self._market, wire, channel, now))]

    def candles(self, series: str, symbol: str, bar: Bar, page: Page, rows: int | None) -> Rows:
        wire, now = self.wires[symbol], self.now_ms()
        if series == "last":
            return history.candles(self._market, wire, bar, page, now, self._started_ms, rows)
        return history.price_candles(self._market, wire, series, bar, page, now)

    def funding_history(self, symbol: str, page: Page) -> Rows:
        wire = self.wires[symbol]
        return history.funding_history(self._market, wire.listing, page, self.now_ms())

    def statistic(self, name: str, symbol: str, bar: Bar, page: Page, unit: str) -> Rows:
        wire, now = self.wires[symbol], self.now_ms()
        if name == "open_interest":
            return history.open_interest(self._market, wire, bar, page, now)
        if name == "taker":
            return history.taker_volume(self._market, wire, bar, page, unit, now)
        return history.long_short(self._market, wire.listing, name, bar, page, now)


class ReplaySource:
    """A recording: what was played last, and no history. Instruments are the recorded ones."""

    def __init__(self, memory: ReplayMemory, listings: tuple[Listing, ...], now_ms: Any) -> None:
        self.wires = {listing.symbol: Wire(listing) for listing in listings}
        self._memory = memory
        self.now_ms = now_ms

    def instruments(self, inst_type: str) -> Rows:
        body = self._memory.body(f"instruments_{inst_type}")
        recorded = {row["instId"]: row for row in orjson.loads(body)["data"]} if body else {}
        rows = [instrument_row(wire) for wire in self.wires.values()]
        return [recorded.get(row["instId"], row) for row in rows if row["instType"] == inst_type]

    def _last(self, channel: str) -> Rows:
        frame = self._memory.last(channel)
        rows: Rows = orjson.loads(frame)["data"] if frame else []
        return rows

    def book(self, symbol: str, depth: int) -> Rows:
        sides: dict[str, dict[str, list[str]]] = {"bids": {}, "asks": {}}
        row: dict[str, Any] = {}
        for frame in self._memory.since_snapshot(f"books:{symbol}"):
            for row in orjson.loads(frame)["data"]:
                for name, levels in sides.items():
                    levels.update({level[0]: level for level in row[name]})
        if not row:
            raise unknown_instrument()
        best = {
            name: sorted(
                (level for level in levels.values() if float(level[1])),
                key=lambda level: float(level[0]),
                reverse=name == "bids",
            )[:depth]
            for name, levels in sides.items()
        }
        return [{**row, **best}]

    def full_book(self, symbol: str, depth: int) -> Rows:
        return self.book(symbol, depth)

    def past_trades(self, symbol: str, page: Page, *, by_time: bool) -> Rows:
        return []

    def options(self, family: str) -> Rows:
        return []

    def option_summaries(self, family: str, expiry: str) -> Rows:
        return []

    def trades(self, symbol: str, limit: int) -> Rows:
        return self._last(f"trades:{symbol}")[:limit]

    def ticker(self, symbol: str) -> Rows:
        return self._last(f"tickers:{symbol}")

    def live(self, channel: str, symbol: str) -> Rows:
        subject = self.wires[symbol].index if channel == "index-tickers" else symbol
        return self._last(f"{channel}:{subject}")

    def candles(self, series: str, symbol: str, bar: Bar, page: Page, rows: int | None) -> Rows:
        return []

    def funding_history(self, symbol: str, page: Page) -> Rows:
        return []

    def statistic(self, name: str, symbol: str, bar: Bar, page: Page, unit: str) -> Rows:
        return []


def ticker_row(market: Market, wire: Wire, now_ms: int) -> dict[str, Any]:
    listing = wire.listing
    touch = market.touch(listing, now_ms)
    day = history.day_figures(market, wire, now_ms)
    return {
        "instType": wire.inst_type,
        "instId": listing.symbol,
        "last": day.pop("last"),
        "lastSz": day.pop("lastSz"),
        "askPx": wire.price(touch.ask),
        "askSz": wire.contracts(10, touch.ask * listing.tick),
        "bidPx": wire.price(touch.bid),
        "bidSz": wire.contracts(10, touch.bid * listing.tick),
        **day,
        "ts": str(now_ms),
    }


def live_row(market: Market, wire: Wire, channel: str, now_ms: int) -> str:
    listing = wire.listing
    state = market.mark_state(listing, now_ms)
    if channel == "mark-price":
        return frames.mark_row(wire, state, now_ms)
    if channel == "index-tickers":
        return frames.index_row(wire, state, now_ms)
    if channel == "funding-rate":
        interval_ms = (listing.funding_interval_h or 8) * frames.HOUR_MS
        settled = market.settlements(listing, now_ms - interval_ms, now_ms)[-1]
        return frames.funding_row(wire, state, (settled.funding_ms, settled.rate), now_ms)
    lots = float(market.open_interest(listing, np.array([now_ms], dtype=np.int64))[0])
    return frames.open_interest_row(wire, lots, state.mark_price, now_ms)
