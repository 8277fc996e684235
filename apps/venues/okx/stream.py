"""OKX's WebSocket: addresses, subscribe messages, limits. The client itself is venue-independent.

Public data comes on two paths: ``/public`` (books, trades, prices, funding, liquidations) and ``/business``
(each single fill, candles). Text ``ping`` and ``pong`` keep a connection open: the venue closes after 30 s
in which it heard nothing. A book is repaired by subscribing to it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from apps.marketdata.books import OKX, ContinuityRule
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import AssetTier, is_known_asset, tier_of
from apps.venues.base import VenueEndpoints
from apps.venues.dialect import Dialect
from apps.venues.okx.convert import VENUE
from apps.venues.okx.parse import OkxParser, index_name
from apps.venues.parsing import ParserStats
from apps.venues.stream_client import ALL_ASSETS, StreamSpec
from apps.venues.streaming import BaseStreamClient

CONNECTIONS: Final = ("public", "business")
BOOK_RULES: Final[dict[InstrumentKind, ContinuityRule]] = dict.fromkeys(InstrumentKind, OKX)
LIQUIDATIONS: Final = "liquidation-orders:SWAP"
_NEVER_SILENT_S: Final = float("inf")
# Quiet books send a heartbeat after about 60 s, so twice that is silence.
_BOOK_SILENCE_S: Final = {AssetTier.HOT: 15.0, AssetTier.COLD: 130.0}
_TRADE_SILENCE_S: Final = {AssetTier.HOT: 180.0, AssetTier.COLD: 1_800.0}
_MARK_SILENCE_S: Final = 30.0
_INDEX_SILENCE_S: Final = 130.0
_OPEN_INTEREST_SILENCE_S: Final = 300.0
_FUNDING_SILENCE_S: Final = 300.0
_PING_EVERY_S: Final = 20.0
_HEAD: Final = b'{"arg":{"channel":"'
_BY_TYPE: Final = frozenset({"liquidation-orders", "instruments"})


def stream_plan(instruments: Iterable[Instrument]) -> list[StreamSpec]:
    """Trades, books, mark, index, funding and open interest of every swap; all liquidations at once.

    Of dated futures the mark, the index where no swap has it, and the open interest.
    """
    plan: list[StreamSpec] = []
    listed = list(instruments)
    for instrument in listed:
        if instrument.kind is not InstrumentKind.PERP:
            continue
        tier = tier_of(instrument.asset) if is_known_asset(instrument.asset) else AssetTier.COLD
        symbol, asset = instrument.symbol, instrument.asset
        plan += [
            StreamSpec("public", f"{channel}:{subject}", asset, kind, silence_s, symbol)
            for channel, subject, kind, silence_s in (
                ("trades", symbol, "trade", _TRADE_SILENCE_S[tier]),
                ("books", symbol, "book", _BOOK_SILENCE_S[tier]),
                ("mark-price", symbol, "mark", _MARK_SILENCE_S),
                ("index-tickers", index_name(instrument), "mark", _INDEX_SILENCE_S),
                ("funding-rate", symbol, "mark", _FUNDING_SILENCE_S),
                ("open-interest", symbol, "ticker", _OPEN_INTEREST_SILENCE_S),
            )
        ]
    plan += _dated_streams(listed)
    if plan:
        plan.append(StreamSpec("public", LIQUIDATIONS, ALL_ASSETS, "liquidation", _NEVER_SILENT_S))
    return plan


def _dated_streams(instruments: Sequence[Instrument]) -> list[StreamSpec]:
    indices = {index_name(one) for one in instruments if one.kind is InstrumentKind.PERP}
    plan: list[StreamSpec] = []
    for one in instruments:
        if one.kind is not InstrumentKind.FUTURE:
            continue
        wanted = [
            ("mark-price", one.symbol, "mark", _MARK_SILENCE_S),
            ("open-interest", one.symbol, "ticker", _OPEN_INTEREST_SILENCE_S),
        ]
        if index_name(one) not in indices:
            indices.add(index_name(one))
            wanted.append(("index-tickers", index_name(one), "mark", _INDEX_SILENCE_S))
        plan += [
            StreamSpec("public", f"{channel}:{subject}", one.asset, kind, silence_s, one.symbol)
            for channel, subject, kind, silence_s in wanted
        ]
    return plan


def arg_of(channel: str) -> dict[str, str]:
    """``books:BTC-USDT-SWAP`` as the venue wants it."""
    name, _, subject = channel.partition(":")
    return {"channel": name, "instType" if name in _BY_TYPE else "instId": subject}


def channel_of(frame: bytes) -> str | None:
    """Channel of a push, read without decoding it; None for answers and pongs."""
    if not frame.startswith(_HEAD):
        return None
    end = frame.find(b'"', 19, 60)
    brace = frame.find(b"}", end, 300)
    if end < 0 or brace < 0:
        return None
    at = frame.find(b'"instId":"', end, brace)
    start = at + 10
    if at < 0:
        at = frame.find(b'"instType":"', end, brace)
        start = at + 12
    if at < 0:
        return None
    subject = frame[start : frame.find(b'"', start, brace)]
    return f"{frame[19:end].decode('ascii', 'replace')}:{subject.decode('ascii', 'replace')}"


class OkxDialect(Dialect):
    """See :class:`apps.venues.dialect.Dialect`."""

    # The venue's cap is 64 kB of channel names; fewer keep a reconnect small.
    max_channels = 100
    # As the venue advises.
    max_book_channels = 30
    # 480 in all, pings not counted; the rest is left for repairs of the last minutes.
    requests_per_hour = 470
    answers_pings = False

    def __init__(self, endpoints: VenueEndpoints) -> None:
        self._endpoints = endpoints

    def url(self, connection: str) -> str:
        return f"{self._endpoints.ws}/ws/v5/{connection}"

    def batch_size(self, connection: str) -> int:
        return 50

    def message_gap_s(self, connection: str) -> float:
        # 3 requests a second at most.
        return 0.4

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("subscribe", request_id, channels)

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("unsubscribe", request_id, channels)

    def channel_of(self, frame: bytes) -> str | None:
        return channel_of(frame)

    def keep_alive(self, connection: str) -> tuple[float, bytes] | None:
        return _PING_EVERY_S, b"ping"


def _request(op: str, request_id: int, channels: Iterable[str]) -> bytes:
    args = [arg_of(channel) for channel in channels]
    return orjson.dumps({"id": str(request_id), "op": op, "args": args})


def make_parser(
    connection: str, instruments: Iterable[Instrument], stats: ParserStats
) -> OkxParser:
    """A parser for one connection group's frames; both groups speak alike."""
    return OkxParser(instruments, stats)


class OkxStreamClient(BaseStreamClient):
    """Streams USDT swaps. Books come whole in the stream, so ``fetch_snapshot`` is not needed."""

    venue, connections, rules = VENUE, CONNECTIONS, BOOK_RULES
    parser_for = staticmethod(make_parser)

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        return OkxDialect(endpoints)
