"""The emulator's own recordings: what no venue serves as history."""

from __future__ import annotations

import time

import numpy as np
import pytest

from apps.sandbox.faces.deribit.listings import listings as deribit
from apps.sandbox.faces.hyperliquid.listings import hyperliquid_listings
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket
from apps.sandbox.recorder import BadRecording, Recorder
from tests.sandbox.conftest import Starter

NOW_MS = 1_795_248_123_456
MINUTE = NOW_MS // 60_000
LISTINGS = (*deribit(("BTC", "SOL")), *hyperliquid_listings(("BTC", "PEPE")))


class Summed(SeededMarket):
    """Liquidates one lot of longs in every minute, two of shorts in every fifth."""

    def forced(self, listing: Listing, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        minutes = np.arange(first, last + 1)
        return np.ones(len(minutes), dtype=np.int64), 2 * (minutes % 5 == 0).astype(np.int64)


def recorder(kind: type[SeededMarket] = SeededMarket) -> Recorder:
    return Recorder(kind(7, LISTINGS), LISTINGS, lambda: NOW_MS)


def query(venue: str, symbol: str, back_ms: int, **more: int) -> dict[str, str]:
    asked = {"start_ms": NOW_MS - back_ms, "end_ms": NOW_MS, **more}
    return {"venue": venue, "symbol": symbol, **{name: str(one) for name, one in asked.items()}}


def listing(venue: str, asset: str) -> Listing:
    return next(one for one in LISTINGS if (one.venue, one.asset) == (venue, asset))


def test_open_interest_is_what_the_market_had() -> None:
    one = listing("hyperliquid", "PEPE")
    rows = recorder().read(
        "open_interest", query("hyperliquid", "kPEPE", 30 * 86_400_000, step_s=300)
    )
    times = np.array(rows["ts_ms"])
    assert len(times) == 8_640
    assert (np.diff(times) == 300_000).all()
    assert times[0] >= NOW_MS - 30 * 86_400_000
    assert times[-1] <= NOW_MS
    lots = SeededMarket(7, LISTINGS).open_interest(one, times)
    assert rows["contracts"] == pytest.approx((lots * one.lot).tolist())
    assert rows["base"] == pytest.approx((lots * one.lot * 1_000).tolist())
    price = np.array(rows["usd"]) / np.array(rows["base"])
    # Of the coin, not of the thousand that the venue quotes.
    assert 1e-7 < price.min() < price.max() < 1e-3


def test_inverse_open_interest_is_whole_contracts_of_ten_dollars() -> None:
    rows = recorder().read(
        "open_interest", query("deribit", "BTC-PERPETUAL", 86_400_000, step_s=3600)
    )
    assert len(rows["ts_ms"]) == 24
    contracts = np.array(rows["contracts"])
    assert (contracts == np.round(contracts)).all()
    assert rows["usd"] == pytest.approx((10 * contracts).tolist(), rel=1e-9)
    price = np.array(rows["usd"]) / np.array(rows["base"])
    assert 20_000 < price.min() < price.max() < 300_000


def test_liquidations_are_sums_of_hours_and_of_the_last_day_s_five_minutes() -> None:
    rows = recorder(Summed).read("liquidations", query("deribit", "BTC-PERPETUAL", 10 * 86_400_000))
    span, side = np.array(rows["span_s"]), np.array(rows["side"])
    times, base = np.array(rows["ts_ms"]), np.array(rows["base"])
    lot = listing("deribit", "BTC").lot
    hours, minutes = span == 3600, span == 300
    assert set(span.tolist()) == {60, 300, 3600}
    assert (span == 60).sum() < 10
    assert base[hours & (side == "long")] == pytest.approx(60 * lot)
    assert base[hours & (side == "short")] == pytest.approx(24 * lot)
    assert base[minutes & (side == "long")] == pytest.approx(5 * lot)
    assert base[minutes & (side == "short")] == pytest.approx(2 * lot)
    assert times[hours].max() < times[minutes].min() <= NOW_MS - 86_400_000 + 300_000
    assert times.max() == MINUTE * 60_000 - 1
    # Nothing counts twice, nothing is missing between the two.
    longs = base[side == "long"].sum() / lot
    begin = (NOW_MS - 10 * 86_400_000) // 3_600_000 + 1
    assert longs == pytest.approx(MINUTE - begin * 60)
    assert rows["usd"] == pytest.approx((base * np.array(rows["price"])).tolist(), abs=0.006)


def test_a_market_without_sums_is_asked_for_the_last_hours() -> None:
    own = SeededMarket(7, LISTINGS)
    one = listing("deribit", "BTC")
    rows = recorder().read("liquidations", query("deribit", "BTC-PERPETUAL", 3_600_000))
    lots = {"long": 0, "short": 0}
    for minute in range(-(-(NOW_MS - 3_600_000) // 60_000), MINUTE):
        for order in own.liquidations(one, minute):
            lots["short" if order.is_buy else "long"] += order.lots
    for side, expected in lots.items():
        told = sum(b for b, s in zip(rows["base"], rows["side"], strict=True) if s == side)
        assert told == pytest.approx(expected * one.lot)


@pytest.mark.parametrize(
    ("series", "changes"),
    [
        ("nothing", {}),
        ("open_interest", {"symbol": "NOPE"}),
        ("open_interest", {"step_s": "1"}),
        ("liquidations", {"start_ms": "x"}),
        ("liquidations", {"end_ms": ""}),
    ],
)
def test_refusals(series: str, changes: dict[str, str]) -> None:
    asked = query("deribit", "BTC-PERPETUAL", 3_600_000, step_s=300)
    with pytest.raises(BadRecording):
        recorder().read(series, asked | changes)


async def test_the_control_face_serves_them(start: Starter) -> None:
    client = await start()
    now = time.time_ns() // 1_000_000
    rows = await client.get(
        "control", "/recorded/open_interest",
        venue="hyperliquid", symbol="BTC", start_ms=now - 3_600_000, end_ms=now, step_s=300,
    )  # fmt: skip
    assert len(rows["ts_ms"]) == 12
    url = client.url("control", "/recorded/liquidations")
    async with client.http.get(url, params={"venue": "deribit"}) as response:
        assert response.status == 400
        assert "venue, symbol" in (await response.json())["error"]


def test_sums_are_those_of_the_forced_orders() -> None:
    market = SeededMarket(7, LISTINGS)
    for one in LISTINGS:
        longs, shorts = market.forced(one, MINUTE - 1_500, MINUTE)
        assert longs.sum() + shorts.sum() > 0, one.name
        busy = np.flatnonzero(longs + shorts)[:40]
        for at in busy.tolist():
            orders = market.liquidations(one, MINUTE - 1_500 + at)
            assert sum(x.lots for x in orders if not x.is_buy) == longs[at]
            assert sum(x.lots for x in orders if x.is_buy) == shorts[at]
        quiet = np.flatnonzero(longs + shorts == 0)[:20]
        assert not any(market.liquidations(one, MINUTE - 1_500 + at) for at in quiet.tolist())
