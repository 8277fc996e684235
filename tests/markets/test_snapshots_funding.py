"""Funding answers from live state and from the past: weights, absences, causality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apps.core.redis import sync_redis
from apps.marketdata.live import LiveState, SourceStatus, write_live
from apps.marketdata.writers import rows_write
from apps.markets import snapshots
from apps.markets.engines.order_statistics import midrank_percentile
from apps.markets.refresh_funding_payload import funding_payload
from apps.markets.snapshots import build_funding, refresh_funding
from tests.markets.world import HOUR, LAST_SETTLEMENT, NOW_MS, Market, funding_row, perp, rate_at

pytestmark = pytest.mark.django_db(databases=["default", "market"])


def live(venue: str, asset: str = "BTC", age_ms: int = 1000, **changes: Any) -> LiveState:
    state = LiveState.of(perp(venue, asset))
    state.funding_ts_ms = state.ts_recv_ms = NOW_MS - age_ms
    state.funding_rate_raw = str(changes.get("funding_rate"))
    state.next_funding_ms = LAST_SETTLEMENT + 8 * HOUR
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def ok(*venues: str, status: str = "ok") -> list[SourceStatus]:
    return [SourceStatus(venue=venue, status=status, last_ok_ms=NOW_MS - 500) for venue in venues]


def answer(
    states: list[LiveState], sources: list[SourceStatus], asset: str = "BTC"
) -> dict[str, Any]:
    write_live(sync_redis(), states, sources)
    return build_funding([asset])[0]


def test_venues_are_weighted_by_open_interest(market: Market) -> None:
    found = answer(
        [
            live("binance", funding_rate=0.0001, oi_usd=3e9),
            live("bybit", funding_rate=0.0001, funding_interval_h=4.0, oi_usd=1e9),
        ],
        ok("binance", "bybit"),
    )
    assert found["venues"] == {"binance": 0.01, "bybit": 0.02}
    aggregate = found["aggregate"]
    assert (aggregate["value"], aggregate["unit"]) == (0.0125, "percent_per_8h")
    assert (aggregate["rate_8h"], aggregate["rate_1h"]) == (0.000125, 0.000015625)
    assert aggregate["apr"] == 0.136875
    assert (aggregate["weighting"], aggregate["oi_usd"]) == ("open_interest", 4e9)
    assert aggregate["state"] == "baseline"
    detail = found["venues_detail"]["bybit"]
    assert (detail["rate"], detail["interval_h"], detail["rate_8h"]) == (0.0001, 4.0, 0.0002)
    assert (detail["weight"], detail["rate_raw"], detail["symbol"]) == (0.25, "0.0001", "BTCUSDT")
    assert found["meta"]["partial"] is False


def test_the_prediction_is_ranked_in_the_settled_rates(market: Market) -> None:
    found = answer([live("binance", funding_rate=0.00011, oi_usd=3e9)], ok("binance"))
    detail = found["venues_detail"]["binance"]
    # Each settlement holds for eight hours of the hourly grid; the one after the last hour is not in.
    hours = np.arange(NOW_MS // HOUR * HOUR - 720 * HOUR, NOW_MS // HOUR * HOUR, HOUR) + HOUR - 1
    numbers = (LAST_SETTLEMENT - hours // (8 * HOUR) * 8 * HOUR) // (8 * HOUR)
    window = np.array([rate_at(int(n)) if n < 90 else np.nan for n in numbers])
    expected = midrank_percentile(np.array([0.00011]), window[None, :])[0]
    assert detail["percentile_30d"] == round(float(expected), 6)
    assert detail["samples"] == int(np.isfinite(window).sum())
    assert (detail["window_kind"], detail["kind"]) == ("settled_rate", "predicted")
    assert found["aggregate"]["percentile_30d"] == detail["percentile_30d"]
    assert found["aggregate"]["weighting"] == "none"


def test_settled_rates_stand_apart(market: Market) -> None:
    found = answer([live("binance", funding_rate=0.0002, oi_usd=3e9)], ok("binance"))
    settled = found["venues_detail"]["binance"]["settled"]
    assert (settled["value"], settled["rate_raw"]) == (0.01, "0.00010000")
    assert settled["settled_at"] == "2026-05-17T16:00:00Z"
    assert settled["predicted_minus_settled"] == 0.01
    assert settled["settlements_30d"] == 90
    assert found["settled"]["venues"]["binance"] == 0.01


@pytest.mark.parametrize(
    ("second", "status", "reason"),
    [
        (live("bybit", funding_rate=0.0009, oi_usd=1e9, age_ms=400_000), "stale", "stale"),
        (live("bybit", funding_rate=0.0009, oi_usd=1e9), "down", "venue_down"),
        (live("bybit", funding_rate=None, oi_usd=1e9), "ok", "no_data"),
    ],
)
def test_a_missing_venue_is_named(
    market: Market, second: LiveState, status: str, reason: str
) -> None:
    word = "down" if status == "down" else "ok"
    found = answer(
        [live("binance", funding_rate=0.0001, oi_usd=3e9), second],
        ok("binance") + ok("bybit", status=word),
    )
    assert found["venues"] == {"binance": 0.01}
    assert found["aggregate"]["value"] == 0.01
    assert found["aggregate"]["venues_missing"] == ["bybit"]
    assert found["aggregate"]["coverage"] == 0.75
    assert found["aggregate"]["confidence"] == "partial"
    assert found["meta"]["partial"] is True
    detail = found["venues_detail"]["bybit"]
    assert (detail["value"], detail["null_reason"]) == (None, reason)
    by_venue = {source["venue"]: source["status"] for source in found["meta"]["sources"]}
    assert by_venue == {
        "binance": "ok",
        "bybit": status,
        "okx": "not_connected",
        "deribit": "not_connected",
        "hyperliquid": "not_connected",
    }


def test_too_little_of_the_market_is_withheld(market: Market) -> None:
    found = answer([live("bybit", funding_rate=0.0001, oi_usd=1e9)], ok("binance", "bybit"))
    aggregate = found["aggregate"]
    assert (aggregate["value"], aggregate["null_reason"]) == (None, "withheld")
    assert (aggregate["confidence"], aggregate["interpretation"]) == (
        "withheld",
        "insufficient_history",
    )
    assert aggregate["venues_used"] == []
    assert found["venues"] == {"bybit": 0.01}


def test_an_asset_nobody_lists(market: Market) -> None:
    found = answer([], ok("binance"), asset="WIF")
    assert (found["venues"], found["venues_detail"]) == ({}, {})
    assert found["aggregate"]["null_reason"] == "not_listed"
    assert found["meta"]["partial"] is False


def test_a_short_history_says_so(market: Market) -> None:
    found = answer([live("binance", "ETH", funding_rate=0.0001, oi_usd=1.0)], ok("binance"), "ETH")
    assert found["aggregate"]["percentile_30d"] is not None
    market_of_yesterday = NOW_MS - 29 * 24 * HOUR
    past = build_funding(["ETH"], market_of_yesterday)[0]
    assert past["aggregate"]["interpretation"] == "insufficient_history"


def test_the_past_does_not_know_the_future(market: Market) -> None:
    moment = NOW_MS - 5 * HOUR
    instrument_id = market.id("binance:perp:BTCUSDT")
    sample = funding_row(instrument_id, moment - 60_000, 0.0002)
    rows_write([sample._replace(kind="predicted", funding_ts=LAST_SETTLEMENT)])
    before = build_funding(["BTC"], moment)
    assert before[0]["venues"] == {"binance": 0.02}
    later = funding_row(instrument_id, moment - 30_000, 0.9)
    late = funding_row(instrument_id, moment - 9 * HOUR, 0.9)
    rows_write([later._replace(kind="predicted", known_at=moment + 1)])
    rows_write([late._replace(known_at=moment + 1)])
    assert build_funding(["BTC"], moment) == before
    assert before[0]["meta"]["as_of"] == before[0]["meta"]["snapshot_ts"]


def test_one_asset_that_fails_does_not_stop_the_others(
    published: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = funding_payload

    def broken(one: Any, *args: Any) -> Any:
        if one.asset == "BTC":
            raise ZeroDivisionError
        return original(one, *args)

    monkeypatch.setattr(snapshots, "funding_payload", broken)
    assert [d.asset for d in refresh_funding(["BTC", "ETH"], NOW_MS)] == ["ETH"]


def test_documents_carry_the_cadence_of_their_tier(published: Market) -> None:
    by_asset = {d.asset: d for d in refresh_funding(["BTC", "WIF"], NOW_MS)}
    assert (by_asset["BTC"].cadence_s, by_asset["WIF"].cadence_s) == (60, 300)
    assert by_asset["BTC"].snapshot_ts_ms == NOW_MS
    assert by_asset["BTC"].version == by_asset["WIF"].version > 1_700_000_000_000_000
