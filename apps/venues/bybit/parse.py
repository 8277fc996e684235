"""Bybit frames in, normalised events out. Pure; never raises; each row is counted once.

The topic at the head of a frame says how to decode it, straight into structs; whatever does not fit goes
through :meth:`BybitParser._explain`, which finds out what it was and saves the rows that are good. The only
state is what the venue says in parts: tickers (:mod:`.tickers`) and one-level books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Control,
    Event,
    Levels,
    Quality,
)
from apps.marketdata.instruments import Instrument
from apps.venues.bybit import convert, tickers, wire
from apps.venues.bybit.convert import NS_PER_MS, VENUE
from apps.venues.parsing import ParseOutcome, ParserStats
from apps.venues.values import BadValue, UnknownValue

_HEAD: Final = b'{"topic":"'
_START: Final = len(_HEAD)
_BOOK_HEAD: Final = _HEAD + b"orderbook."
_decode_book: Final = wire.decoders["orderbook"].decode
_DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)

Handler: TypeAlias = Callable[[Any, Any, int, int], list[Event]]
"""(frame, row, place in the frame, ts_recv) → events; none means outside of our coverage."""


class BybitParser:
    """Frames of one connection group. ``instruments`` are those we cover; others are counted only."""

    def __init__(self, instruments: Iterable[Instrument], stats: ParserStats | None = None) -> None:
        self.stats = stats or ParserStats(VENUE)
        self._instruments = {item.symbol: item for item in instruments if not item.is_inverse}
        self._tickers: dict[str, tickers.TickerState] = {}
        self._tops: dict[str, tuple[Levels, Levels]] = {}
        self._handlers: dict[str, Handler] = {
            "orderbook": self._book,
            "tickers": self._ticker,
            "publicTrade": self._trade,
            "allLiquidation": self._liquidation,
            "liquidation": self._old_liquidation,
            "kline": self._candle,
        }
        self._fast = {
            word.encode(): (word, wire.decoders[word].decode, handler)
            for word, handler in self._handlers.items()
        }

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns."""
        if raw.startswith(_BOOK_HEAD):
            # Books are most of the traffic.
            try:
                book = _decode_book(raw)
            except _DECODE_ERRORS:
                return self._explain(raw, ts_recv)
            return self._row("orderbook", book, self._book, book.data, 0, ts_recv, raw)
        if raw.startswith(_HEAD):
            found = self._fast.get(raw[_START : raw.find(b".", _START, 60)])
            if found is not None:
                word, decode, handle = found
                try:
                    frame = decode(raw)
                except _DECODE_ERRORS:
                    return self._explain(raw, ts_recv)
                return self._frame(word, frame, handle, ts_recv, raw)
        return self._explain(raw, ts_recv)

    def _frame(
        self, word: str, frame: Any, handle: Handler, ts_recv: int, raw: bytes
    ) -> list[Event]:
        if not isinstance(frame.data, list):
            return self._row(word, frame, handle, frame.data, 0, ts_recv, raw)
        if not frame.data:
            self.stats.issue(ParseOutcome.MALFORMED, word, "no data", raw)
        events: list[Event] = []
        for at, row in enumerate(frame.data):
            events += self._row(word, frame, handle, row, at, ts_recv, raw)
        return events

    def _row(
        self, word: str, frame: Any, handle: Handler, row: Any, at: int, ts_recv: int, raw: bytes
    ) -> list[Event]:
        try:
            events = handle(frame, row, at, ts_recv)
        except UnknownValue as error:
            self.stats.issue(ParseOutcome.UNKNOWN, f"{word} {error}", f"unknown {error}", raw)
            return []
        except BadValue as error:
            self.stats.issue(ParseOutcome.MALFORMED, word, str(error), raw)
            return []
        (self.stats.ok if events else self.stats.ignored)[word] += 1
        return events

    # --- what the fast path could not decode ------------------------------------------------------

    def _explain(self, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            document = wire.any_decoder.decode(raw)
        except _DECODE_ERRORS as error:
            kind = "frame" if raw.strip() else "empty frame"
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        if not isinstance(document, dict):
            self.stats.issue(ParseOutcome.MALFORMED, "frame", "expected an object", raw)
            return []
        if "topic" not in document:
            return self._answer(document, ts_recv, raw)
        try:
            frame = msgspec.convert(document, wire.LooseFrame, strict=False)
        except _DECODE_ERRORS as error:
            outcome = ParseOutcome.MALFORMED if "data" in document else ParseOutcome.UNKNOWN
            self.stats.issue(outcome, "frame", str(error), raw)
            return []
        return self._loose(frame, ts_recv, raw)

    def _loose(self, frame: wire.LooseFrame, ts_recv: int, raw: bytes) -> list[Event]:
        """Row by row: one bad row must not cost the others."""
        word = frame.topic.partition(".")[0][:40]
        row_type = wire.ROWS.get(word)
        if row_type is None:
            if word in wire.UNUSED:
                self.stats.ignored[word] += 1
            else:
                self.stats.issue(ParseOutcome.UNKNOWN, word, "unknown topic", raw)
            return []
        is_list = word in ("publicTrade", "allLiquidation", "kline")
        if isinstance(frame.data, list) != is_list:
            self.stats.issue(ParseOutcome.MALFORMED, word, "data of another shape", raw)
            return []
        rows = frame.data if is_list else [frame.data]
        if not rows:
            self.stats.issue(ParseOutcome.MALFORMED, word, "no data", raw)
        events: list[Event] = []
        for at, document in enumerate(rows):
            try:
                row = wire.row_from(document, row_type)
            except _DECODE_ERRORS as error:
                self.stats.issue(ParseOutcome.MALFORMED, word, str(error), raw)
                continue
            events += self._row(word, frame, self._handlers[word], row, at, ts_recv, raw)
        return events

    # --- control frames ---------------------------------------------------------------------------

    def _answer(self, document: dict[str, Any], ts_recv: int, raw: bytes) -> list[Event]:
        op = document.get("op")
        detail = str(document.get("ret_msg", ""))[:200]
        if op == "pong" or (op == "ping" and document.get("success", True) is True):
            return [self._control("pong", ts_recv, document)]
        if not isinstance(document.get("success"), bool):
            kind = "untagged" if op is None else f"op {op}"[:40]
            self.stats.issue(ParseOutcome.UNKNOWN, kind, "neither topic nor answer", raw)
            return []
        if not document["success"]:
            return [self._control("error", ts_recv, document, detail)]
        if op == "subscribe":
            return [self._control("ack", ts_recv, document)]
        if op == "unsubscribe":
            return [self._control("unsubscribed", ts_recv, document)]
        self.stats.issue(ParseOutcome.UNKNOWN, f"op {op}"[:40], "unknown answer", raw)
        return []

    def _control(
        self, kind: str, ts_recv: int, document: dict[str, Any], detail: str = ""
    ) -> Control:
        self.stats.control[kind] += 1
        request_id = document.get("req_id")
        name = None if request_id in (None, "") else str(request_id)[:40]
        return Control(VENUE, ts_recv, kind, name, detail)

    # --- one method per topic; an empty list means outside of our coverage ----------------------------

    def _book(self, frame: wire.BookFrame, row: wire.BookRow, _: int, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(row.s)
        if instrument is None:
            return []
        ts_event = (frame.ts if frame.cts is None else frame.cts) * NS_PER_MS
        bids: Levels = row.b
        asks: Levels = row.a
        if instrument.price_mult != 1.0:
            bids, asks = convert.levels(instrument, bids), convert.levels(instrument, asks)
        # The venue's own restart: u begins again with a whole book.
        is_whole = frame.type == "snapshot" or row.u == 1
        if not is_whole and frame.type != "delta":
            raise UnknownValue(f"type={frame.type[:20]}")
        if frame.topic.startswith("orderbook.1."):
            return self._top(instrument, is_whole, bids, asks, ts_event, ts_recv)
        if is_whole:
            return [BookSnapshot(instrument, ts_event, ts_recv, row.u, bids, asks)]
        return [BookDelta(instrument, ts_event, ts_recv, row.u, row.u, row.u - 1, bids, asks)]

    def _top(
        self,
        instrument: Instrument,
        is_whole: bool,
        bids: Levels,
        asks: Levels,
        ts_event: int,
        ts_recv: int,
    ) -> list[Event]:
        """One level: whole each time now; in old recordings a side that is not named is unchanged."""
        best = ([level for level in bids if level[1]], [level for level in asks if level[1]])
        if not is_whole:
            before = self._tops.get(instrument.symbol, ([], []))
            best = (best[0] if bids else before[0], best[1] if asks else before[1])
        self._tops[instrument.symbol] = best
        if not (best[0] and best[1]):
            return []
        return [BestQuote(instrument, ts_event, ts_recv, *max(best[0]), *min(best[1]))]

    def _ticker(
        self, frame: wire.TickerFrame, row: wire.TickerRow, _: int, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.symbol)
        if instrument is None:
            return []
        # Spot tickers are always whole and say so.
        if frame.type not in ("snapshot", "delta"):
            raise UnknownValue(f"type={frame.type[:20]}")
        old = self._tickers.get(row.symbol) if frame.type == "delta" else None
        if old is not None and frame.cs < old.seq:
            return []
        state = tickers.merge(old, row)
        state.seq = frame.cs
        events = tickers.events(instrument, state, row, frame.ts * NS_PER_MS, ts_recv)
        self._tickers[row.symbol] = state
        return events

    def _trade(
        self, frame: wire.TradeFrame, row: wire.TradeRow, _: int, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.s)
        return [] if instrument is None else [convert.trade(instrument, row, ts_recv)]

    def _liquidation(
        self, frame: wire.LiquidationFrame, row: wire.LiquidationRow, at: int, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.s)
        if instrument is None:
            return []
        return [convert.liquidation(instrument, row, ts_recv, at, Quality.FULL)]

    def _old_liquidation(
        self, frame: wire.OldLiquidationFrame, row: wire.OldLiquidationRow, at: int, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.symbol)
        if instrument is None:
            return []
        same = wire.LiquidationRow(row.updatedTime, row.symbol, row.side, row.size, row.price)
        return [convert.liquidation(instrument, same, ts_recv, at, Quality.SAMPLED)]

    def _candle(
        self, frame: wire.CandleFrame, row: wire.CandleRow, _: int, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(frame.topic.rpartition(".")[2])
        interval_s = wire.INTERVAL_S.get(row.interval)
        if instrument is None or interval_s is None:
            return []
        return [convert.candle(instrument, row, interval_s, ts_recv)]
