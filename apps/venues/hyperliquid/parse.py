"""Hyperliquid frames in, normalised events out. Pure; never raises; each message is counted once.

The fast path decodes a frame straight into its struct; whatever does not fit goes through
:meth:`HyperliquidParser._explain`, which finds out what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any, Final

import msgspec
import orjson

from apps.marketdata.events import (
    BestQuote,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingKind,
    FundingRate,
    Levels,
    MarkPrice,
    OpenInterest,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument
from apps.venues.hyperliquid import wire
from apps.venues.hyperliquid.channels import channel_name
from apps.venues.parsing import ParseOutcome, ParserStats
from apps.venues.values import BadValue, UnknownValue

VENUE: Final = "hyperliquid"
NS_PER_MS: Final = 1_000_000
HOUR_NS: Final = 3_600_000_000_000
FUNDING_INTERVAL_H: Final = 1.0

INTERVAL_S: Final[dict[str, int]] = {
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
}
_SIDES: Final = {"B": Side.BUY, "A": Side.SELL}
_DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_decode: Final = wire.decoder.decode


class HyperliquidParser:
    """``instruments`` are those we cover; other coins are counted, not parsed.

    ``universe``: names in the order of ``meta``, without which the states of ``allDexsAssetCtxs`` belong
    to nobody.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        stats: ParserStats | None = None,
        universe: Sequence[str] = (),
    ) -> None:
        self.stats = stats or ParserStats(VENUE)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._universe = tuple(universe)
        self._handlers: dict[type, tuple[str, Callable[[Any, int], list[Event]]]] = {
            wire.Trades: ("trades", self._trades),
            wire.L2Book: ("l2Book", self._book),
            wire.Bbo: ("bbo", self._bbo),
            wire.ActiveAssetCtx: ("activeAssetCtx", self._ctx),
            wire.ActiveSpotAssetCtx: ("activeSpotAssetCtx", self._nothing),
            wire.AllDexsAssetCtxs: ("allDexsAssetCtxs", self._all_ctxs),
            wire.AllMids: ("allMids", self._nothing),
            wire.Candle: ("candle", self._candle),
        }

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns."""
        try:
            message = _decode(raw)
        except _DECODE_ERRORS:
            return self._explain(raw, ts_recv)
        return self._dispatch(message, ts_recv, raw)

    def _dispatch(self, message: wire.Message, ts_recv: int, raw: bytes) -> list[Event]:
        handler = self._handlers.get(type(message))
        if handler is None:
            return [self._control(message, ts_recv)]
        kind, handle = handler
        try:
            events = handle(message, ts_recv)
        except UnknownValue as error:
            if isinstance(message, wire.Trades) and len(message.data) > 1:
                # One strange trade must not cost the others.
                return [
                    event
                    for row in message.data
                    for event in self._dispatch(wire.Trades([row]), ts_recv, raw)
                ]
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
            what = "frame" if raw.strip() else "empty frame"
            self.stats.issue(ParseOutcome.MALFORMED, what, str(error), raw)
            return []
        if not isinstance(document, dict):
            self.stats.issue(ParseOutcome.MALFORMED, "frame", "expected an object", raw)
            return []
        kind = document.get("channel")
        if not isinstance(kind, str) or kind not in wire.KINDS:
            if kind is None and {"coin", "levels", "time"} <= document.keys():
                # A REST body inside a recording.
                self.stats.ignored["l2Book body"] += 1
                return []
            self.stats.issue(ParseOutcome.UNKNOWN, str(kind)[:40], "unknown channel", raw)
            return []
        found = document.get("data")
        if kind == "trades" and isinstance(found, list) and len(found) > 1:
            return [
                event
                for row in found
                for event in self._explain_one(kind, {**document, "data": [row]}, ts_recv, raw)
            ]
        return self._explain_one(kind, document, ts_recv, raw)

    def _explain_one(
        self, kind: str, document: dict[str, Any], ts_recv: int, raw: bytes
    ) -> list[Event]:
        try:
            message = wire.message_from(document)
        except _DECODE_ERRORS as error:
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        return self._dispatch(message, ts_recv, raw)

    # --- frames without market data -----------------------------------------------------------------

    def _control(self, message: wire.Message, ts_recv: int) -> Control:
        kind, detail, channel = "pong", "", ""
        if isinstance(message, wire.SubscriptionResponse):
            is_subscribe = message.data.method == "subscribe"
            kind = "ack" if is_subscribe else "unsubscribed"
            channel = channel_name(message.data.subscription)[:80]
        elif isinstance(message, wire.Error):
            kind, channel = _meaning_of(message.data)
            detail = message.data[:200]
        elif isinstance(message, wire.Notification):
            kind = "notification"
        self.stats.control[kind] += 1
        return Control(VENUE, ts_recv, kind, None, detail, channel)

    # --- one method per message: struct in, events out; an empty list means outside our coverage ----

    def _nothing(self, message: object, ts_recv: int) -> list[Event]:
        return []

    def _trades(self, message: wire.Trades, ts_recv: int) -> list[Event]:
        events: list[Event] = []
        for row in message.data:
            instrument = self._instruments.get(row.coin)
            if instrument is None:
                continue
            side = _SIDES.get(row.side)
            if side is None:
                raise UnknownValue(f"side={row.side[:20]}")
            mult = instrument.price_mult
            events.append(
                Trade(
                    instrument,
                    row.time * NS_PER_MS,
                    ts_recv,
                    row.px / mult,
                    row.sz * mult,
                    side,
                    str(row.tid),
                )
            )
        return events

    def _book(self, message: wire.L2Book, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(message.data.coin)
        if instrument is None:
            return []
        return [_snapshot(message.data, instrument, ts_recv)]

    def _bbo(self, message: wire.Bbo, ts_recv: int) -> list[Event]:
        body = message.data
        instrument = self._instruments.get(body.coin)
        if instrument is None or len(body.bbo) < 2:
            return []
        bid, ask = body.bbo[0], body.bbo[1]
        if bid is None or ask is None:
            return []
        best = _levels([bid, ask], instrument.price_mult)
        return [BestQuote(instrument, body.time * NS_PER_MS, ts_recv, *best[0], *best[1])]

    def _ctx(self, message: wire.ActiveAssetCtx, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(message.data.coin)
        return [] if instrument is None else list(state_of(instrument, message.data.ctx, ts_recv))

    def _all_ctxs(self, message: wire.AllDexsAssetCtxs, ts_recv: int) -> list[Event]:
        events: list[Event] = []
        for dex, states in message.data.ctxs:
            if dex:
                continue
            # Assets are only ever added at the end: a universe read earlier still fits.
            for name, state in zip(self._universe, states, strict=False):
                instrument = self._instruments.get(name)
                if instrument is None or state is None:
                    continue
                try:
                    events += state_of(instrument, state, ts_recv)
                except BadValue as error:
                    # One bad state must not cost the others.
                    detail = f"{name}: {error}"
                    self.stats.issue(ParseOutcome.MALFORMED, "asset state", detail, b"")
        return events

    def _candle(self, message: wire.Candle, ts_recv: int) -> list[Event]:
        bar = message.data
        instrument = self._instruments.get(bar.s)
        if instrument is None:
            return []
        interval_s = INTERVAL_S.get(bar.i)
        if interval_s is None:
            raise UnknownValue(f"i={bar.i[:20]}")
        is_closed = ts_recv > bar.T * NS_PER_MS
        return [candle_of(instrument, bar, interval_s, is_closed=is_closed, ts_recv=ts_recv)]


def state_of(
    instrument: Instrument, ctx: wire.AssetCtx, ts_recv: int
) -> list[MarkPrice | FundingRate | OpenInterest]:
    """Mark and oracle price, running funding rate, open interest. The venue tells no time: ours is used.

    A mark of 0 stands for a market without one.
    """
    if not ctx.markPx:
        return []
    mult = instrument.price_mult
    index = ctx.oraclePx / mult if ctx.oraclePx else None
    settlement = (ts_recv // HOUR_NS + 1) * HOUR_NS
    return [
        MarkPrice(instrument, ts_recv, ts_recv, ctx.markPx / mult, index),
        FundingRate(
            instrument,
            ts_recv,
            ts_recv,
            FundingKind.PREDICTED,
            rate_from(ctx.funding),
            ctx.funding,
            FUNDING_INTERVAL_H,
            settlement,
        ),
        OpenInterest(
            instrument,
            ts_recv,
            ts_recv,
            oi_contracts=ctx.openInterest,
            oi_base=ctx.openInterest * mult,
            oi_usd=ctx.openInterest * ctx.markPx,
        ),
    ]


def candle_of(
    instrument: Instrument, bar: wire.Bar, interval_s: int, *, is_closed: bool, ts_recv: int
) -> Candle:
    """The venue publishes no quote volume: it is estimated at the mean of open, high, low and close."""
    mult = instrument.price_mult
    mean = (bar.o + bar.h + bar.l + bar.c) / 4
    return Candle(
        instrument,
        bar.T * NS_PER_MS if is_closed else ts_recv,
        ts_recv,
        interval_s,
        bar.t * NS_PER_MS,
        bar.o / mult,
        bar.h / mult,
        bar.l / mult,
        bar.c / mult,
        volume_base=bar.v * mult,
        volume_usd=bar.v * mean,
        buy_base=None,
        buy_usd=None,
        trades=bar.n,
        is_closed=is_closed,
    )


def book_snapshot(body: bytes, instrument: Instrument, ts_recv: int) -> BookSnapshot:
    """A REST l2Book body as a snapshot; raises ``msgspec.MsgspecError`` or :class:`BadValue` when it is
    not one."""
    return _snapshot(wire.book_decoder.decode(body), instrument, ts_recv)


def rate_from(text: str) -> float:
    """A funding rate as a decimal; raises :class:`BadValue` unless it is a finite number."""
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not isfinite(rate):
        raise BadValue(f"funding rate {text[:20]!r}")
    return rate


def _snapshot(body: wire.BookBody, instrument: Instrument, ts_recv: int) -> BookSnapshot:
    bids, asks = body.levels
    # The venue has no sequence numbers: its time orders books.
    return BookSnapshot(
        instrument,
        body.time * NS_PER_MS,
        ts_recv,
        body.time,
        _levels(bids, instrument.price_mult),
        _levels(asks, instrument.price_mult),
    )


def _levels(side: list[wire.Level], mult: float) -> Levels:
    if mult == 1.0:
        return [(level.px, level.sz) for level in side]
    return [(level.px / mult, level.sz * mult) for level in side]


def _meaning_of(text: str) -> tuple[str, str]:
    """(kind, channel) of an error's text: "already" means that what we asked for is so."""
    brace = text.find("{")
    channel = ""
    if brace >= 0:
        try:
            document = orjson.loads(text[brace:])
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict):
            inner = document.get("subscription", document)
            channel = channel_name(inner)[:80] if isinstance(inner, dict) else ""
    if text.startswith("Already subscribed"):
        return "ack", channel
    return ("unsubscribed" if text.startswith("Already unsubscribed") else "error"), channel
