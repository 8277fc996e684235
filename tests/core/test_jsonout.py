from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.jsonout import NonFiniteNumber, PlainNumbers, are_plain, dumps, plain_decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e-5, "0.00001"),
        (-1.25e-7, "-0.000000125"),
        (1e16, "10000000000000000.0"),
        (1.5e300, "15" + "0" * 299 + ".0"),
        (1.2345678901234567e17, "123456789012345660.0"),
        (0.1, "0.1"),
    ],
)
def test_plain_decimals(value: float, text: str) -> None:
    assert plain_decimal(value) == text
    assert Decimal(text) == Decimal(repr(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_back_and_has_no_exponent(value: float) -> None:
    encoded = dumps({"x": [value]}).decode()
    assert "e" not in encoded
    assert "E" not in encoded
    assert json.loads(encoded)["x"][0] == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": {"b": (v,)}}])
def test_it_refuses_what_is_not_a_number(value: float, wrap: Any) -> None:
    with pytest.raises(NonFiniteNumber):
        dumps(wrap(value))
    with pytest.raises(NonFiniteNumber):
        plain_decimal(value)


def test_numpy_doubles_are_plain_too() -> None:
    assert dumps({"x": np.float64(1e-9)}) == b'{"x":0.000000001}'
    assert dumps([np.float64(0.5)]) == b"[0.5]"
    with pytest.raises(NonFiniteNumber):
        dumps([np.float64("nan")])


def test_other_values_are_json_as_usual() -> None:
    assert (
        dumps({"a": None, "b": True, "c": 1, "d": "é\n"})
        == '{"a":null,"b":true,"c":1,"d":"é\\n"}'.encode()
    )


@given(st.lists(st.floats(), min_size=1, max_size=5))
def test_numbers_that_pass_the_look_at_all_at_once_are_written_alike(values: list[float]) -> None:
    if are_plain(np.array(values)):
        assert dumps(PlainNumbers(x=values)) == dumps({"x": values})
        assert b"e" not in dumps(PlainNumbers(x=values))


def test_the_look_at_all_at_once_lets_nothing_through() -> None:
    plain = np.array([0.0, -0.0, 1e-4, -1e-4, 999_999_999_999_999.0, 67_000.5])
    assert are_plain(plain, plain)
    for bad in (math.nan, math.inf, -math.inf, 9.9e-5, -1e-9, 1e15, -1e300):
        assert not are_plain(plain, np.array([1.0, bad]))
