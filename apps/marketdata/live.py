"""Live state: the newest known numbers of every instrument, kept in Redis and rewritten as they change.

One hash per market: field = ``Instrument.key``, value = msgpack of :class:`LiveState`. Only ``ingest``
writes it. A number that is not known is None; times are integer milliseconds of market time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import redis

from apps.core.redis import market_key
from apps.marketdata.instruments import Instrument, InstrumentKind


class OpenBar(msgspec.Struct, array_like=True):
    """The one-minute bar in the making: base quantities in coins, USD notionals, taker side split."""

    open_ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume_base: float
    volume_usd: float
    buy_base: float
    buy_usd: float
    trades: int


class LiveState(msgspec.Struct, kw_only=True):
    """What is known about one instrument now.

    ``funding_rate`` is the predicted rate of the coming settlement, decimal per ``funding_interval_h``;
    ``funding_rate_raw`` the venue's own string. ``oi_usd`` is ``oi_base`` × mark price where the venue
    does not say it. Depths are coins on the best level. ``book_state`` and ``stream_status`` are
    lower-case words (``live``, ``resyncing``, ``stale``).
    """

    key: str
    venue: str
    asset: str
    kind: InstrumentKind
    symbol: str
    ts_event_ms: int | None = None
    ts_recv_ms: int | None = None
    last_price: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    mark_ts_ms: int | None = None
    index_ts_ms: int | None = None
    funding_rate: float | None = None
    funding_rate_raw: str | None = None
    funding_interval_h: float | None = None
    next_funding_ms: int | None = None
    funding_ts_ms: int | None = None
    oi_contracts: float | None = None
    oi_base: float | None = None
    oi_usd: float | None = None
    oi_ts_ms: int | None = None
    volume_24h_base: float | None = None
    volume_24h_usd: float | None = None
    book_state: str | None = None
    book_ts_ms: int | None = None
    best_bid: float | None = None
    best_ask: float | None = None
    bid_depth: float | None = None
    ask_depth: float | None = None
    open_bar: OpenBar | None = None
    trade_ts_ms: int | None = None
    trade_count_total: int = 0
    gap_count: int = 0
    stream_status: str | None = None
    liquidations_since_ms: int | None = None
    """Liquidations have been watched without a break since then; None: they are not watched now."""

    @classmethod
    def of(cls, instrument: Instrument) -> LiveState:
        """An empty state: nothing is known yet but the instrument's own funding interval."""
        return cls(
            key=instrument.key,
            venue=instrument.venue,
            asset=instrument.asset,
            kind=instrument.kind,
            symbol=instrument.symbol,
            funding_interval_h=instrument.funding_interval_h,
        )


class SourceStatus(msgspec.Struct, kw_only=True):
    """How a venue is doing. ``last_ok_ms`` is the market time of its last good message or answer."""

    venue: str
    status: str
    last_ok_ms: int | None = None
    detail: str = ""


SOURCE_OK: Final = "ok"
SOURCE_DEGRADED: Final = "degraded"
SOURCE_DOWN: Final = "down"


@dataclass(frozen=True, slots=True)
class LiveBoard:
    """All live states of the market at one moment, and the venues they came from."""

    states: Mapping[str, LiveState]
    sources: Mapping[str, SourceStatus]
    _by_asset: Mapping[str, tuple[LiveState, ...]] = field(repr=False)

    def get(self, key: str) -> LiveState | None:
        return self.states.get(key)

    def of_asset(self, asset: str, kind: InstrumentKind | None = None) -> tuple[LiveState, ...]:
        """States of one asset, every venue, in the order of their keys."""
        found = self._by_asset.get(asset, ())
        return found if kind is None else tuple(state for state in found if state.kind == kind)

    def of_venue(self, venue: str, kind: InstrumentKind | None = None) -> tuple[LiveState, ...]:
        return tuple(
            state
            for state in self.states.values()
            if state.venue == venue and (kind is None or state.kind == kind)
        )

    def find(self, venue: str, asset: str, kind: InstrumentKind) -> LiveState | None:
        """The venue's listing of an asset; the first by key where it has several."""
        for state in self._by_asset.get(asset, ()):
            if state.venue == venue and state.kind == kind:
                return state
        return None


_encoder: Final = msgspec.msgpack.Encoder()
_state_decoder: Final = msgspec.msgpack.Decoder(LiveState)
_source_decoder: Final = msgspec.msgpack.Decoder(SourceStatus)


def live_key() -> str:
    return market_key("live")


def sources_key() -> str:
    return market_key("sources")


def encode_states(states: Iterable[LiveState]) -> dict[Any, Any]:
    """Hash fields (str) and values (bytes), typed as loosely as redis-py's ``hset`` asks."""
    return {state.key: _encoder.encode(state) for state in states}


def decode_state(raw: bytes) -> LiveState:
    return _state_decoder.decode(raw)


def encode_sources(sources: Iterable[SourceStatus]) -> dict[Any, Any]:
    return {source.venue: _encoder.encode(source) for source in sources}


def make_board(states: Iterable[LiveState], sources: Iterable[SourceStatus]) -> LiveBoard:
    by_key = {state.key: state for state in sorted(states, key=lambda state: state.key)}
    by_asset: dict[str, list[LiveState]] = {}
    for state in by_key.values():
        by_asset.setdefault(state.asset, []).append(state)
    return LiveBoard(
        states=by_key,
        sources={source.venue: source for source in sources},
        _by_asset={asset: tuple(group) for asset, group in by_asset.items()},
    )


def read_board(client: redis.Redis) -> LiveBoard:
    """Both hashes in one round trip."""
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(live_key())
    pipeline.hgetall(sources_key())
    states, sources = pipeline.execute()
    return make_board(
        [_state_decoder.decode(raw) for raw in states.values()],
        [_source_decoder.decode(raw) for raw in sources.values()],
    )


def read_sources(client: redis.Redis) -> dict[str, SourceStatus]:
    raw: dict[Any, Any] = client.hgetall(sources_key())
    found = [_source_decoder.decode(value) for value in raw.values()]
    return {source.venue: source for source in found}


def write_live(
    client: redis.Redis, states: Iterable[LiveState], sources: Iterable[SourceStatus] = ()
) -> None:
    """Blocking write, for tools and tests; ingest sends the same fields in its own pipeline."""
    pipeline = client.pipeline(transaction=False)
    fields = encode_states(states)
    if fields:
        pipeline.hset(live_key(), mapping=fields)
    venue_fields = encode_sources(sources)
    if venue_fields:
        pipeline.hset(sources_key(), mapping=venue_fields)
    pipeline.execute()
