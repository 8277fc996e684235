from __future__ import annotations

from apps.ingest.coverage import Coverage
from tests.marketdata.samples import MINUTE, T0


def test_the_first_minute_was_not_seen_whole() -> None:
    coverage = Coverage(T0 + 20_000)
    assert not coverage.is_whole(T0, T0 + MINUTE)
    coverage.live(T0 + 21_000)
    assert not coverage.is_whole(T0, T0 + MINUTE)
    assert coverage.is_whole(T0 + MINUTE, T0 + 2 * MINUTE)
    assert coverage.take_repairs(T0 + MINUTE - 1) == []
    assert coverage.take_repairs(T0 + MINUTE) == [(T0, T0 + MINUTE)]
    assert coverage.take_repairs(T0 + 2 * MINUTE) == []


def test_a_break_is_repaired_as_whole_minutes() -> None:
    coverage = Coverage(T0)
    coverage.live(T0)
    coverage.take_repairs(T0 + MINUTE)
    coverage.down(T0 + 90_000)
    coverage.down(T0 + 95_000)
    assert not coverage.is_live
    assert coverage.is_whole(T0, T0 + MINUTE)
    assert not coverage.is_whole(T0 + MINUTE, T0 + 2 * MINUTE)
    coverage.live(T0 + 200_000)
    assert coverage.take_repairs(T0 + 10 * MINUTE) == [(T0 + MINUTE, T0 + 4 * MINUTE)]
