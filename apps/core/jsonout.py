"""JSON as the contract has it: plain decimals, never NaN, Infinity or exponent form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson


class NonFiniteNumber(ValueError):
    """A NaN or an infinity reached the encoder: an engine forgot to turn it into null and a reason."""


def plain_decimal(value: float) -> str:
    """The shortest decimal that reads back as ``value``, without an exponent."""
    if not math.isfinite(value):
        raise NonFiniteNumber(f"expected a finite number, got {value!r}")
    # Not repr(): a numpy double would answer "np.float64(…)".
    text = float.__repr__(value)
    if "e" not in text:
        return text
    mantissa, _, exponent_text = text.partition("e")
    exponent = int(exponent_text)
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = whole + fraction
    point = len(whole) + exponent
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}.0"
    return f"{sign}{digits[:point]}.{digits[point:]}"


# orjson writes an exponent outside of this range.
_SMALLEST: Final = 1e-4
_LARGEST: Final = 1e15


# What orjson writes as it is.
_AS_IT_IS: Final = frozenset({str, int, bool, type(None)})


def is_plain(value: float) -> bool:
    """Whether a number is finite and would not be written with an exponent."""
    # Every comparison with NaN is false.
    return _SMALLEST <= value < _LARGEST or -_LARGEST < value <= -_SMALLEST or value == 0.0


def _prepare(value: Any) -> Any:
    # Exact types first: answers are thousands of plain floats, strings and dicts.
    kind = type(value)
    if kind is float:
        if is_plain(value):
            return value
        return orjson.Fragment(plain_decimal(value))
    if kind in _AS_IT_IS:
        return value
    if kind is dict:
        return {
            key: item if type(item) in _AS_IT_IS else _prepare(item) for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_prepare(item) for item in value]
    return _prepare_unusual(value)


def _prepare_unusual(value: Any) -> Any:
    """Subclasses, such as numpy's double, which orjson does not take."""
    if isinstance(value, float):
        return _prepare(float(value))
    if isinstance(value, Mapping):
        return {key: _prepare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_prepare(item) for item in value]
    return value


class PlainNumbers(dict[str, Any]):
    """A document whose numbers were looked at already: see :func:`are_plain` and :func:`is_plain`."""


def are_plain(*columns: npt.NDArray[np.float64]) -> bool:
    """Whether every number is finite and none would be written with an exponent."""
    for values in columns:
        size = np.abs(values)
        if not np.all(((size >= _SMALLEST) & (size < _LARGEST)) | (size == 0.0)):
            return False
    return True


def dumps(value: Any) -> bytes:
    """Encode to compact JSON bytes; raises ``NonFiniteNumber`` on NaN or infinity."""
    if type(value) is PlainNumbers:
        return orjson.dumps(value)
    return orjson.dumps(_prepare(value))
