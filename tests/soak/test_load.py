"""What the load soak makes of its looks at ingest."""

from __future__ import annotations

import pytest

from tests.soak.load import MAX_GROWTH_PCT, Sample, _figures


def looks(pid: int, begin_s: float, seconds: float, grows_mb_per_s: float) -> list[Sample]:
    """One life of ingest: 100 MB at its start, 200 MB once warm (60 s), and so much more each second."""
    return [
        Sample(
            at_s=begin_s + age_s,
            pid=pid,
            rss_mb=(200.0 if age_s >= 60 else 100.0) + grows_mb_per_s * age_s,
            platform_mb=1_000.0,
            cpu_s=0.1 * age_s,
            messages=800.0 * age_s,
            lags={0.1: 0.0, 0.25: float(age_s), 1.0: float(age_s)},
        )
        for age_s in range(0, int(seconds) + 1, 5)
    ]


def test_the_longest_life_is_told_from_its_start_over_its_warm_up_to_its_end() -> None:
    found = _figures([*looks(7, 0.0, 100.0, 0.0), *looks(8, 120.0, 900.0, 0.0)])
    assert (found["rss_start_mb"], found["rss_warm_mb"], found["rss_end_mb"]) == (100, 200, 200)
    assert found["rss_growth_pct"] == 0.0
    assert (
        found["watched_s"] == 805
    )  # 900 s without the first 90 s; the first look after them is at 95 s
    assert (found["messages_per_s"], found["messages_per_core_s"]) == (800, 8_000)
    assert found["platform_end_mb"] == 1_000
    assert found["flush_lag_p99_s"] == 0.25


def test_growth_beyond_the_bound_fails() -> None:
    seconds, bound_mb = 900.0, 200.0 * MAX_GROWTH_PCT / 100
    with pytest.raises(AssertionError, match="ingest grew by"):
        _figures(looks(7, 0.0, seconds, 1.5 * bound_mb / seconds))
    assert _figures(looks(7, 0.0, seconds, 0.5 * bound_mb / seconds))["rss_growth_pct"] > 0


def test_a_short_life_is_told_and_not_judged() -> None:
    assert _figures(looks(7, 0.0, 300.0, 1.0))["rss_growth_pct"] > MAX_GROWTH_PCT
