"""``--rate``: so many times the trades and book updates of every venue, over the same market."""

from __future__ import annotations

import numpy as np
import pytest

from apps.sandbox.backend import busier
from apps.sandbox.faces.registry import FACES, VenueFace
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.model import SeededMarket

MINUTE: int = 1_763_719_200_000 // 60_000
MINUTES: int = 5


def of_rate(face: VenueFace, rate: float) -> tuple[SeededMarket, Listing]:
    """The market as seen through the face's first listing of BTC."""
    listings = [busier(one, rate) for one in face.listings(("BTC",))]
    return SeededMarket(7, listings), listings[0]


@pytest.mark.parametrize("face", FACES, ids=lambda face: f"{face.key.venue}-{face.key.connection}")
@pytest.mark.parametrize("rate", [4.0, 16.0])
def test_a_rate_multiplies_messages_and_leaves_history_as_it_was(
    face: VenueFace, rate: float
) -> None:
    usual, plain = of_rate(face, 1.0)
    busy, listing = of_rate(face, rate)
    trades = [
        sum(len(market.tape(one, MINUTE + at)) for at in range(MINUTES))
        for market, one in ((usual, plain), (busy, listing))
    ]
    assert trades[1] / trades[0] == pytest.approx(rate, rel=0.05)
    steps = plain.book_step_ms / listing.book_step_ms
    # Books do not change more often than every 10 ms; a step is a whole number of milliseconds.
    assert steps == pytest.approx(min(rate, plain.book_step_ms / 10), rel=0.05)

    before, after = (
        market.minute_bars(one, MINUTE, MINUTE + MINUTES - 1)
        for market, one in ((usual, plain), (busy, listing))
    )
    for name in ("open", "high", "low", "close", "volume"):
        assert getattr(after, name).tolist() == getattr(before, name).tolist(), name
    at = np.array([MINUTE * 60_000])
    moment = int(at[0])
    assert busy.touch(listing, moment) == usual.touch(plain, moment)
    if plain.kind == "perp":
        assert busy.open_interest(listing, at).tolist() == usual.open_interest(plain, at).tolist()
        day = (moment - 86_400_000, moment)
        rates = [one.rate for one in usual.settlements(plain, *day)]
        assert rates
        assert [one.rate for one in busy.settlements(listing, *day)] == rates
