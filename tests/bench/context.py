"""Context refresh of all 65 assets × (5 venues + aggregate) on 30-day windows, against pandas' rolling rank.

Both give percentile, robust z and reference values of the newest value of every series; percentiles and z
are compared before anything is timed. Ours also gives labels and thresholds, and reads its windows out of
the mapped files that workers share; the peer's frame already lies in memory.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from apps.marketdata.context_windows import ContextWindow, Grid
from apps.marketdata.universe import COLD, HOT
from apps.markets.engines.context import DEFAULT, ContextResult, context_of
from apps.markets.engines.order_statistics import MAD_TO_SIGMA, MEAN_DEVIATION_TO_SIGMA

FloatArray = npt.NDArray[np.float64]

SERIES_PER_ASSET: Final = 6
ROUNDS: Final = 5
_T_MS: Final = 1_760_000_400_000
# Funding of all assets, and volume flow of both tiers: what one refresh of layer 1 works through.
SHAPES: Final = {
    "funding": (len(HOT) + len(COLD), Grid(3600, 720)),
    "volume_flow_hot": (len(HOT), Grid(300, 8640)),
    "volume_flow_cold": (len(COLD), Grid(1800, 1440)),
}


class Case:
    """One metric and tier: series with ties at a base value, the newest value apart."""

    def __init__(self, name: str, folder: Path, rng: np.random.Generator) -> None:
        assets, self.grid = SHAPES[name]
        rows = assets * SERIES_PER_ASSET
        values = np.round(rng.standard_t(3, (rows, self.grid.slots + 1)), 4)
        values[rng.random(values.shape) < 0.2] = 0.01
        self.history, self.current = values[:, :-1], values[:, -1]
        names = [f"series-{row}" for row in range(rows)]
        self.window = ContextWindow(folder / f"{name}.ring", self.grid, names)
        self.window.at(_T_MS, lambda first, end: self.history)
        self.frame = pd.DataFrame(values.T)

    def ours(self) -> ContextResult:
        return context_of(self.current, self.window.at(_T_MS, self._never), self.grid.slot_s)

    def _never(self, first: int, end: int) -> FloatArray:
        raise AssertionError("the window is up to date")

    def peer(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The same in pandas: percentile, robust z, reference values.

        Average rank r of the newest of n + 1 values: (r - 1) / n is its mid-rank among the other n. Only
        full windows are ranked.
        """
        n = self.grid.slots
        rank = self.frame.rolling(n + 1).rank(method="average").iloc[-1].to_numpy()
        window, newest = self.frame.iloc[:-1], self.frame.iloc[-1]
        distance = window - window.median()
        mad = distance.abs().median()
        scale = (MAD_TO_SIGMA * mad).where(mad > 0, MEAN_DEVIATION_TO_SIGMA * distance.abs().mean())
        z_score = ((newest - window.median()) / scale).clip(-10, 10)
        reference = window.quantile(list(DEFAULT.reference))
        return (rank - 1.0) / n, z_score.to_numpy(), reference.to_numpy()


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run() -> dict[str, Any]:
    """Medians of interleaved rounds; raises when the two disagree."""
    rng = np.random.default_rng(20261121)
    with tempfile.TemporaryDirectory() as folder:
        cases = [Case(name, Path(folder), rng) for name in SHAPES]
        for case in cases:
            ours_once, (percentile, z_score, _) = case.ours(), case.peer()
            np.testing.assert_allclose(ours_once.percentile, percentile, atol=1e-12)
            np.testing.assert_allclose(ours_once.z_score, z_score, atol=1e-9)
        ours: list[float] = []
        peer: list[float] = []
        for _ in range(ROUNDS):
            ours.append(sum(_seconds(case.ours) for case in cases))
            peer.append(sum(_seconds(case.peer) for case in cases))
    refresh_s, peer_s = statistics.median(ours), statistics.median(peer)
    ratio = peer_s / refresh_s
    return {
        "name": "context refresh, 65 assets × 6 series, 30 days",
        "unit": "s",
        "ours": round(refresh_s, 4),
        "peer": round(peer_s, 4),
        "peer_name": "pandas rolling rank, median, quantile",
        "ratio": round(ratio, 1),
        "goal": "≥ 10×, < 2 s",
        "met": ratio >= 10.0 and refresh_s < 2.0,
        "figures": [
            {"what": "ratio", "measured": round(ratio, 1), "unit": "x", "goal": 10.0},
            {"what": "refresh", "measured": round(refresh_s, 4), "unit": "s", "better": "lower"}
            | {"goal": 2.0, "stretch": 0.5},
        ],
        "spread": {"ours": [round(s, 4) for s in ours], "peer": [round(s, 4) for s in peer]},
    }


if __name__ == "__main__":
    print(run())
