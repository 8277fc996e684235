"""In the sandbox: histories that no venue serves, from the emulator's own recorder.

There the adapters of all venues get one more thing to offer. On live markets these series begin when our own
streams do, and what lies before is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

import aiohttp
import msgspec
import numpy as np

from apps.ingest.emulator import Emulator
from apps.marketdata.columns import Columns
from apps.marketdata.events import Liquidation, OpenInterest, PositionSide, Quality
from apps.marketdata.instruments import Instrument
from apps.marketdata.models import Origin
from apps.marketdata.normalisation import LIQUIDATIONS
from apps.marketdata.rows import LiquidationRow
from apps.venues.base import RestClientFactory, VenueAdapter
from apps.venues.errors import VenueUnavailable
from apps.venues.rest_client import RestClient

T = TypeVar("T")
_NS_PER_MS: Final = 1_000_000
_SIDES: Final = {one.value: one for one in PositionSide}


class RecordedInterest(msgspec.Struct, gc=False):
    ts_ms: list[int]
    contracts: list[float]
    base: list[float]
    usd: list[float]


class RecordedLiquidations(msgspec.Struct, gc=False):
    """Sums of ``span_s`` seconds that end with the millisecond ``ts_ms``."""

    ts_ms: list[int]
    span_s: list[int]
    side: list[str]
    price: list[float]
    base: list[float]
    usd: list[float]


class RecordedRest:
    """A venue's REST client, and the recorder beside it; whatever else is asked goes to the venue."""

    def __init__(self, rest: RestClient, emulator: Emulator, *, interest: bool) -> None:
        self._rest = rest
        self._emulator = emulator
        self.recorded_series = frozenset({"open_interest"} if interest else ())
        """Series that come from the recorder although venues could have them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[OpenInterest]:
        if not self.recorded_series:
            return await self._rest.open_interest_history(instrument, period_s, start_ms, end_ms)
        rows = await self._ask(
            "open_interest", RecordedInterest, instrument, start_ms, end_ms, step_s=period_s
        )
        times = np.array(rows.ts_ms, dtype=np.int64) * _NS_PER_MS
        return Columns(
            OpenInterest,
            len(times),
            {
                "instrument": instrument,
                "ts_event": times,
                "ts_recv": times,
                "oi_contracts": np.array(rows.contracts),
                "oi_base": np.array(rows.base),
                "oi_usd": np.array(rows.usd),
            },
        )

    async def liquidation_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> Sequence[Liquidation]:
        rows = await self._ask("liquidations", RecordedLiquidations, instrument, start_ms, end_ms)
        quality = LIQUIDATIONS[instrument.venue].quality or Quality.ESTIMATED
        times = np.array(rows.ts_ms, dtype=np.int64) * _NS_PER_MS
        named = zip(rows.span_s, rows.ts_ms, rows.side, strict=True)
        return Columns(
            Liquidation,
            len(times),
            {
                "instrument": instrument,
                "ts_event": times,
                "ts_recv": times,
                "position_side": [_SIDES[side] for side in rows.side],
                "price": np.array(rows.price),
                "qty_base": np.array(rows.base),
                "notional_usd": np.array(rows.usd),
                "quality": quality,
                "event_id": [f"recorded:{span_s}:{ts}:{side}" for span_s, ts, side in named],
            },
        )

    async def _ask(
        self,
        series: str,
        shape: type[T],
        instrument: Instrument,
        start_ms: int,
        end_ms: int,
        **more: int,
    ) -> T:
        query = {"start_ms": start_ms, "end_ms": end_ms, **more}
        try:
            body = await self._emulator.recorded(
                series, venue=instrument.venue, symbol=instrument.symbol, **query
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise VenueUnavailable(instrument.venue, f"recorder: {type(error).__name__}") from error
        return msgspec.json.decode(body, type=shape)


def with_recorder(adapter: VenueAdapter, emulator: Emulator) -> VenueAdapter:
    """The adapter with what the recorder adds: liquidations where a venue publishes them, open interest where
    it keeps none."""
    interest = not adapter.offer.open_interest_history
    feed = LIQUIDATIONS.get(adapter.venue)
    make = adapter.rest_client

    def rest_client(**options: Any) -> RestClient:
        recorded = RecordedRest(make(**options), emulator, interest=interest)
        return cast("RestClient", recorded)

    offer = replace(
        adapter.offer,
        open_interest_history=True,
        liquidation_history=feed is not None and feed.is_published,
    )
    return replace(adapter, rest_client=cast("RestClientFactory", rest_client), offer=offer)


def origin_of(rest: RestClient, series: str) -> str:
    """What rows of a series from this client are marked with."""
    recorded: frozenset[str] = getattr(rest, "recorded_series", frozenset())
    return Origin.RECORDED.value if series in recorded else Origin.VENUE.value


def liquidation_rows(row_id: int, events: Sequence[Liquidation]) -> Columns[LiquidationRow]:
    """Recorded sums, known at their end."""
    found = Columns.of(Liquidation, events)
    ts = found.array("ts_event", np.int64) // _NS_PER_MS
    amounts = {name: found.column(name) for name in ("price", "qty_base", "notional_usd")}
    return Columns(
        LiquidationRow,
        len(found),
        {
            "instrument_id": row_id,
            "ts": ts,
            "event_id": found.column("event_id"),
            "known_at": ts,
            "side": found.column("position_side"),
            **amounts,
            "quality": found.column("quality"),
            "origin": Origin.RECORDED.value,
        },
    )
