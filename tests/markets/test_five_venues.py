"""Answers over five venues: one that goes bends no percentile, one without taker history hides no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from apps.core.redis import sync_redis
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.services import instruments_sync
from apps.marketdata.universe import VENUES
from apps.marketdata.writers import rows_write
from apps.markets.engines.order_statistics import midrank_percentile
from apps.markets.engines.quality import typical_share
from apps.markets.snapshots import build_funding, build_volume_flow
from tests.markets.world import HOUR, LAST_SETTLEMENT, NOW_MS, Market, bar, funding_row, perp

pytestmark = pytest.mark.django_db(databases=["default", "market"])
MINUTE = 60_000
INTERVALS_H = {"binance": 8.0, "bybit": 4.0, "okx": 2.0, "deribit": 8.0, "hyperliquid": 1.0}
"""Rates per interval that are all 0.0001 per 8 h."""
OI_USD = {"binance": 5e9, "bybit": 2e9, "okx": 2e9, "deribit": 5e8, "hyperliquid": 5e8}


@pytest.fixture
def five(market: Market) -> dict[str, int]:
    """SOL on five venues, each with 30 days of its own settlements; row ids by venue."""
    ids = {}
    for place, venue in enumerate(VENUES):
        hours = INTERVALS_H[venue]
        listed = replace(perp(venue, "SOL"), funding_interval_h=hours)
        now = datetime.fromtimestamp((NOW_MS - 40 * 24 * HOUR) / 1000, tz=UTC)
        synced = instruments_sync(venue=venue, listed=[listed], assets={"SOL"}, now=now)
        ids[venue] = synced.ids[listed.key]
        rows = []
        for number in range(int(30 * 24 / hours)):
            ts = LAST_SETTLEMENT - int(number * hours * HOUR)
            rate = (place + 1) * 1e-5 * (1 + (ts // (8 * HOUR)) % 7) * hours / 8
            rows.append(funding_row(ids[venue], ts, rate)._replace(interval_h=hours))
        rows_write(rows)
    return ids


def state(venue: str, age_ms: int = 1000) -> LiveState:
    made = LiveState.of(perp(venue, "SOL"))
    made.funding_rate = 1e-4 * INTERVALS_H[venue] / 8 * (2.0 if venue == "binance" else 1.0)
    made.funding_rate_raw, made.funding_interval_h = str(made.funding_rate), INTERVALS_H[venue]
    made.funding_ts_ms = made.ts_recv_ms = NOW_MS - age_ms
    made.next_funding_ms, made.oi_usd = LAST_SETTLEMENT + 8 * HOUR, OI_USD[venue]
    return made


def tell(down: str | None = None) -> None:
    sources = [
        SourceStatus(venue=v, status="down" if v == down else "ok", last_ok_ms=NOW_MS - 500)
        for v in VENUES
    ]
    write_live(sync_redis(), [state(venue) for venue in VENUES], sources)


def funding() -> Any:
    (found,) = build_funding(["SOL"])
    return found


def test_five_numbers_weighted_by_open_interest(five: dict[str, int]) -> None:
    tell()
    found = funding()
    assert found["venues"] == {
        "binance": 0.02, "bybit": 0.01, "okx": 0.01, "deribit": 0.01, "hyperliquid": 0.01,
    }  # fmt: skip
    aggregate = found["aggregate"]
    assert aggregate["value"] == 0.015
    assert (aggregate["coverage"], aggregate["confidence"]) == (1.0, "full")
    assert [one["status"] for one in found["meta"]["sources"]] == ["ok"] * 5
    assert found["meta"]["partial"] is False
    # Settlements are hourly on Hyperliquid and eight-hourly on Binance.
    counts = {v: d["settled"]["settlements_30d"] for v, d in found["venues_detail"].items()}
    assert counts["hyperliquid"] >= 700
    assert counts["binance"] == 90


@pytest.mark.parametrize("gone", VENUES)
def test_pulling_one_venue_bends_no_percentile(five: dict[str, int], gone: str) -> None:
    tell()
    whole = funding()
    tell(down=gone)
    found = funding()
    assert found["meta"]["partial"] is True
    assert found["aggregate"]["venues_missing"] == [gone]
    assert list(found["venues"]) == [venue for venue in VENUES if venue != gone]
    share = OI_USD[gone] / sum(OI_USD.values())
    assert found["aggregate"]["coverage"] == pytest.approx(1 - share)
    assert found["aggregate"]["confidence"] == (
        "full" if share <= 0.05 else "degraded" if share > 0.4 else "partial"
    )
    for venue in VENUES:
        before, now = whole["venues_detail"][venue], found["venues_detail"][venue]
        if venue == gone:
            assert (now["value"], now["null_reason"]) == (None, "venue_down")
        else:
            assert now["percentile_30d"] == before["percentile_30d"]
            assert now["z_score"] == before["z_score"]
    # The aggregate of the four is ranked in the past of the same four.
    left = [place for place, venue in enumerate(VENUES) if venue != gone]
    weight = np.array([OI_USD[VENUES[place]] for place in left])
    factor = float((weight * (np.array(left) + 1)).sum() / weight.sum())
    past = np.array([factor * 1e-3 * (1 + step % 7) for step in range(7)])
    value = found["aggregate"]["value"]
    rank = float(midrank_percentile(np.array([value]), past[None, :])[0])
    assert found["aggregate"]["percentile_30d"] == pytest.approx(rank, abs=0.06)
    assert found["aggregate"]["samples"] >= 700


def test_a_venue_without_past_weighs_what_it_weighs_today() -> None:
    window = np.full((2, 720), np.nan)
    window[0, -168:] = 4e9
    weight = typical_share(window[:, -168:], np.array([9e9, 1e9]))
    assert weight.tolist() == [0.8, 0.2]


def test_a_share_is_taken_slot_by_slot() -> None:
    window = np.full((2, 168), 1.0)
    # Open interest of both doubles for half of the time: the shares stay.
    window[:, :84] = 2.0
    window[1] *= 3
    assert typical_share(window, np.array([np.nan, np.nan])).tolist() == [0.25, 0.75]


def _flow(ids: dict[str, int], key: str, taker: bool, days: int = 20) -> None:
    end = NOW_MS // 300_000 * 300_000
    old = [
        bar(ids[key], end - n * 300_000, 300, 2.0, 1.0 + n / (days * 288))
        for n in range(1, days * 288 + 1)
    ]
    last = NOW_MS - NOW_MS % MINUTE
    # Of the last 24 hours this process saw the last 70 minutes.
    new = [bar(ids[key], last - n * MINUTE, 60, 1000, 600) for n in range(1, 71)]
    past = [bar(ids[key], last - n * MINUTE, 60, 1000, 500) for n in range(71, 1500)]
    if not taker:
        old = [row._replace(buy_usd=None, buy_base=None) for row in old]
        past = [row._replace(buy_usd=None, buy_base=None) for row in past]
    rows_write([*old, *new, *past])


def test_a_venue_without_past_taker_sides_hides_no_other(five: dict[str, int]) -> None:
    _flow(five, "binance", taker=True)
    _flow(five, "bybit", taker=False)
    tell()
    (found,) = build_volume_flow(["SOL"])
    aggregate = found["aggregate"]
    # Both hours are in the value; the percentile compares Binance's hour with Binance's past.
    assert aggregate["value"] == 24_000.0
    assert aggregate["venues_ranked"] == ["binance"]
    assert set(aggregate["venues_used"]) == {"binance", "bybit"}
    alone = found["venues_detail"]["binance"]
    assert aggregate["percentile_30d"] == alone["percentile_30d"] is not None
    assert aggregate["samples"] == alone["samples"]
    # A day of Bybit: volume, but never an invented taker side.
    day = found["venues_detail"]["bybit"]["windows"]["24h"]
    assert day["volume_usd"] == 1_440_000.0
    assert (day["buy_usd"], day["delta_usd"], day["taker_buy_ratio"]) == (None, None, None)
    assert day["null_reason"] == "insufficient_history"
    assert found["windows"]["24h"]["venues"] == ["binance"]
    assert found["windows"]["24h"]["volume_usd"] == 1_440_000.0
    assert found["windows"]["1h"]["venues"] == ["binance", "bybit"]
    assert found["windows"]["1h"]["volume_usd"] == 120_000.0


def test_a_polled_venue_joins_with_its_own_cadence(
    five: dict[str, int], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CCXT_VENUES = {"bitget": 120.0}
    listed = replace(perp("bitget", "SOL"), funding_interval_h=8.0)
    now = datetime.fromtimestamp(NOW_MS / 1000, tz=UTC)
    instruments_sync(venue="bitget", listed=[listed], assets={"SOL"}, now=now)
    tell()
    monkeypatch.setitem(INTERVALS_H, "bitget", 8.0)
    monkeypatch.setitem(OI_USD, "bitget", 1e9)
    # Three minutes old: within twice its own cadence.
    late = state("bitget", age_ms=180_000)
    write_live(sync_redis(), [late], [SourceStatus(venue="bitget", status="ok", last_ok_ms=NOW_MS)])
    found = funding()
    assert found["venues"]["bitget"] == 0.01
    assert found["aggregate"]["coverage"] == 1.0
    source = found["meta"]["sources"][-1]
    assert (source["venue"], source["status"], source["cadence_seconds"]) == ("bitget", "ok", 120)
    assert "cadence_seconds" not in found["meta"]["sources"][0]
    # It has no trades here, so nobody misses it in the flow.
    (flow,) = build_volume_flow(["SOL"])
    assert "bitget" not in {one["venue"] for one in flow["meta"]["sources"]}


def test_a_short_window_does_not_wait_for_the_hour(five: dict[str, int]) -> None:
    _flow(five, "binance", taker=True)
    last = NOW_MS - NOW_MS % MINUTE
    rows = [bar(five["okx"], last - n * MINUTE, 60, 1000, 600) for n in range(1, 8)]
    past = [bar(five["okx"], last - n * MINUTE, 60, 1000, 500) for n in range(8, 100)]
    rows_write([*rows, *(row._replace(buy_usd=None, buy_base=None) for row in past)])
    tell()
    (found,) = build_volume_flow(["SOL"])
    assert found["aggregate"]["venues_used"] == ["binance"]
    assert found["windows"]["5m"]["venues"] == ["binance", "okx"]
    assert found["windows"]["5m"]["delta_usd"] == 2_000.0
    assert found["windows"]["1h"]["venues"] == ["binance"]
