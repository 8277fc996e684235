"""Deribit frames in, normalised events out. Pure; never raises; each message is counted once.

The channel stands at the same place in every data frame: its family chooses the decoder, and a frame is
decoded straight into its struct. Whatever does not fit goes through :meth:`DeribitParser._explain`, which
finds out what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    Event,
    IndexPrice,
    Levels,
    OptionMark,
    VolatilityIndex,
)
from apps.marketdata.instruments import Instrument
from apps.venues.deribit import convert, wire
from apps.venues.deribit.convert import NS_PER_MS, VENUE
from apps.venues.deribit.perpetual import best_quote, perp_events, whole_book
from apps.venues.parsing import ParseOutcome, ParserStats
from apps.venues.values import BadValue, UnknownValue

RESOLUTION_S: Final = {
    **{str(minutes): minutes * 60 for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)},
    "1D": 86_400,
}
"""Candle widths by the venue's name of them."""
_DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_BOOK_ERRORS: Final = (*_DECODE_ERRORS, BadValue)
_BOOK_HEAD: Final = wire.HEAD + b"book."
_DATA: Final = b'","data":'
_DATA_LENGTH: Final = len(_DATA)
_decode_book: Final = wire.bare_book_decoder.decode
_MAX_ROUTES: Final = 5_000
_HEAD_LENGTH: Final = len(wire.HEAD)
_LONGEST_CHANNEL: Final = 120


class Route(NamedTuple):
    """What the frames of one channel are. ``channel`` is its name, split at its dots."""

    kind: str
    decode: Callable[[bytes], Any]
    handle: Callable[[Any, int, Route], list[Event]]
    channel: tuple[str, ...]


class DeribitParser:
    """``instruments`` are those we cover; other names are counted, not parsed."""

    def __init__(self, instruments: Iterable[Instrument], stats: ParserStats | None = None) -> None:
        self.stats = stats or ParserStats(VENUE)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._in_usd = {
            name
            for name, item in self._instruments.items()
            if item.is_inverse and not convert.is_option(item)
        }
        self._assets = {instrument.asset for instrument in self._instruments.values()}
        self._routes: dict[bytes, Route] = {}
        self._families: dict[str, tuple[Callable[[bytes], Any], Callable[..., list[Event]]]] = {
            "book": (wire.book_decoder.decode, self._book),
            "grouped book": (wire.grouped_book_decoder.decode, self._grouped_book),
            "ticker": (wire.ticker_decoder.decode, self._ticker),
            "quote": (wire.quote_decoder.decode, self._quote),
            "perpetual": (wire.perpetual_decoder.decode, self._perpetual),
            "deribit_price_index": (wire.index_decoder.decode, self._index),
            "deribit_volatility_index": (wire.dvol_decoder.decode, self._dvol),
            "chart": (wire.bar_decoder.decode, self._bar),
            "instrument": (wire.state_decoder.decode, self._state),
        }

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns."""
        if raw.startswith(_BOOK_HEAD):
            # Books are most of the traffic: straight into the struct, without its envelope.
            start = raw.find(_DATA, _HEAD_LENGTH, _HEAD_LENGTH + _LONGEST_CHANNEL)
            try:
                return self._count_book(_decode_book(raw[start + _DATA_LENGTH : -2]), ts_recv)
            except _BOOK_ERRORS:
                return self._explain(raw, ts_recv)
        if not raw.startswith(wire.HEAD):
            return self._explain(raw, ts_recv)
        end = raw.find(b'"', _HEAD_LENGTH, _HEAD_LENGTH + _LONGEST_CHANNEL)
        route = self._routes.get(raw[_HEAD_LENGTH:end]) if end > 0 else None
        if route is None:
            return self._explain(raw, ts_recv)
        return self._follow(route, raw, ts_recv)

    def _count_book(self, m: wire.Book, ts_recv: int) -> list[Event]:
        events = self._book(m, ts_recv)
        (self.stats.ok if events else self.stats.ignored)["book"] += 1
        return events

    def _follow(self, route: Route, raw: bytes, ts_recv: int) -> list[Event]:
        if route.kind in ("trades", "markprice"):
            return self._rows(route, raw, ts_recv)
        try:
            events = route.handle(route.decode(raw).params.data, ts_recv, route)
        except _DECODE_ERRORS as error:
            outcome = _outcome_of(error)
            self.stats.issue(outcome, route.kind, str(error), raw)
            return []
        except (UnknownValue, BadValue) as error:
            self._count_bad(route.kind, error, raw)
            return []
        if route.kind == "instrument":
            # A notice of listings, which are read anew daily: no market data.
            self.stats.control["instrument.state"] += 1
        else:
            (self.stats.ok if events else self.stats.ignored)[route.kind] += 1
        return events

    def _count_bad(self, kind: str, error: UnknownValue | BadValue, raw: bytes) -> None:
        if isinstance(error, UnknownValue):
            self.stats.issue(ParseOutcome.UNKNOWN, f"{kind} {error}", f"unknown {error}", raw)
        else:
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)

    # --- frames of many rows: each row is a message --------------------------------------------------

    def _rows(self, route: Route, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            rows: list[Any] = route.decode(raw).params.data
        except _DECODE_ERRORS:
            return self._rows_one_by_one(route, raw, ts_recv)
        events: list[Event] = []
        for row in rows:
            events += self._row(route, row, ts_recv, raw)
        if not rows:
            self.stats.ignored[route.kind] += 1
        return events

    def _rows_one_by_one(self, route: Route, raw: bytes, ts_recv: int) -> list[Event]:
        """One bad row must not cost the others."""
        try:
            rows = wire.rows_decoder.decode(raw).params.data
        except _DECODE_ERRORS as error:
            self.stats.issue(ParseOutcome.MALFORMED, route.kind, str(error), raw)
            return []
        decode: Callable[[bytes], Any] = (
            wire.trade_decoder.decode if route.kind == "trades" else wire.option_mark_decoder.decode
        )
        events: list[Event] = []
        for text in rows:
            try:
                row = decode(bytes(text))
            except _DECODE_ERRORS as error:
                self.stats.issue(ParseOutcome.MALFORMED, route.kind, str(error), raw)
                continue
            events += self._row(route, row, ts_recv, raw)
        return events

    def _row(self, route: Route, row: Any, ts_recv: int, raw: bytes) -> list[Event]:
        try:
            events = route.handle(row, ts_recv, route)
        except (UnknownValue, BadValue) as error:
            self._count_bad(route.kind, error, raw)
            return []
        (self.stats.ok if events else self.stats.ignored)[route.kind] += 1
        return events

    # --- what a frame is, where its beginning does not say -------------------------------------------

    def _explain(self, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            frame = wire.envelope_decoder.decode(raw)
        except _DECODE_ERRORS as error:
            kind = "frame" if raw.strip() else "empty frame"
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        if frame.error is not None:
            detail = f"{frame.error.code} {frame.error.message}"[:200]
            return [self._control("error", ts_recv, frame.id, detail)]
        if frame.method == "subscription" and bytes(frame.params):
            return self._explain_subscription(frame.params, raw, ts_recv)
        if frame.method == "heartbeat" and bytes(frame.params):
            return self._heartbeat(frame.params, raw, ts_recv)
        if frame.id is not None and frame.result is not None:
            return [self._control("ack", ts_recv, frame.id, _accepted(frame.result))]
        what = f"method {frame.method}"[:40] if frame.method else "frame"
        self.stats.issue(ParseOutcome.UNKNOWN, what, "neither data, answer nor heartbeat", raw)
        return []

    def _explain_subscription(self, params: msgspec.Raw, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            channel = wire.params_decoder.decode(params).channel
        except _DECODE_ERRORS as error:
            self.stats.issue(ParseOutcome.MALFORMED, "subscription", str(error), raw)
            return []
        route = self._route(channel)
        if route is None:
            family = channel.partition(".")[0][:40]
            self.stats.issue(ParseOutcome.UNKNOWN, f"channel {family}", "unknown channel", raw)
            return []
        key = channel.encode()
        if len(self._routes) < _MAX_ROUTES and key.isascii() and b"\\" not in key:
            self._routes[key] = route
        return self._follow(route, raw, ts_recv)

    def _route(self, channel: str) -> Route | None:
        parts = tuple(channel.split("."))
        family = parts[0]
        if family == "trades":
            return Route("trades", wire.trades_decoder.decode, self._trade, parts)
        if family == "markprice":
            return Route("markprice", wire.option_marks_decoder.decode, self._option_mark, parts)
        if family == "book" and len(parts) == 5:
            family = "grouped book"
        found = self._families.get(family)
        return None if found is None else Route(family, *found, parts)

    def _heartbeat(self, params: msgspec.Raw, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            kind = wire.heartbeat_decoder.decode(params).type
        except _DECODE_ERRORS as error:
            self.stats.issue(ParseOutcome.MALFORMED, "heartbeat", str(error), raw)
            return []
        return [self._control("heartbeat", ts_recv, None, kind[:40])]

    def _control(
        self, kind: str, ts_recv: int, request_id: object = None, detail: str = ""
    ) -> Control:
        self.stats.control[kind] += 1
        name = None if request_id is None else str(request_id)[:40]
        return Control(VENUE, ts_recv, kind, name, detail)

    # --- one method per message: struct in, events out; an empty list means outside our coverage -----

    def _book(self, m: wire.Book, ts_recv: int, route: Route | None = None) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        if instrument is None:
            return []
        ts_event = m.timestamp * NS_PER_MS
        if m.instrument_name in self._in_usd:
            bids: Levels = [
                (price, amount / price if action != "delete" else 0.0)
                for action, price, amount in m.bids
            ]
            asks: Levels = [
                (price, amount / price if action != "delete" else 0.0)
                for action, price, amount in m.asks
            ]
        else:
            bids = [(price, 0.0 if action == "delete" else qty) for action, price, qty in m.bids]
            asks = [(price, 0.0 if action == "delete" else qty) for action, price, qty in m.asks]
        if m.type == "snapshot" or (m.type is None and m.prev_change_id is None):
            return [BookSnapshot(instrument, ts_event, ts_recv, m.change_id, bids, asks)]
        previous = m.prev_change_id
        if previous is None or previous < 0:
            raise BadValue("a change without prev_change_id")
        seq = m.change_id
        return [BookDelta(instrument, ts_event, ts_recv, seq, seq, previous, bids, asks)]

    def _grouped_book(self, m: wire.GroupedBook, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        return [] if instrument is None else [whole_book(instrument, m, ts_recv)]

    def _trade(self, m: wire.Trade, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        return [] if instrument is None else convert.trade_events(instrument, m, ts_recv)

    def _ticker(self, m: wire.Ticker, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        if instrument is None:
            return []
        if convert.is_option(instrument):
            return [convert.option_quote(instrument, m, ts_recv)]
        return perp_events(instrument, m, ts_recv)

    def _quote(self, m: wire.Quote, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        quote = None if instrument is None else best_quote(instrument, m, ts_recv)
        return [] if quote is None else [quote]

    def _perpetual(self, m: wire.Perpetual, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(route.channel[1]) if len(route.channel) > 1 else None
        if instrument is None:
            return []
        text = convert.raw_text(m.interest)
        return [convert.predicted(instrument, text, m.timestamp * NS_PER_MS, ts_recv)]

    def _option_mark(self, m: wire.OptionMarkRow, ts_recv: int, route: Route) -> list[Event]:
        instrument = self._instruments.get(m.instrument_name)
        if instrument is None:
            return []
        if m.mark_price < 0 or m.iv < 0:
            raise BadValue(f"mark {m.mark_price!r} at {m.iv!r}")
        ts_event = ts_recv if m.timestamp is None else m.timestamp * NS_PER_MS
        return [OptionMark(instrument, ts_event, ts_recv, m.mark_price, m.iv)]

    def _index(self, m: wire.Index, ts_recv: int, route: Route) -> list[Event]:
        asset = self._asset_of(m.index_name)
        if asset is None:
            return []
        return [IndexPrice(VENUE, asset, m.index_name, m.timestamp * NS_PER_MS, ts_recv, m.price)]

    def _dvol(self, m: wire.Dvol, ts_recv: int, route: Route) -> list[Event]:
        asset = self._asset_of(m.index_name)
        if asset is None:
            return []
        level = m.volatility / 100.0
        return [
            VolatilityIndex(VENUE, asset, m.index_name, m.timestamp * NS_PER_MS, ts_recv, level)
        ]

    def _asset_of(self, index_name: str) -> str | None:
        asset = index_name.partition("_")[0].upper()
        return asset if asset in self._assets else None

    def _bar(self, m: wire.Bar, ts_recv: int, route: Route) -> list[Event]:
        if len(route.channel) != 4:
            raise UnknownValue("channel of a chart")
        instrument = self._instruments.get(route.channel[2])
        if instrument is None or convert.is_option(instrument):
            return []
        interval_s = RESOLUTION_S.get(route.channel[3])
        if interval_s is None:
            raise UnknownValue(f"resolution={route.channel[3][:20]}")
        return [
            Candle(
                instrument,
                ts_recv,
                ts_recv,
                interval_s,
                m.tick * NS_PER_MS,
                m.open,
                m.high,
                m.low,
                m.close,
                volume_base=m.volume,
                volume_usd=m.cost,
                buy_base=None,
                buy_usd=None,
                trades=None,
                is_closed=False,
            )
        ]

    def _state(self, m: wire.InstrumentState, ts_recv: int, route: Route) -> list[Event]:
        detail = f"{m.instrument_name} {m.state}"[:120]
        return [Control(VENUE, ts_recv, "instrument.state", None, detail)]


def _outcome_of(error: Exception) -> ParseOutcome:
    is_enumeration = "Invalid enum value" in str(error)
    return ParseOutcome.UNKNOWN if is_enumeration else ParseOutcome.MALFORMED


def _accepted(result: object) -> str:
    """The channels of a subscribe answer, by spaces; other answers by their beginning."""
    if isinstance(result, list):
        return " ".join(str(name) for name in result)
    return str(result)[:200]
