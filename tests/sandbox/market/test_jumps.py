"""Now and then the price jumps: more than its minute's volatility explains, and agitation after it."""

from __future__ import annotations

import numpy as np

from apps.sandbox.market.noise import FloatArray
from tests.sandbox.market.test_stylised_facts import WATCHED, days, joined

MINUTES_AFTER = 5


def surprises(asset: str) -> tuple[FloatArray, FloatArray]:
    """Moves in standard deviations of their minute, and those standard deviations."""
    moves = np.concatenate([np.diff(day.path) for day in days(asset)])
    sigma = joined(asset, "sigma")[: len(moves)]
    return moves / sigma, sigma


def test_some_moves_are_jumps() -> None:
    for asset in WATCHED:
        surprise, _ = surprises(asset)
        # Of 72,000 draws of a bell curve none is beyond six.
        count = int((np.abs(surprise) > 6.0).sum())
        assert 3 <= count <= 200, (asset, count)


def test_jumps_leave_the_market_agitated() -> None:
    ratios = []
    for asset in WATCHED:
        surprise, sigma = surprises(asset)
        for at in (np.abs(surprise) > 6.0).nonzero()[0].tolist():
            before, after = sigma[max(at - 30, 0) : at], sigma[at + 1 : at + 1 + MINUTES_AFTER]
            if len(before) and len(after):
                ratios.append(float(after.mean() / before.mean()))
    assert len(ratios) > 15
    assert np.median(ratios) > 1.2


def test_jumps_are_shared_by_coins_or_their_own() -> None:
    """Those of the whole market are the same minutes everywhere; some coins have others beside them."""
    minutes = {
        asset: set((np.abs(surprises(asset)[0]) > 6.0).nonzero()[0].tolist()) for asset in WATCHED
    }
    shared = set.intersection(*minutes.values())
    assert shared
    assert any(own - shared for own in minutes.values())
