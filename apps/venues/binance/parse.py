"""Binance frames in, normalised events out. Pure; never raises; each message is counted once.

One parser serves one market (UM or spot): the same symbol names two instruments and the messages do not
say which. The fast path decodes a frame straight into its struct; whatever does not fit goes through
:meth:`BinanceParser._explain`, which finds out what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from math import isfinite
from typing import Any, Final

import msgspec

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingKind,
    FundingRate,
    Levels,
    Liquidation,
    MarkPrice,
    PositionSide,
    Quality,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument
from apps.venues.binance import wire
from apps.venues.parsing import ParseOutcome, ParserStats
from apps.venues.values import BadValue, UnknownValue

VENUE: Final = "binance"
NS_PER_MS: Final = 1_000_000

INTERVAL_S: Final[dict[str, int]] = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
}
_NO_TRADE_PRINTS: Final = frozenset({"INSURANCE_FUND", "ADL", "NA"})
_ORDER_STATUS: Final = frozenset(
    {"NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"}
)
_LIQUIDATED: Final = {"SELL": PositionSide.LONG, "BUY": PositionSide.SHORT}
_DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_COMBINED: Final = b'{"stream"'
_decode_framed: Final = wire.framed_decoder.decode
_decode_depth: Final = wire.framed_depth_decoder.decode


class Market(StrEnum):
    UM = "um"
    SPOT = "spot"


class BinanceParser:
    """Frames of one market. ``instruments`` are those we cover; other symbols are counted, not parsed."""

    def __init__(
        self, market: Market, instruments: Iterable[Instrument], stats: ParserStats | None = None
    ) -> None:
        self.market = market
        self._is_spot = market is Market.SPOT
        self.stats = stats or ParserStats(VENUE)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._handlers: dict[type, tuple[str, Callable[[Any, int], list[Event]]]] = {
            wire.AggTrade: ("aggTrade", self._agg_trade),
            wire.Trade: ("trade", self._trade),
            wire.DepthUpdate: ("depthUpdate", self._depth_update),
            wire.BookTicker: ("bookTicker", self._book_ticker),
            wire.SpotBookTicker: ("bookTicker", self._spot_book_ticker),
            wire.ForceOrder: ("forceOrder", self._force_order),
            wire.MarkPriceUpdate: ("markPriceUpdate", self._mark_price),
            wire.Ticker24h: ("24hrTicker", self._ticker),
            wire.Kline: ("kline", self._kline),
        }

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame, combined or bare; ``ts_recv`` in ns."""
        try:
            if raw.find(b"@depth", 10, 60) > 0:
                # Books are most of the traffic.
                depth = _decode_depth(raw).data
                events = self._depth_update(depth, ts_recv)
                (self.stats.ok if events else self.stats.ignored)["depthUpdate"] += 1
                return events
            if not raw.startswith(_COMBINED):
                message: Any = wire.bare_decoder.decode(raw)
            elif self._is_spot and raw.find(b"@bookTicker", 10, 60) > 0:
                message = wire.framed_spot_quote_decoder.decode(raw).data
            else:
                message = _decode_framed(raw).data
        except _DECODE_ERRORS:
            return self._explain(raw, ts_recv)
        if type(message) is list:
            return [event for one in message for event in self._dispatch(one, ts_recv, raw)]
        return self._dispatch(message, ts_recv, raw)

    def _dispatch(self, message: Any, ts_recv: int, raw: bytes) -> list[Event]:
        handler = self._handlers.get(type(message))
        if handler is None:
            return [self._control("serverShutdown", ts_recv)]
        kind, handle = handler
        try:
            events = handle(message, ts_recv)
        except UnknownValue as error:
            self.stats.issue(ParseOutcome.UNKNOWN, f"{kind} {error}", f"unknown {error}", raw)
            return []
        except BadValue as error:
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        (self.stats.ok if events else self.stats.ignored)[kind] += 1
        return events

    # --- what the fast path could not decode ------------------------------------------------------

    def _explain(self, raw: bytes, ts_recv: int) -> list[Event]:
        try:
            document = wire.any_decoder.decode(raw)
        except _DECODE_ERRORS as error:
            kind = "frame" if raw.strip() else "empty frame"
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        if isinstance(document, dict) and "stream" in document and "data" in document:
            document = document["data"]
        if isinstance(document, list):
            # One bad element must not cost the others.
            return [event for one in document for event in self._explain_one(one, ts_recv, raw)]
        return self._explain_one(document, ts_recv, raw)

    def _explain_one(self, document: object, ts_recv: int, raw: bytes) -> list[Event]:
        if not isinstance(document, dict):
            self.stats.issue(ParseOutcome.MALFORMED, "frame", "expected an object", raw)
            return []
        if "e" not in document:
            return self._untagged(document, ts_recv, raw)
        kind = document["e"]
        if not isinstance(kind, str) or kind not in wire.KINDS:
            self.stats.issue(ParseOutcome.UNKNOWN, str(kind)[:40], "unknown event type", raw)
            return []
        try:
            message = wire.message_from(document)
        except _DECODE_ERRORS as error:
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        return self._dispatch(message, ts_recv, raw)

    def _untagged(self, document: dict[str, Any], ts_recv: int, raw: bytes) -> list[Event]:
        if "error" in document or ("code" in document and "msg" in document):
            detail = str(document.get("error") or document.get("msg"))[:200]
            return [self._control("error", ts_recv, document.get("id"), detail)]
        if "result" in document and "id" in document:
            return [self._control("ack", ts_recv, document["id"])]
        if "lastUpdateId" in document:
            # A REST body inside a recording: it does not say which symbol it is of.
            self.stats.ignored["depth body"] += 1
            return []
        if {"u", "s", "b", "a"} <= document.keys():
            try:
                message = wire.spot_quote_from(document)
            except _DECODE_ERRORS as error:
                self.stats.issue(ParseOutcome.MALFORMED, "bookTicker", str(error), raw)
                return []
            return self._dispatch(message, ts_recv, raw)
        self.stats.issue(ParseOutcome.UNKNOWN, "untagged", "neither data, ack nor error", raw)
        return []

    def _control(
        self, kind: str, ts_recv: int, request_id: object = None, detail: str = ""
    ) -> Control:
        self.stats.control[kind] += 1
        name = None if request_id is None else str(request_id)[:40]
        return Control(VENUE, ts_recv, kind, name, detail)

    # --- one method per message: struct in, events out; an empty list means outside our coverage ---

    def _covered(self, symbol: str, st: int) -> Instrument | None:
        return None if st == wire.COIN_MARGINED else self._instruments.get(symbol)

    def _agg_trade(self, m: wire.AggTrade, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        if instrument is None:
            return []
        return [_trade(instrument, ts_recv, m, str(m.a))]

    def _trade(self, m: wire.Trade, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        if instrument is None or m.X in _NO_TRADE_PRINTS:
            return []
        if m.X is not None and m.X != "MARKET":
            raise UnknownValue(f"X={m.X[:20]}")
        if not m.p:
            raise BadValue("trade at price 0")
        return [_trade(instrument, ts_recv, m, str(m.t))]

    def _depth_update(self, m: wire.DepthUpdate, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(m.s)
        if instrument is None or m.st == wire.COIN_MARGINED:
            return []
        bids, asks = m.b, m.a
        if instrument.price_mult != 1.0:
            bids, asks = _per_base(bids, instrument), _per_base(asks, instrument)
        ts_event = (m.E if m.T is None else m.T) * NS_PER_MS
        return [BookDelta(instrument, ts_event, ts_recv, m.U, m.u, m.pu, bids, asks)]

    def _book_ticker(self, m: wire.BookTicker, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        time_ms = m.E if m.T is None else m.T
        ts_event = ts_recv if time_ms is None else time_ms * NS_PER_MS
        return _quote(instrument, ts_event, ts_recv, m)

    def _spot_book_ticker(self, m: wire.SpotBookTicker, ts_recv: int) -> list[Event]:
        return _quote(self._instruments.get(m.s), ts_recv, ts_recv, m)

    def _force_order(self, m: wire.ForceOrder, ts_recv: int) -> list[Event]:
        order = m.o
        instrument = self._covered(order.s, wire.COIN_MARGINED if m.st == 2 else order.st)
        if instrument is None:
            return []
        side = _LIQUIDATED.get(order.S)
        if side is None:
            raise UnknownValue(f"S={order.S[:20]}")
        if order.X not in _ORDER_STATUS:
            raise UnknownValue(f"X={order.X[:20]}")
        if not (order.ap and order.z):
            return []
        event_id = f"{order.s}:{order.T}:{order.S}:{order.z!r}:{order.ap!r}"
        return [
            Liquidation(
                instrument,
                order.T * NS_PER_MS,
                ts_recv,
                side,
                price=order.ap / instrument.price_mult,
                qty_base=order.z * instrument.price_mult,
                notional_usd=order.ap * order.z,
                quality=Quality.SAMPLED,
                event_id=event_id,
            )
        ]

    def _mark_price(self, m: wire.MarkPriceUpdate, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        if instrument is None or not m.p:
            return []
        ts_event = m.E * NS_PER_MS
        mult = instrument.price_mult
        events: list[Event] = [
            MarkPrice(instrument, ts_event, ts_recv, m.p / mult, m.i / mult if m.i else None)
        ]
        if m.r and m.T:
            events.append(
                FundingRate(
                    instrument,
                    ts_event,
                    ts_recv,
                    FundingKind.PREDICTED,
                    rate=rate_from(m.r),
                    rate_raw=m.r,
                    interval_h=None,
                    funding_ts=m.T * NS_PER_MS,
                )
            )
        return events

    def _ticker(self, m: wire.Ticker24h, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        if instrument is None or not m.c:
            return []
        mult = instrument.price_mult
        return [Ticker(instrument, m.E * NS_PER_MS, ts_recv, m.c / mult, m.v * mult, m.q)]

    def _kline(self, m: wire.Kline, ts_recv: int) -> list[Event]:
        instrument = self._covered(m.s, m.st)
        if instrument is None:
            return []
        bar = m.k
        interval_s = INTERVAL_S.get(bar.i)
        if interval_s is None:
            raise UnknownValue(f"i={bar.i[:20]}")
        mult = instrument.price_mult
        return [
            Candle(
                instrument,
                m.E * NS_PER_MS,
                ts_recv,
                interval_s,
                bar.t * NS_PER_MS,
                bar.o / mult,
                bar.h / mult,
                bar.l / mult,
                bar.c / mult,
                volume_base=bar.v * mult,
                volume_usd=bar.q,
                buy_base=bar.V * mult,
                buy_usd=bar.Q,
                trades=bar.n,
                is_closed=bar.x,
            )
        ]


def depth_snapshot(body: bytes, instrument: Instrument, ts_recv: int) -> BookSnapshot:
    """A REST depth body as a snapshot; raises ``msgspec.MsgspecError`` when it is not one."""
    depth = wire.depth_decoder.decode(body)
    bids, asks = depth.bids, depth.asks
    if instrument.price_mult != 1.0:
        bids, asks = _per_base(bids, instrument), _per_base(asks, instrument)
    time_ms = depth.E if depth.T is None else depth.T
    ts_event = ts_recv if time_ms is None else time_ms * NS_PER_MS
    return BookSnapshot(instrument, ts_event, ts_recv, depth.lastUpdateId, bids, asks)


def rate_from(text: str) -> float:
    """A funding rate as a decimal; raises :class:`BadValue` unless it is a finite number."""
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not isfinite(rate):
        raise BadValue(f"funding rate {text[:20]!r}")
    return rate


def _trade(
    instrument: Instrument, ts_recv: int, m: wire.AggTrade | wire.Trade, trade_id: str
) -> Trade:
    mult = instrument.price_mult
    # m is "the buyer is the maker", so the taker sold.
    side = Side.SELL if m.m else Side.BUY
    return Trade(instrument, m.T * NS_PER_MS, ts_recv, m.p / mult, m.q * mult, side, trade_id)


def _quote(
    instrument: Instrument | None,
    ts_event: int,
    ts_recv: int,
    m: wire.BookTicker | wire.SpotBookTicker,
) -> list[Event]:
    # A price of 0 stands for an empty side: no quote then.
    if instrument is None or not (m.b and m.a):
        return []
    mult = instrument.price_mult
    return [
        BestQuote(instrument, ts_event, ts_recv, m.b / mult, m.B * mult, m.a / mult, m.A * mult)
    ]


def _per_base(levels: Levels, instrument: Instrument) -> Levels:
    mult = instrument.price_mult
    return [(price / mult, qty * mult) for price, qty in levels]
