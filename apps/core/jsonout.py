"""JSON as the contract has it: plain decimals, never NaN, Infinity or exponent form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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


def _prepare(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NonFiniteNumber(f"expected a finite number, got {value!r}")
        magnitude = abs(value)
        # orjson writes an exponent outside of this range.
        if value != 0.0 and (magnitude < 1e-4 or magnitude >= 1e15):
            return orjson.Fragment(plain_decimal(value))
        # orjson takes no subclass of float, and numpy's double is one.
        return value if type(value) is float else float(value)
    if isinstance(value, Mapping):
        return {key: _prepare(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_prepare(item) for item in value]
    return value


def dumps(value: Any) -> bytes:
    """Encode to compact JSON bytes; raises ``NonFiniteNumber`` on NaN or infinity."""
    return orjson.dumps(_prepare(value))
