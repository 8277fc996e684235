from __future__ import annotations

import time

import pytest

from apps.core.clock import ClockLine, MarketClock, iso_utc, market_clock

S = 1_000_000_000


def test_market_time_is_wall_time_by_default() -> None:
    before = time.time_ns()
    assert before <= market_clock.now_ns() <= time.time_ns()


@pytest.mark.parametrize(
    ("wall_s", "speed", "end_s", "market_s"),
    [
        (1000, 1.0, None, 500),
        (1010, 1.0, None, 510),
        (1010, 10.0, None, 600),
        (1010, 0.5, None, 505),
        (1010, 10.0, 550, 550),
        (990, 1.0, None, 490),
    ],
)
def test_a_replay_runs_along_its_line(
    wall_s: int, speed: float, end_s: int | None, market_s: int
) -> None:
    line = ClockLine(1000 * S, 500 * S, speed, None if end_s is None else end_s * S)
    assert line.at(wall_s * S) == market_s * S


def test_freeze_holds_time_in_every_unit() -> None:
    clock = MarketClock()
    clock.freeze(1_680_566_400_123_456_789)
    assert clock.now_ns() == 1_680_566_400_123_456_789
    assert clock.now_ms() == 1_680_566_400_123
    assert clock.now_s() == pytest.approx(1_680_566_400.123457, abs=1e-6)
    clock.freeze(None)
    assert abs(clock.now_ns() - time.time_ns()) < 5 * S


@pytest.mark.parametrize(
    ("ts_ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_680_566_400_000, "2023-04-04T00:00:00Z"),
        (1_680_566_400_007, "2023-04-04T00:00:00.007Z"),
        (1_680_566_400_999, "2023-04-04T00:00:00.999Z"),
    ],
)
def test_iso_utc_shows_milliseconds_only_when_there_are_some(ts_ms: int, text: str) -> None:
    assert iso_utc(ts_ms) == text


def test_iso_utc_never_loses_a_millisecond() -> None:
    start = 1_763_712_000_000
    assert all(iso_utc(start + i).endswith(f".{i:03d}Z") for i in range(1, 1000))
