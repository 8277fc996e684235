"""Aggregates of all 65 assets against plain loops over the stored rows of the venues."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from apps.core.clock import market_clock
from apps.marketdata.universe import ASSETS
from apps.markets.engines.funding import rate_per_8h
from apps.markets.engines.quality import confidence_word, coverage
from apps.markets.history_ohlcv import INTERVALS, KINDS, ohlcv_page
from apps.markets.queries import HistoryQuery, read_query
from apps.markets.snapshots import build_funding, build_open_interest, build_volume_flow
from tests.markets.wide import HOUR, MINUTE, NOW_MS, Listed, at, make_wide, stored

pytestmark = pytest.mark.django_db(databases=["default", "market"])
ONE = pytest.approx


def close(expected: float) -> Any:
    return pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.fixture
def wide(db: None, clean_redis: Any) -> list[Listed]:
    market_clock.freeze(NOW_MS * 1_000_000)
    return make_wide()


def test_funding_of_every_asset(wide: list[Listed]) -> None:
    found = {one["asset"]: one for one in build_funding(ASSETS, NOW_MS)}
    assert list(found) == list(ASSETS)
    for asset in ASSETS:
        rates, weights = {}, {}
        for one in (one for one in wide if one.asset == asset):
            ((rate, hours),) = stored(
                "SELECT rate, interval_h FROM funding_rate WHERE instrument_id = %s "
                "AND kind = 'predicted' ORDER BY ts DESC LIMIT 1",
                one.row_id,
            )
            rates[one.venue] = rate * 8 / hours
            weights[one.venue] = last_interest(one, NOW_MS)[0]
        expected = sum(rates[v] * weights[v] for v in rates) / sum(weights.values())
        aggregate = found[asset]["aggregate"]
        assert aggregate["rate_8h"] == close(expected)
        assert aggregate["value"] == close(expected * 100)
        assert aggregate["apr"] == close(expected * 1095)
        assert set(aggregate["venues_used"]) == set(rates)
        assert aggregate["weighting"] == ("none" if len(rates) == 1 else "open_interest")
        for venue, rate in rates.items():
            assert found[asset]["venues"][venue] == close(rate * 100)


def last_interest(one: Listed, until_ms: int) -> tuple[float, float]:
    """USD and coins."""
    ((usd, base),) = stored(
        "SELECT oi_usd, oi_base FROM open_interest WHERE instrument_id = %s AND ts <= %s "
        "ORDER BY ts DESC LIMIT 1",
        one.row_id,
        at(until_ms),
    )
    return usd, base


def test_open_interest_of_every_asset(wide: list[Listed]) -> None:
    found = {one["asset"]: one for one in build_open_interest(ASSETS, NOW_MS)}
    assert list(found) == list(ASSETS)
    for asset in ASSETS:
        mine = [one for one in wide if one.asset == asset]
        now = {one.venue: last_interest(one, NOW_MS) for one in mine}
        aggregate = found[asset]["aggregate"]
        total = sum(usd for usd, _ in now.values())
        assert aggregate["value"] == ONE(total, abs=0.011)
        assert aggregate["oi_base"] == ONE(sum(base for _, base in now.values()), rel=1e-6)
        day = {one.venue: last_interest(one, NOW_MS - 24 * HOUR) for one in mine}
        change = total - sum(usd for usd, _ in day.values())
        assert aggregate["changes"]["24h"]["change_usd"] == ONE(change, abs=0.011 * len(mine))
        for venue, (usd, _) in now.items():
            assert found[asset]["venues"][venue] == ONE(usd, abs=0.011)
            share = found[asset]["venues_detail"][venue]["share"]
            assert share == ONE(usd / total, abs=1e-6)


def test_taker_flow_of_every_asset(wide: list[Listed]) -> None:
    found = {one["asset"]: one for one in build_volume_flow(ASSETS, NOW_MS)}
    assert list(found) == list(ASSETS)
    end = NOW_MS // MINUTE * MINUTE
    for asset in ASSETS:
        mine = [one for one in wide if one.asset == asset]
        for name, minutes in (("5m", 5), ("15m", 15), ("1h", 60)):
            buy = sell = volume = 0.0
            for one in mine:
                for bought, traded in stored(
                    "SELECT buy_usd, volume_usd FROM bar WHERE instrument_id = %s "
                    "AND interval_s = 60 AND ts >= %s AND ts < %s AND known_at <= %s ORDER BY ts",
                    one.row_id, at(end - minutes * MINUTE), at(end), at(NOW_MS),
                ):  # fmt: skip
                    buy, sell, volume = buy + bought, sell + traded - bought, volume + traded
            window = found[asset]["windows"][name]
            cents = 0.011 * len(mine)
            assert window["volume_usd"] == ONE(volume, abs=cents)
            assert window["buy_usd"] == ONE(buy, abs=cents)
            assert window["delta_usd"] == ONE(buy - sell, abs=2 * cents)
            assert window["taker_buy_ratio"] == ONE(buy / volume, abs=1e-4)


def question(asset: str, interval: str) -> HistoryQuery:
    query = read_query(
        f"asset={asset}&from={NOW_MS - 2 * HOUR}&interval={interval}",
        "",
        metric="markets.ohlcv",
        intervals=INTERVALS,
        now_ms=NOW_MS,
        kinds=KINDS,
    )
    assert isinstance(query, HistoryQuery)
    return query


def test_candles_of_every_asset(wide: list[Listed]) -> None:
    step = 5 * MINUTE
    for asset in ASSETS:
        rows = {row["ts"]: row for row in ohlcv_page(question(asset, "5m"), NOW_MS).rows()}
        expected: dict[Any, dict[str, list[tuple[Any, ...]]]] = {}
        for one in (one for one in wide if one.asset == asset):
            for bar in stored(
                "SELECT ts, open, high, low, close, volume_usd, trades FROM bar "
                "WHERE instrument_id = %s AND interval_s = 60 ORDER BY ts",
                one.row_id,
            ):
                slot = int(bar[0].timestamp() * 1000) // step * step
                key = at(slot).strftime("%Y-%m-%dT%H:%M:%SZ")
                expected.setdefault(key, {}).setdefault(one.venue, []).append(bar)
        assert sorted(rows) == sorted(expected)
        for key, venues in expected.items():
            volume = dict.fromkeys(venues, 0.0)
            for venue, bars in venues.items():
                candle = rows[key]["venues_detail"][venue]
                volume[venue] = math.fsum(bar[5] for bar in bars)
                assert candle["open"] == ONE(bars[0][1], rel=1e-11)
                assert candle["high"] == ONE(max(bar[2] for bar in bars), rel=1e-11)
                assert candle["low"] == ONE(min(bar[3] for bar in bars), rel=1e-11)
                assert candle["close"] == ONE(bars[-1][4], rel=1e-11)
                assert candle["volume_usd"] == ONE(volume[venue], abs=0.011)
                assert candle["trades"] == sum(bar[6] for bar in bars)
            mean = math.fsum(v[-1][4] * volume[name] for name, v in venues.items())
            total = rows[key]["aggregate"]
            assert total["close"] == ONE(mean / sum(volume.values()), rel=1e-9)
            assert total["volume_usd"] == ONE(sum(volume.values()), abs=0.011 * len(venues))


def test_equal_annual_rates_are_equal_whatever_the_interval() -> None:
    """8.76 % a year: 0.001 % an hour, paid hourly, every four hours or every eight."""
    hours = np.array([1.0, 2.0, 4.0, 8.0])
    found = rate_per_8h(0.0876 * hours / 8760, hours)
    assert found == pytest.approx([8e-5] * 4, rel=1e-15)


def test_confidence_of_methods() -> None:
    """A confidence of .74 of which 20 % of the weight is missing is .592: partial, not full."""
    covered = coverage(np.array([3.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    assert 0.74 * float(covered) == pytest.approx(0.592)
    assert [confidence_word(share) for share in (1.0, 0.95, 0.8, 0.6, 0.59, 0.3, 0.29)] == [
        *("full", "full", "partial", "partial"),
        *("degraded", "degraded", "withheld"),
    ]
