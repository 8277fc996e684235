"""Scenarios through emulator, ingest, stored rows and answers: each moves its own asset and no other.

Options are the Deribit face's: ``tests/sandbox/faces/deribit/test_scenarios.py``; the cascade is in
``test_market_end_to_end.py``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import sync_to_async

from apps.ingest.storage import moment
from apps.marketdata import selectors
from apps.sandbox.backend import ModelBackend
from apps.sandbox.market.scenarios import Scenario, ScenarioKind
from apps.sandbox.server import Sandbox
from tests.ingest.answers import FLOWS, METRICS, Answers, Refresh, answers, book_of
from tests.ingest.rig import Rig, running, until

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "own_windows", "threads_let_go"),
]
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
LEFT_ALONE = "BTC"
UP, DOWN, DEAR, WILD, CALM = "LINK", "AAVE", "DOGE", "AVAX", "ADA"
ASSETS = (LEFT_ALONE, UP, DOWN, DEAR, WILD, CALM)
LASTS_S = 480
STARTED = {
    UP: ScenarioKind.TREND_UP,
    DOWN: ScenarioKind.TREND_DOWN,
    WILD: ScenarioKind.REGIME_CHANGE,
    CALM: ScenarioKind.CALM,
}
VENUES_OF_ROWS = ("binance", "bybit", "okx")
DOCUMENTS: dict[str, Refresh] = {
    **{name: METRICS[name] for name in ("funding", "basis")},
    **FLOWS,
}


def funding_extreme(sandbox: Sandbox) -> None:
    """For longer than any venue's interval: rates are means over it."""
    assert isinstance(sandbox.backend, ModelBackend)
    now_ms = time.time_ns() // 1_000_000
    sandbox.backend._market.start(
        Scenario(ScenarioKind.FUNDING_EXTREME, (DEAR,), now_ms - 9 * HOUR_MS, 24 * HOUR_MS, 2.0)
    )


async def test_each_scenario_moves_its_own_asset(tmp_path: Path) -> None:
    async with running(tmp_path, ASSETS, history_days=31, rate=1.0, prepare=funding_extreme) as rig:
        before = await first_answers(rig)
        books = {asset: book_of(rig, asset)[0] for asset in ASSETS}
        check_funding(before)
        ends_ms = first_ms = 0
        for asset, kind in STARTED.items():
            started = rig.sandbox.start_scenario(
                {"kind": kind.value, "asset": asset, "seconds": LASTS_S, "strength": 5}
            )
            first_ms = -(-started["start_ms"] // MINUTE_MS) * MINUTE_MS
            ends_ms = started["end_ms"]
        # At their height, and with whole minutes of it stored.
        missing: list[str] = []

        async def is_seen() -> bool:
            now_ms = time.time_ns() // 1_000_000
            assert now_ms < ends_ms
            if now_ms < first_ms + 4 * MINUTE_MS + 10_000:
                return False
            now = await answers(ASSETS, DOCUMENTS)
            depth = {asset: book_of(rig, asset)[0] / books[asset] for asset in ASSETS}
            rows = await sync_to_async(minutes)(first_ms + 2 * MINUTE_MS)
            missing[:] = [
                *trend(UP, 1, before, now),
                *trend(DOWN, -1, before, now),
                *tempers(rows, depth),
                *alone(before, now),
            ]
            return not missing

        try:
            await until(is_seen, "every asset does what its scenario says", LASTS_S)
        except AssertionError:
            pytest.fail("; ".join(missing))


async def first_answers(rig: Rig) -> dict[str, Answers]:
    """The first in which nothing is missing."""
    found: dict[str, Answers] = {}

    async def are_whole() -> bool:
        if rig.service.progress.state != "ready":
            return False
        found.update(await answers(ASSETS, DOCUMENTS))
        return all(
            found[asset][name]["aggregate"]["confidence"] == "full"
            and found[asset][name]["aggregate"]["percentile_30d"] is not None
            for asset in ASSETS
            for name in ("funding", "basis", "ohlcv")
        )

    await until(are_whole, "every aggregate is whole")
    return found


def check_funding(now: dict[str, Answers]) -> None:
    """Far beyond its own month, and crowded by the absolute cuts as well; settled so, too."""
    dear, usual = now[DEAR]["funding"], now[LEFT_ALONE]["funding"]
    one = dear["aggregate"]
    assert one["percentile_30d"] > 0.98
    assert one["interpretation"] == "extreme_high"
    assert one["z_score"] > 5
    assert one["state"] == "longs_crowded"
    assert one["value"] > 0.1 > 0.05 > abs(usual["aggregate"]["value"])
    assert usual["aggregate"]["state"] != "longs_crowded"
    assert dear["settled"]["value"] > 0.05
    for venue, detail in dear["venues_detail"].items():
        assert detail["percentile_30d"] > 0.97, venue
    assert now[DEAR]["basis"]["aggregate"]["value"] > 0.3
    assert now[DEAR]["basis"]["aggregate"]["percentile_30d"] > 0.97


def trend(asset: str, sign: int, before: dict[str, Answers], now: dict[str, Answers]) -> list[str]:
    """What does not show the way yet: price, its state, taker flow and the basis."""
    was, one = before[asset], now[asset]
    moved = one["ohlcv"]["aggregate"]["price"] / was["ohlcv"]["aggregate"]["price"] - 1
    hour = one["ohlcv"]["aggregate"]
    flow = flow_of(one, "5m")
    basis = [doc["basis"]["aggregate"]["value"] for doc in (was, one)]
    rank = 0.5 if hour["percentile_30d"] is None else hour["percentile_30d"]
    found = {
        f"{asset} price moved {moved}": sign * moved > 0.02,
        f"{asset} state {hour['state']}": hour["state"]
        == ("rising_fast" if sign > 0 else "falling_fast"),
        f"{asset} hour's return ranks {rank}": (rank if sign > 0 else 1 - rank) > 0.98,
        f"{asset} takers bought {flow}": sign * (flow - 0.5) > 0.005,
        f"{asset} basis {basis}": sign * (basis[1] - basis[0]) > 0.05,
    }
    return [what for what, is_so in found.items() if not is_so]


def flow_of(one: Answers, window: str) -> float:
    """Share of taker buys over the venues."""
    sums = [venue["windows"][window] for venue in one["volume_flow"]["venues_detail"].values()]
    bought = sum(row["buy_usd"] or 0.0 for row in sums)
    return float(bought / sum(row["volume_usd"] or 0.0 for row in sums))


def minutes(first_ms: int) -> dict[str, tuple[float, float]]:
    """By asset from stored rows: range (a measure of realised volatility) and volume of the minutes since
    ``first_ms``, in those of an hour before the scenarios."""
    selectors.clear_instrument_cache()
    found: dict[str, tuple[float, float]] = {}
    for asset in ASSETS:
        ranges, volumes = [], []
        for row in selectors.instruments(asset=asset, kind="perp"):
            if row.instrument.venue not in VENUES_OF_ROWS:
                continue
            since = moment(first_ms - 70 * MINUTE_MS)
            bars = selectors.bar_series([row.id], 60, since, moment(first_ms + HOUR_MS))
            is_late = bars.ts_ms >= first_ms
            is_early = bars.ts_ms < first_ms - 10 * MINUTE_MS
            width = np.log(bars.high / bars.low) ** 2
            if is_late.sum() >= 2 and is_early.sum() >= 40:
                ranges.append(float(np.sqrt(width[is_late].mean() / width[is_early].mean())))
                volume = bars.volume_usd
                volumes.append(float(volume[is_late].mean() / volume[is_early].mean()))
        assert len(ranges) == len(VENUES_OF_ROWS), asset
        found[asset] = (float(np.mean(ranges)), float(np.mean(volumes)))
    return found


def tempers(rows: dict[str, tuple[float, float]], depth: dict[str, float]) -> list[str]:
    """Volatility, volume and books of a wild and of a calm asset, beside one that was left alone."""
    (usual, usual_volume), (wild, wild_volume), (calm, calm_volume) = (
        rows[asset] for asset in (LEFT_ALONE, WILD, CALM)
    )
    found = {
        f"{WILD} volatility {wild} beside {usual}": wild > 2.0 * usual,
        f"{WILD} volume {wild_volume} beside {usual_volume}": wild_volume > 1.5 * usual_volume,
        f"{WILD} depth {depth}": depth[WILD] < 0.6 * depth[LEFT_ALONE],
        f"{CALM} volatility {calm} beside {usual}": calm < 0.6 * usual,
        f"{CALM} volume {calm_volume} beside {usual_volume}": calm_volume < 0.7 * usual_volume,
        f"{CALM} depth {depth}": depth[CALM] > 1.5 * depth[LEFT_ALONE],
    }
    return [what for what, is_so in found.items() if not is_so]


def alone(before: dict[str, Answers], now: dict[str, Answers]) -> list[str]:
    """Who was left alone has not moved as they have."""
    was, one = before[LEFT_ALONE], now[LEFT_ALONE]
    moved = one["ohlcv"]["aggregate"]["price"] / was["ohlcv"]["aggregate"]["price"] - 1
    basis = [doc["basis"]["aggregate"]["value"] for doc in (was, one)]
    funding: list[Any] = [doc["funding"]["aggregate"]["value"] for doc in (was, one)]
    found = {
        f"{LEFT_ALONE} moved {moved}": abs(moved) < 0.015,
        f"{LEFT_ALONE} basis {basis}": abs(basis[1] - basis[0]) < 0.05,
        f"{LEFT_ALONE} funding {funding}": abs(funding[1] - funding[0]) < 0.02,
    }
    return [what for what, is_so in found.items() if not is_so]
