from __future__ import annotations

from apps.ingest.coverage import AGAIN_MS, Coverage
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


def test_what_was_not_seen_is_held_once_it_is_repaired() -> None:
    coverage = Coverage(T0 + 20_000)
    assert coverage.start_ms == T0
    assert coverage.held_until(T0 + 5 * MINUTE) == T0
    coverage.live(T0 + 21_000)
    (first,) = coverage.take_repairs(T0 + MINUTE)
    assert coverage.held_until(T0 + 5 * MINUTE) == T0
    coverage.repaired(first)
    assert coverage.held_until(T0 + 5 * MINUTE + 1) == T0 + 5 * MINUTE
    coverage.down(T0 + 6 * MINUTE + 1)
    assert coverage.held_until(T0 + 9 * MINUTE) == T0 + 6 * MINUTE


def test_a_break_that_could_not_be_repaired_is_tried_again_and_lost_after_a_day() -> None:
    coverage = Coverage(T0)
    coverage.live(T0 + 1)
    (first,) = coverage.take_repairs(T0 + MINUTE)
    coverage.failed(first, T0 + MINUTE)
    assert coverage.take_repairs(T0 + MINUTE + AGAIN_MS - 1) == []
    assert coverage.take_repairs(T0 + MINUTE + AGAIN_MS) == [first]
    coverage.failed(first, T0 + 2 * MINUTE)
    assert coverage.take_lost() == []
    assert coverage.take_repairs(T0 + 25 * 60 * MINUTE) == []
    assert coverage.take_lost() == [first]
    assert coverage.take_lost() == []
    assert coverage.held_until(T0 + 25 * 60 * MINUTE) == T0 + 25 * 60 * MINUTE
