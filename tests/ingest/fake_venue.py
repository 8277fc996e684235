"""A venue without a network: the test says what its streams and its REST tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    Event,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueAdapter
from apps.venues.binance.adapter import ADAPTER
from apps.venues.errors import VenueError
from apps.venues.parsing import ParserStats
from apps.venues.stream_client import StreamSpec, StreamState, StreamStatus
from tests.marketdata.samples import instrument

NS = 1_000_000
PERP = instrument()
SPOT = instrument(kind=InstrumentKind.SPOT)
SPECS = (
    StreamSpec("market", "btcusdt@aggTrade", "BTC", "trade", 60.0, "BTCUSDT"),
    StreamSpec("spot", "btcusdt@aggTrade", "BTC", "trade", 60.0, "BTCUSDT"),
)


class FakeVenue:
    """Both faces. ``requests`` are the REST calls, in order; ``fails`` makes them raise."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.listed = [PERP, SPOT]
        self.requests: list[tuple[Any, ...]] = []
        self.fails: VenueError | None = None
        self.streaming = asyncio.Event()
        self.books: dict[str, BookSynchroniser] = {}
        self.stats = ParserStats("binance")
        self._stopped = asyncio.Event()

    @property
    def adapter(self) -> VenueAdapter:
        return replace(
            ADAPTER,
            stream_plan=lambda _instruments: list(SPECS),
            stream_client=self._connect,
            rest_client=lambda **_options: self,
        )

    # --- streams ---------------------------------------------------------------------------------------

    def _connect(
        self,
        *,
        on_event: Callable[[Event], None],
        on_state: Callable[[StreamState], None],
        **_rest: object,
    ) -> FakeVenue:
        self.tell: Callable[[Event], None] = on_event
        self._on_state = on_state
        return self

    async def run(self) -> None:
        for spec in SPECS:
            self.status(spec, StreamStatus.LIVE)
        self.streaming.set()
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()

    def status(self, spec: StreamSpec, status: StreamStatus) -> None:
        self._on_state(
            StreamState(
                "binance", spec.connection, spec.channel, spec.asset, spec.kind, status, "test",
                self.now_ms() * NS,
            )
        )  # fmt: skip

    def trade(self, one: Instrument, ts_ms: int, price: float, qty: float = 1.0) -> None:
        self.tell(Trade(one, ts_ms * NS, ts_ms * NS, price, qty, Side.BUY, str(ts_ms)))

    # --- REST ------------------------------------------------------------------------------------------

    def _asked(self, *request: Any) -> None:
        self.requests.append(request)
        if self.fails is not None:
            raise self.fails

    async def instruments(self) -> list[Instrument]:
        self._asked("instruments")
        return self.listed

    async def funding_intervals(self) -> dict[str, float]:
        return {"BTCUSDT": 4.0}

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        self._asked("funding", instrument.key, start_ms, end_ms)
        step = 4 * 3_600_000
        first = start_ms + (-start_ms) % step
        return [
            FundingRate(
                instrument,
                ts * NS,
                ts * NS,
                FundingKind.SETTLED,
                0.0001,
                "0.00010000",
                None,
                ts * NS,
            )
            for ts in range(first, end_ms, step)
        ]

    async def open_interest(self, instrument: Instrument) -> OpenInterest:
        now = self.now_ms() * NS
        return OpenInterest(instrument, now, now, 5.0, 5.0, None)

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        self._asked("open_interest_history", instrument.key, start_ms, end_ms)
        return []

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        self._asked("candles", instrument.key, interval_s, start_ms, end_ms)
        newest = range(end_ms - interval_s * 1000, start_ms - 1, -interval_s * 1000)[:3]
        return [
            Candle(
                instrument, ts * NS, ts * NS, interval_s, ts * NS,
                10.0, 12.0, 9.0, 11.0, 4.0, 44.0, 1.0, 11.0, 6, True,
            )
            for ts in newest
        ]  # fmt: skip

    async def positioning(self, *_args: object) -> list[PositioningRatio]:
        return []

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot:
        raise NotImplementedError

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        now = self.now_ms() * NS
        coming = now + 3_600_000 * NS
        rate = FundingRate(PERP, now, now, FundingKind.PREDICTED, 2e-4, "0.0002", None, coming)
        return [MarkPrice(PERP, now, now, 100.0, 99.0), rate]

    async def close(self) -> None:
        return None


def requests_of(requests: Iterable[tuple[Any, ...]], kind: str) -> list[tuple[Any, ...]]:
    return [one for one in requests if one[0] == kind]
