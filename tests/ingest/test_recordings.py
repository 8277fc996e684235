"""Histories from the emulator's recorder: what is offered, and how rows are marked."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from apps.ingest.emulator import Emulator
from apps.ingest.recordings import RecordedRest, liquidation_rows, with_recorder
from apps.ingest.series import PHASES, SERIES, Ask, Series
from apps.marketdata.events import OpenInterest, PositionSide, Quality
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import LiquidationRow, OpenInterestRow
from apps.venues.registry import ADAPTERS
from apps.venues.rest_client import RestClient

T0 = 1_795_248_000_000
PERP = Instrument(
    venue="deribit",
    symbol="BTC-PERPETUAL",
    asset="BTC",
    kind=InstrumentKind.PERP,
    quote="USD",
    contract_size=10.0,
    is_inverse=True,
    tick_size=0.5,
    lot_size=10.0,
)


class FakeEmulator:
    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def recorded(self, series: str, **query: Any) -> bytes:
        self.asked.append((series, query))
        if series == "open_interest":
            columns: dict[str, Any] = {
                "ts_ms": [T0], "contracts": [7.0], "base": [0.001], "usd": [70.0],
            }  # fmt: skip
        else:
            columns = {
                "ts_ms": [T0 - 1, T0 - 1], "span_s": [3600, 60], "side": ["long", "short"],
                "price": [70_000.0, 70_000.0], "base": [0.5, 0.1], "usd": [35_000.0, 7_000.0],
            }  # fmt: skip
        return msgspec.json.encode(columns)


class FakeRest:
    def __init__(self) -> None:
        self.closed = False

    async def open_interest_history(self, *_: Any) -> list[OpenInterest]:
        return [OpenInterest(PERP, T0 * 10**6, T0 * 10**6, 1.0, 2.0, 3.0)]

    async def close(self) -> None:
        self.closed = True


def recorded(*, interest: bool) -> tuple[RecordedRest, FakeEmulator, FakeRest]:
    emulator, rest = FakeEmulator(), FakeRest()
    made = RecordedRest(cast("RestClient", rest), cast("Emulator", emulator), interest=interest)
    return made, emulator, rest


def ask(interval_s: int = 300) -> Ask:
    return Ask(PERP, 4, interval_s, T0 - 3_600_000, T0 + 1)


def test_each_venue_offers_what_it_has_not_itself() -> None:
    emulator = cast("Emulator", FakeEmulator())
    published = {"binance", "bybit", "okx", "deribit"}
    for name, adapter in ADAPTERS.items():
        offer = with_recorder(adapter, emulator).offer
        assert offer.open_interest_history
        assert offer.liquidation_history == (name in published)
        assert not adapter.offer.liquidation_history
    live = [ADAPTERS[name].offer.open_interest_history for name in ("deribit", "hyperliquid")]
    assert live == [False, False]


def test_liquidations_are_asked_for_only_where_there_is_a_recorder() -> None:
    plain = ADAPTERS["deribit"].offer
    offer = with_recorder(ADAPTERS["deribit"], cast("Emulator", FakeEmulator())).offer
    ladder = SERIES[Series.LIQUIDATION].ladder
    assert list(ladder(PERP, plain, 366)) == []
    (step,) = ladder(PERP, offer, 366)
    assert (step.interval_s, step.days) == (60, 30)
    assert step.phase in PHASES


async def test_rows_are_marked_recorded() -> None:
    made, emulator, rest = recorded(interest=True)
    client = cast("RestClient", made)
    (sample,) = await SERIES[Series.OPEN_INTEREST].fetch(client, ask())
    assert sample == OpenInterestRow(4, T0, T0, 7.0, 0.001, 70.0, "recorded")
    first, second = await SERIES[Series.LIQUIDATION].fetch(client, ask(60))
    assert first == LiquidationRow(
        4, T0 - 1, f"recorded:3600:{T0 - 1}:long", T0 - 1, "long", 70_000.0, 0.5, 35_000.0,
        "full", "recorded",
    )  # fmt: skip
    assert isinstance(second, LiquidationRow)
    assert second.side == "short"
    names = {"venue": "deribit", "symbol": "BTC-PERPETUAL"}
    span = {"start_ms": T0 - 3_600_000, "end_ms": T0 + 1}
    assert emulator.asked == [
        ("open_interest", names | span | {"step_s": 300}),
        ("liquidations", names | span),
    ]
    # Whatever else is asked goes to the venue.
    await client.close()
    assert rest.closed


async def test_a_venue_s_own_history_stays_its_own() -> None:
    made, emulator, _ = recorded(interest=False)
    (sample,) = await SERIES[Series.OPEN_INTEREST].fetch(cast("RestClient", made), ask())
    assert isinstance(sample, OpenInterestRow)
    assert (sample.oi_contracts, sample.origin) == (1.0, "venue")
    assert emulator.asked == []


async def test_live_clients_have_no_past_liquidations() -> None:
    with pytest.raises(TypeError):
        await SERIES[Series.LIQUIDATION].fetch(cast("RestClient", FakeRest()), ask(60))
    assert liquidation_rows(4, []) == []


async def test_quality_is_the_venue_s() -> None:
    made, _, _ = recorded(interest=False)
    other = msgspec.structs.replace(PERP, venue="binance", symbol="BTCUSDT")
    long, short = await made.liquidation_history(other, T0 - 1, T0)
    assert {long.quality, short.quality} == {Quality.SAMPLED}
    assert (long.position_side, short.position_side) == (PositionSide.LONG, PositionSide.SHORT)
