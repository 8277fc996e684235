from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.sandbox.faces.tables import Fixed, Table, Whole, as_json

MANY = 40
AWKWARD = [0.0, 0.5, 0.125, 2.675, 1.005, 0.99999999951, 9.9999, 100.0, 4_503_599_627_370_495.5]


def table(values: list[float], decimals: int, *, trimmed: bool) -> Table:
    count = len(values)
    times = np.arange(count, dtype=np.int64) * 60_000 + 1_700_000_000_000
    columns = (
        Whole(times, quoted=True),
        Fixed(np.array(values), decimals, trimmed),
        "0",
        Whole(np.arange(count, dtype=np.int64)),
    )
    return Table(count, columns)


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("decimals", [0, 1, 2, 4, 8, 14, 16])
@pytest.mark.parametrize("scale", [1e-7, 1.0, 95_123.456, 3e11])
def test_digits_are_those_of_each_number_s_own_formatting(
    decimals: int, scale: float, trimmed: bool
) -> None:
    numbers = np.random.default_rng(7).random(MANY) * scale
    found = table([*AWKWARD, *numbers, *np.round(numbers, decimals)], decimals, trimmed=trimmed)
    assert found.json() == orjson.dumps(list(found))


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=8, max_size=30),
    st.integers(0, 16),
    st.booleans(),
)
def test_any_numbers(values: list[float], decimals: int, trimmed: bool) -> None:
    found = table(values, decimals, trimmed=trimmed)
    assert found.json() == orjson.dumps(list(found))


@given(
    st.lists(st.integers(0, 10**9), min_size=8, max_size=30),
    st.integers(1, 9),
)
def test_numbers_on_a_grid_and_just_between_its_points(ticks: list[int], decimals: int) -> None:
    halves = [tick * 10.0**-decimals + 0.5 * 10.0**-decimals for tick in ticks]
    found = table(halves, decimals, trimmed=False)
    assert found.json() == orjson.dumps(list(found))


def test_rows_are_read_like_a_list() -> None:
    found = table([1.5, 2.25, 3.0], 2, trimmed=True)
    rows = [
        ["1700000000000", "1.5", "0", 0],
        ["1700000060000", "2.25", "0", 1],
        ["1700000120000", "3", "0", 2],
    ]
    assert list(found) == rows
    assert (found[1], found[-1], list(found[::-1])) == (rows[1], rows[2], rows[::-1])
    assert (len(found[-2:]), list(found[-2:])) == (2, rows[1:])
    with pytest.raises(IndexError):
        found[3]


def test_named_columns_make_objects_inside_of_an_answer() -> None:
    count = MANY
    numbers = Whole(np.arange(count, dtype=np.int64), quoted=True)
    columns = ('a"b', Fixed(np.arange(count) / 4, 2), numbers)
    found = Table(count, columns, ("symbol", "share", "timestamp"))
    body = orjson.dumps({"list": found, "more": 1}, default=as_json)
    assert body == orjson.dumps({"list": list(found), "more": 1})
    assert orjson.loads(body)["list"][2] == {"symbol": 'a"b', "share": "0.50", "timestamp": "2"}


def test_nothing_else_is_written_by_the_way() -> None:
    with pytest.raises(TypeError):
        orjson.dumps({"a": object()}, default=as_json)
