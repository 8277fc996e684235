"""One refresh of layer 1: every metric of all 65 assets on five venues with 30 days of context.

Ours is the whole refresh as the worker runs it: live state, what changed in PostgreSQL, windows,
percentiles, robust z, labels, thresholds, JSON, publishing to Redis and PostgreSQL. The peer does a part of
it: of as many series, each as long, the rank of the newest value, its robust z and the quantiles that
answers name, in pandas, out of frames that already lie in memory. Series of ours that rank one series and
take the z of another (open interest, and its changes) count once in the peer. Both are timed in processor
time of this process, as neighbours on the machine slow both; seconds on the wall are told beside it.

What follows from windows alone is made when a slot ends. Ours is therefore the mean of five minutes on
end, one of which is the first of a five-minute slot; the dearest of them stands beside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from apps.core.clock import market_clock
from apps.core.redis import market_key, sync_redis
from apps.marketdata.selectors import one_board
from apps.marketdata.universe import ASSETS, COLD, HOT
from apps.markets.engines.context import DEFAULT
from apps.snapshots.registry import refreshers
from apps.snapshots.store import publish_many
from tests.bench import l1_world

ROUNDS: Final = 3
MINUTES: Final = 5
SIZES: Final = (16, 32, 65)
DAYS: Final = (7, 30, 90)
# Series that a refresh ranks per asset, and the slots of their windows by tier: five venues and their sum.
_HOURLY: Final = {"funding": 6}
_BY_TIER: Final = {
    "volume_flow": 6,
    "open_interest": 6,
    "basis": 6,
    "ohlcv": 2 * (6 + 4),
    # Nine shares that venues publish, and four aggregates.
    "positioning": 13,
    "liquidations": 6,
}
_SLOTS: Final = {"hot": 8640, "cold": 1440}


class Refresh:
    """Refreshes as the worker does it: HOT assets, then COLD ones, metric by metric."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.by_metric: dict[str, float] = {}
        self.wall_s = 0.0

    def __call__(self, assets: Sequence[str]) -> int:
        """A minute later than the last one; returns the documents."""
        self.now_ms += 60_000
        market_clock.freeze(self.now_ms * 1_000_000)
        l1_world.go_live(self.now_ms)
        documents = 0
        self.by_metric.clear()
        began = time.perf_counter()
        with one_board():
            for metric, refresher in refreshers():
                if not metric.startswith("markets."):
                    continue
                started = time.process_time()
                for tier in (HOT, COLD):
                    mine = [asset for asset in tier if asset in assets]
                    documents += publish_many(refresher(mine, self.now_ms)) if mine else 0
                self.by_metric[metric] = time.process_time() - started
        self.wall_s = time.perf_counter() - began
        return documents

    def seconds(self, assets: Sequence[str]) -> float:
        documents = self(assets)
        if documents != len(assets) * len(self.by_metric):
            raise AssertionError(f"expected {len(assets)} documents per metric, got {documents}")
        return sum(self.by_metric.values())


def peer_frames(rng: np.random.Generator) -> list[pd.DataFrame]:
    """One frame per window length, a column per series."""
    wide = {720: _HOURLY["funding"] * len(ASSETS)}
    per_asset = sum(_BY_TIER.values())
    for tier, slots in (("hot", _SLOTS["hot"]), ("cold", _SLOTS["cold"])):
        wide[slots] = per_asset * len(HOT if tier == "hot" else COLD)
    return [
        pd.DataFrame(rng.standard_normal((slots + 1, columns))) for slots, columns in wide.items()
    ]


def rank(frames: Sequence[pd.DataFrame]) -> None:
    """Percentile, robust z and reference quantiles of the newest value of every series."""
    for frame in frames:
        frame.rolling(len(frame)).rank(method="average").iloc[-1]
        window = frame.iloc[:-1]
        median = window.median()
        (frame.iloc[-1] - median) / (window - median).abs().median()
        window.quantile(list(DEFAULT.reference))


def _median(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds), 4)


def run() -> dict[str, Any]:
    """Mean of five minutes and its peer, growth by assets and by length of the stored history."""
    now = l1_world.floor_minute(datetime.now(UTC))
    frames = peer_frames(np.random.default_rng(20261121))
    growth: dict[str, float] = {}
    with l1_world.own_market():
        l1_world.list_everything(now)
        refresh = Refresh(int(now.timestamp() * 1000) - 30 * 60_000)
        rows, held = 0, 0
        for days in DAYS:
            rows += l1_world.context(now, days + 2, held)
            held = days + 2
            loaded: dict[Any, Any] = {"state": "ready", "generation": days}
            sync_redis().hset(market_key("backfill"), mapping=loaded)
            # Windows are loaded anew once, then only what came since.
            growth[f"days_{days}_load_s"] = round(refresh.seconds(ASSETS), 3)
            growth[f"days_{days}_s"] = _median([refresh.seconds(ASSETS) for _ in range(ROUNDS)])
        for count in SIZES[:-1]:
            some = [*HOT, *COLD][:count]
            growth[f"assets_{count}_s"] = _median([refresh.seconds(some) for _ in range(ROUNDS)])
        ours, peer, wall = [], [], []
        for _ in range(MINUTES):
            ours.append(refresh.seconds(ASSETS))
            wall.append(refresh.wall_s)
        for _ in range(ROUNDS):
            started = time.process_time()
            rank(frames)
            peer.append(time.process_time() - started)
        by_metric = {name: round(seconds, 4) for name, seconds in refresh.by_metric.items()}
    refresh_s, peer_s = round(statistics.mean(ours), 4), _median(peer)
    growth["assets_65_s"] = refresh_s
    return {
        "name": "L1 refresh, 65 assets × 5 venues × 7 metrics, 30 days of context",
        "peer_name": "pandas rolling rank and median of the same series",
        "rows": rows,
        "series": sum(frame.shape[1] for frame in frames),
        "by_metric": by_metric,
        "growth": growth,
        "wall_s": _median(wall),
        "dearest_minute_s": round(max(ours), 4),
        "within_a_slot_s": _median(ours),
        "spread": {"ours": [round(s, 4) for s in ours], "peer": [round(s, 4) for s in peer]},
        "figures": [
            {"what": "ratio", "measured": round(peer_s / refresh_s, 1), "unit": "x", "goal": 10.0},
            {"what": "refresh, CPU", "measured": refresh_s, "unit": "s", "better": "lower"}
            | {"goal": 2.0, "stretch": 0.5},
        ],
    }
