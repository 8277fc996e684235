"""Settlements become rates with the interval that ended with each."""

from __future__ import annotations

import pytest

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.settlements import HOUR_MS, settled_rates
from apps.venues.values import BadValue

START_MS = 1_700_006_400_000
"""A full hour."""


def perp() -> Instrument:
    return Instrument(
        venue="okx", symbol="BTC-USDT-SWAP", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
    )


def read(raw: str) -> float:
    if raw == "none":
        raise BadValue(raw)
    return float(raw)


def hours_of(gaps_h: list[float], usual_h: float | None = 8.0) -> list[float | None]:
    at, raw_by_ms = START_MS, {START_MS: "0.0001"}
    for gap in gaps_h:
        at += int(gap * HOUR_MS)
        raw_by_ms[at] = "0.0001"
    rates = settled_rates(
        perp(), raw_by_ms, read, 0, intervals_h=(1.0, 2.0, 4.0, 8.0), usual_h=usual_h
    )
    return [rate.interval_h for rate in rates]


@pytest.mark.parametrize(
    ("gaps_h", "expected"),
    [
        ([], [8.0]),
        ([8, 8], [8.0, 8.0, 8.0]),
        # The change shows with the first settlement after it; the first has the gap of the second.
        ([8, 4, 4], [8.0, 8.0, 4.0, 4.0]),
        ([4, 8], [4.0, 4.0, 8.0]),
        # A row that is missing is no interval.
        ([8, 16, 8], [8.0, 8.0, 8.0, 8.0]),
    ],
)
def test_the_gap_says_the_interval(gaps_h: list[float], expected: list[float]) -> None:
    assert hours_of(gaps_h) == expected


def test_an_interval_that_nobody_told_stays_unknown() -> None:
    assert hours_of([3], usual_h=None) == [None, None]


def test_what_is_no_rate_is_left_out_and_the_others_keep_their_gaps() -> None:
    raw_by_ms = {START_MS + i * 8 * HOUR_MS: raw for i, raw in enumerate(("0.1", "none", "-0.2"))}
    rates = settled_rates(perp(), raw_by_ms, read, 7, intervals_h=(8.0,), usual_h=None)
    assert [(one.rate, one.rate_raw, one.interval_h, one.ts_recv) for one in rates] == [
        (0.1, "0.1", 8.0, 7),
        (-0.2, "-0.2", 8.0, 7),
    ]
