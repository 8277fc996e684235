from __future__ import annotations

import numpy as np
import pytest

from apps.sandbox.market.noise import normals, value_noise
from apps.sandbox.market.spans import by_day

UP = np.array([95, 100, 150, 199, 400, 401])


@pytest.mark.parametrize(
    "times", [UP, UP[::-1], np.array([400, 95, 150, 401, 100, 199])], ids=["up", "down", "mixed"]
)
def test_times_are_parted_by_day_in_any_order(times: np.ndarray) -> None:
    found = {day: (times[chosen].tolist(), at.tolist()) for day, chosen, at in by_day(times, 100)}
    assert sorted(found) == [0, 1, 4]
    for day, (chosen, at) in found.items():
        assert chosen == [one for one in times.tolist() if one // 100 == day]
        assert at == [one - day * 100 for one in chosen]


def test_no_times_are_of_no_day() -> None:
    assert list(by_day(np.array([], dtype=np.int64), 100)) == []


def test_noise_is_the_same_whichever_part_of_it_is_asked_for() -> None:
    whole = np.arange(-5_000, 60_000, 250, dtype=np.float64)
    expected = value_noise(11, whole, 1_000.0)
    for first in (0, 37, 200):
        part = whole[first : first + 20]
        assert value_noise(11, part, 1_000.0).tolist() == expected[first : first + 20].tolist()
    knots = normals(11, np.arange(-5, 60, dtype=np.int64))
    assert (
        value_noise(11, np.arange(-5_000.0, 60_000.0, 1_000.0), 1_000.0).tolist() == knots.tolist()
    )
