"""Deribit's WebSocket: one address, JSON-RPC requests, heartbeats that must be answered.

``.raw`` channels are refused without a login (13778): everything here is ``.100ms``. A subscribe answer
lists the channels that were accepted; those that are missing were not, without any error. Books begin with
a snapshot in their own channel, so a broken one is repaired by subscribing anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from apps.marketdata.books import DERIBIT, ContinuityRule
from apps.marketdata.events import Control
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueEndpoints
from apps.venues.deribit import wire
from apps.venues.deribit.convert import VENUE
from apps.venues.deribit.parse import DeribitParser
from apps.venues.deribit.symbols import DVOL_ASSETS, PRICE_INDEX, currency_of
from apps.venues.dialect import Dialect
from apps.venues.parsing import ParserStats
from apps.venues.session import Session
from apps.venues.stream_client import ALL_ASSETS, StreamSpec
from apps.venues.streaming import BaseStreamClient

CONNECTION: Final = "public"
CONNECTIONS: Final = (CONNECTION,)
BOOK_RULES: Final[dict[InstrumentKind, ContinuityRule]] = dict.fromkeys(InstrumentKind, DERIBIT)
HEARTBEAT_S: Final = 30
# Requests that are no subscriptions have numbers of their own, which no subscription waits for.
_HEARTBEAT_ID: Final = 9_000_001
_TEST_ID: Final = 9_000_002
_TEST_REQUEST: Final = b'"test_request"'
_NEVER_SILENT_S: Final = float("inf")
# Tickers and indices speak whenever mark or index move, which is several times a second.
_TICKER_SILENCE_S: Final = 10.0
_INDEX_SILENCE_S: Final = 15.0
_BOOK_SILENCE_S: Final = {"BTC": 15.0, "ETH": 15.0}
_BOOK_SILENCE_OTHERS_S: Final = 60.0
_TRADE_SILENCE_S: Final = {"BTC": 180.0, "ETH": 180.0}
_TRADE_SILENCE_OTHERS_S: Final = 1_800.0
_OPTION_MARK_SILENCE_S: Final = 30.0
_DVOL_SILENCE_S: Final = 60.0
_LONGEST_CHANNEL: Final = 120


def stream_plan(instruments: Iterable[Instrument]) -> list[StreamSpec]:
    """Trades (with their liquidations), book and ticker of every perpetual; of assets with options also
    all their options' trades and marks, the price index, and the volatility index where there is one."""
    plan: list[StreamSpec] = []
    option_assets: dict[str, None] = {}
    for item in instruments:
        if item.kind is InstrumentKind.OPTION:
            option_assets[item.asset] = None
        elif item.kind is InstrumentKind.PERP:
            plan += _perpetual_streams(item)
        elif item.kind is InstrumentKind.FUTURE:
            # Mark, index and open interest in one.
            name = item.symbol
            ticker = (CONNECTION, f"ticker.{name}.100ms", item.asset, "mark", _TICKER_SILENCE_S)
            plan.append(StreamSpec(*ticker, name))
    plan += _option_streams(option_assets)
    return plan


def _perpetual_streams(item: Instrument) -> list[StreamSpec]:
    name, asset = item.symbol, item.asset
    trades = _TRADE_SILENCE_S.get(asset, _TRADE_SILENCE_OTHERS_S)
    book = _BOOK_SILENCE_S.get(asset, _BOOK_SILENCE_OTHERS_S)
    return [
        StreamSpec(CONNECTION, f"trades.{name}.100ms", asset, "trade", trades, name),
        StreamSpec(CONNECTION, f"book.{name}.100ms", asset, "book", book, name),
        StreamSpec(CONNECTION, f"ticker.{name}.100ms", asset, "mark", _TICKER_SILENCE_S, name),
    ]


def _option_streams(assets: Iterable[str]) -> list[StreamSpec]:
    plan: list[StreamSpec] = []
    currencies: dict[str, list[str]] = {}
    for asset in assets:
        index = PRICE_INDEX[asset]
        currencies.setdefault(currency_of(asset), []).append(asset)
        marks, price = f"markprice.options.{index}", f"deribit_price_index.{index}"
        plan.append(StreamSpec(CONNECTION, marks, asset, "mark", _OPTION_MARK_SILENCE_S))
        plan.append(StreamSpec(CONNECTION, price, asset, "ticker", _INDEX_SILENCE_S))
        if asset in DVOL_ASSETS:
            dvol = f"deribit_volatility_index.{index}"
            plan.append(StreamSpec(CONNECTION, dvol, asset, "ticker", _DVOL_SILENCE_S))
    for currency, sharing in currencies.items():
        channel = f"trades.option.{currency}.100ms"
        asset = sharing[0] if len(sharing) == 1 else ALL_ASSETS
        # Hours can pass without an option trade.
        plan.append(StreamSpec(CONNECTION, channel, asset, "trade", _NEVER_SILENT_S))
    return plan


class DeribitDialect(Dialect):
    """See :class:`apps.venues.dialect.Dialect`."""

    max_channels = 200

    def __init__(self, endpoints: VenueEndpoints) -> None:
        self._endpoints = endpoints

    def url(self, connection: str) -> str:
        return f"{self._endpoints.ws}/ws/api/v2"

    def batch_size(self, connection: str) -> int:
        # The venue takes up to 500 a call.
        return 100

    def message_gap_s(self, connection: str) -> float:
        # About 3.3 subscribe calls a second; more ends in 10028, which closes the connection.
        return 0.35

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("public/subscribe", request_id, {"channels": list(channels)})

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("public/unsubscribe", request_id, {"channels": list(channels)})

    def greetings(self, connection: str) -> Iterable[bytes]:
        return (_request("public/set_heartbeat", _HEARTBEAT_ID, {"interval": HEARTBEAT_S}),)

    def reply(self, frame: bytes) -> bytes | None:
        # Unanswered, a test_request ends the connection.
        if len(frame) < 200 and _TEST_REQUEST in frame:
            return _request("public/test", _TEST_ID, {})
        return None

    def channel_of(self, frame: bytes) -> str | None:
        if not frame.startswith(wire.HEAD):
            return None
        start = len(wire.HEAD)
        end = frame.find(b'"', start, start + _LONGEST_CHANNEL)
        return None if end < 0 else frame[start:end].decode("ascii", "replace")


def _request(method: str, request_id: int, params: dict[str, object]) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def make_parser(
    connection: str, instruments: Iterable[Instrument], stats: ParserStats
) -> DeribitParser:
    """A parser for one connection group's frames; there is only one group."""
    return DeribitParser(instruments, stats)


class DeribitStreamClient(BaseStreamClient):
    """Streams perpetuals and options; their books come in the stream, so nothing is fetched."""

    venue, connections, rules = VENUE, CONNECTIONS, BOOK_RULES
    parser_for = staticmethod(make_parser)

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        return DeribitDialect(endpoints)

    def _control(self, session: Session, event: Control) -> None:
        if event.kind == "ack":
            session.on_ack(event.request_id, frozenset(event.detail.split(" ")))
            self._deliver(event)
            return
        super()._control(session, event)
