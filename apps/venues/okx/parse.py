"""OKX frames in, normalised events out. Pure; never raises; each row is counted once.

The channel at the head of a frame says how to decode it, straight into structs; whatever does not fit goes
through :meth:`OkxParser._explain`, which finds out what it was and saves the rows that are good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Control,
    Event,
    IndexPrice,
    MarkPrice,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.okx import units, wire
from apps.venues.okx.convert import (
    NS_PER_MS,
    VENUE,
    best_quote,
    candle,
    funding_rates,
    liquidation,
    number,
    open_interest,
)
from apps.venues.parsing import ParseOutcome, ParserStats
from apps.venues.values import BadValue, UnknownValue

PONG: Final = b"pong"
RECONNECT_SOON: Final = "64008"

_HEAD: Final = b'{"arg":{"channel":"'
_DECODE_ERRORS: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_NAMED_IN_ERROR: Final = re.compile(r"channel:([\w-]+),\s*(?:instId|instType):([\w-]+)")

Handler: TypeAlias = Callable[[wire.Arg, str, Any, int], list[Event]]


def index_name(instrument: Instrument) -> str:
    """The index that a contract follows: ``BTC-USDT`` for ``BTC-USDT-SWAP`` and ``BTC-USDT-261225``."""
    return "-".join(instrument.symbol.split("-")[:2])


class OkxParser:
    """Frames of any connection. ``instruments`` are those we cover; others are counted, not parsed."""

    def __init__(self, instruments: Iterable[Instrument], stats: ParserStats | None = None) -> None:
        self.stats = stats or ParserStats(VENUE)
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._indices = {
            index_name(item): item
            for item in self._instruments.values()
            if item.kind in (InstrumentKind.PERP, InstrumentKind.FUTURE)
        }
        self._handlers: dict[type[msgspec.Struct], Handler] = {
            wire.BookRow: self._book,
            wire.TradeRow: self._trade,
            wire.TickerRow: self._ticker,
            wire.MarkPriceRow: self._mark_price,
            wire.IndexTickerRow: self._index_ticker,
            wire.OpenInterestRow: self._open_interest,
            wire.FundingRateRow: self._funding_rate,
            wire.LiquidationRow: self._liquidations,
            wire.CandleRow: self._candle,
        }
        self._fast = {
            channel.encode(): (wire.decoders[row].decode, self._handlers[row])
            for channel, row in wire.ROWS.items()
        }

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns."""
        if raw.startswith(_HEAD):
            found = self._fast.get(raw[19 : raw.find(b'"', 19, 60)])
            if found is not None:
                decode, handle = found
                try:
                    frame = decode(raw)
                except _DECODE_ERRORS:
                    return self._explain(raw, ts_recv)
                return self._rows(frame, handle, ts_recv, raw)
        return self._explain(raw, ts_recv)

    def _rows(self, frame: Any, handle: Handler, ts_recv: int, raw: bytes) -> list[Event]:
        if len(frame.data) == 1:
            return self._row(frame, handle, frame.data[0], ts_recv, raw)
        events: list[Event] = []
        if not frame.data:
            self.stats.issue(ParseOutcome.MALFORMED, frame.arg.channel, "no data", raw)
        for row in frame.data:
            events += self._row(frame, handle, row, ts_recv, raw)
        return events

    def _row(self, frame: Any, handle: Handler, row: Any, ts_recv: int, raw: bytes) -> list[Event]:
        channel = frame.arg.channel
        try:
            events = handle(frame.arg, frame.action, row, ts_recv)
        except UnknownValue as error:
            self.stats.issue(ParseOutcome.UNKNOWN, f"{channel} {error}", f"unknown {error}", raw)
            return []
        except BadValue as error:
            self.stats.issue(ParseOutcome.MALFORMED, channel, str(error), raw)
            return []
        (self.stats.ok if events else self.stats.ignored)[channel] += 1
        return events

    # --- what the fast path could not decode ------------------------------------------------------

    def _explain(self, raw: bytes, ts_recv: int) -> list[Event]:
        if raw == PONG:
            return [self._control("pong", ts_recv)]
        try:
            document = wire.any_decoder.decode(raw)
        except _DECODE_ERRORS as error:
            kind = "frame" if raw.strip() else "empty frame"
            self.stats.issue(ParseOutcome.MALFORMED, kind, str(error), raw)
            return []
        if not isinstance(document, dict):
            self.stats.issue(ParseOutcome.MALFORMED, "frame", "expected an object", raw)
            return []
        if "event" in document:
            return self._answer(document, ts_recv, raw)
        try:
            frame = msgspec.convert(document, wire.LooseFrame, strict=False)
        except _DECODE_ERRORS as error:
            kind = "untagged" if "arg" not in document else "frame"
            outcome = ParseOutcome.UNKNOWN if kind == "untagged" else ParseOutcome.MALFORMED
            self.stats.issue(outcome, kind, str(error), raw)
            return []
        return self._loose_rows(frame, ts_recv, raw)

    def _loose_rows(self, frame: wire.LooseFrame, ts_recv: int, raw: bytes) -> list[Event]:
        """Row by row: one bad row must not cost the others."""
        channel = frame.arg.channel
        row_type = wire.ROWS.get(channel)
        if row_type is None:
            if wire.is_unused(channel):
                self.stats.ignored[channel[:40]] += max(1, len(frame.data))
            else:
                self.stats.issue(ParseOutcome.UNKNOWN, channel[:40], "unknown channel", raw)
            return []
        if not frame.data:
            self.stats.issue(ParseOutcome.MALFORMED, channel, "no data", raw)
        events: list[Event] = []
        for document in frame.data:
            try:
                row = wire.row_from(document, row_type)
            except _DECODE_ERRORS as error:
                self.stats.issue(ParseOutcome.MALFORMED, channel, str(error), raw)
                continue
            events += self._row(frame, self._handlers[row_type], row, ts_recv, raw)
        return events

    # --- control frames ---------------------------------------------------------------------------

    def _answer(self, document: dict[str, Any], ts_recv: int, raw: bytes) -> list[Event]:
        event, request_id = document["event"], document.get("id")
        arg = document.get("arg")
        channel = channel_name(arg) if isinstance(arg, dict) else ""
        detail = f"{document.get('code', '')}: {document.get('msg', '')}"[:200]
        if event == "subscribe":
            return [self._control("ack", ts_recv, request_id, "", channel)]
        if event == "unsubscribe":
            return [self._control("unsubscribed", ts_recv, request_id, "", channel)]
        if event == "error":
            named = _NAMED_IN_ERROR.search(detail)
            refused = f"{named[1]}:{named[2]}" if named else channel
            return [self._control("error", ts_recv, request_id, detail, refused)]
        if event == "notice":
            # 64008: this connection will be closed for an upgrade; open another now.
            is_closing = str(document.get("code")) == RECONNECT_SOON
            kind = "serverShutdown" if is_closing else "notice"
            return [self._control(kind, ts_recv, request_id, detail)]
        if event in ("channel-conn-count", "channel-conn-count-error", "login"):
            detail = f"{document.get('channel', '')}: {document.get('connCount', '')}"[:200]
            return [self._control(event, ts_recv, request_id, detail)]
        self.stats.issue(ParseOutcome.UNKNOWN, f"event {event}"[:40], "unknown event", raw)
        return []

    def _control(
        self,
        kind: str,
        ts_recv: int,
        request_id: object = None,
        detail: str = "",
        channel: str = "",
    ) -> Control:
        self.stats.control[kind] += 1
        name = None if request_id is None else str(request_id)[:40]
        return Control(VENUE, ts_recv, kind, name, detail, channel[:80])

    # --- one method per row type; an empty list means outside our coverage --------------------------

    def _book(self, arg: wire.Arg, action: str, row: wire.BookRow, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(arg.instId)
        if instrument is None:
            return []
        ts_event = row.ts * NS_PER_MS
        if not action:
            return best_quote(instrument, row, ts_event, ts_recv)
        bids = units.levels(instrument, row.bids)
        asks = units.levels(instrument, row.asks)
        if action == "update":
            # The chain of seqId alone says what follows what: it may repeat and it may start anew.
            seq = row.seqId
            return [BookDelta(instrument, ts_event, ts_recv, seq, seq, row.prevSeqId, bids, asks)]
        if action == "snapshot":
            return [BookSnapshot(instrument, ts_event, ts_recv, row.seqId, bids, asks)]
        raise UnknownValue(f"action={action[:20]}")

    def _trade(self, arg: wire.Arg, _: str, row: wire.TradeRow, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        if instrument is None:
            return []
        side = _SIDES.get(row.side)
        if side is None:
            raise UnknownValue(f"side={row.side[:20]}")
        qty = units.base_qty(instrument, row.sz, row.px)
        return [Trade(instrument, row.ts * NS_PER_MS, ts_recv, row.px, qty, side, row.tradeId)]

    def _ticker(self, arg: wire.Arg, _: str, row: wire.TickerRow, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        if instrument is None or not row.last:
            return []
        last = number(row.last, "last")
        if last <= 0:
            raise BadValue(f"last price {row.last[:20]}")
        if instrument.kind is InstrumentKind.SPOT:
            base, usd = row.vol24h, row.volCcy24h
        elif instrument.is_inverse:
            base, usd = row.volCcy24h, row.vol24h * instrument.contract_size
        else:
            # The venue publishes no turnover of linear contracts: coins at the last price.
            base, usd = row.volCcy24h, row.volCcy24h * last
        return [Ticker(instrument, row.ts * NS_PER_MS, ts_recv, last, base, usd)]

    def _mark_price(
        self, arg: wire.Arg, _: str, row: wire.MarkPriceRow, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        if instrument is None:
            return []
        return [MarkPrice(instrument, row.ts * NS_PER_MS, ts_recv, row.markPx, None)]

    def _index_ticker(
        self, arg: wire.Arg, _: str, row: wire.IndexTickerRow, ts_recv: int
    ) -> list[Event]:
        instrument = self._indices.get(row.instId)
        if instrument is None:
            return []
        ts_event = row.ts * NS_PER_MS
        return [IndexPrice(VENUE, instrument.asset, row.instId, ts_event, ts_recv, row.idxPx)]

    def _open_interest(
        self, arg: wire.Arg, _: str, row: wire.OpenInterestRow, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        return [] if instrument is None else [open_interest(instrument, row, ts_recv)]

    def _funding_rate(
        self, arg: wire.Arg, _: str, row: wire.FundingRateRow, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        return [] if instrument is None else list(funding_rates(instrument, row, ts_recv))

    def _liquidations(
        self, arg: wire.Arg, _: str, row: wire.LiquidationRow, ts_recv: int
    ) -> list[Event]:
        instrument = self._instruments.get(row.instId)
        if instrument is None:
            return []
        events: list[Event] = []
        problem: Exception | None = None
        for at, document in enumerate(row.details):
            try:
                detail = wire.row_from(document, wire.LiquidationDetail)
                events.append(liquidation(instrument, detail, ts_recv, at))
            except _DECODE_ERRORS as error:
                problem = BadValue(str(error))
            except UnknownValue as error:
                problem = error
        if problem is not None and not events:
            raise problem
        if problem is not None:
            outcome = ParseOutcome.MALFORMED
            if isinstance(problem, UnknownValue):
                outcome = ParseOutcome.UNKNOWN
            self.stats.issue(outcome, f"{arg.channel} detail", str(problem), b"")
        return events

    def _candle(self, arg: wire.Arg, _: str, row: wire.CandleRow, ts_recv: int) -> list[Event]:
        instrument = self._instruments.get(arg.instId)
        if instrument is None:
            return []
        interval_s = wire.INTERVAL_S[arg.channel.removeprefix("candle")]
        return [candle(instrument, row, interval_s, ts_recv)]


def channel_name(arg: dict[str, Any]) -> str:
    """Our name of a channel: ``books:BTC-USDT-SWAP``, ``liquidation-orders:SWAP``."""
    subject = arg.get("instId") or arg.get("instFamily") or arg.get("instType") or ""
    return f"{arg.get('channel', '')}:{subject}"
