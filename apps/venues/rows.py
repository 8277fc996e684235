"""Rows of REST answers: those that fit their struct, and how many do not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

Row = TypeVar("Row", bound=msgspec.Struct)


def readable(body: object, row_type: type[Row]) -> tuple[list[Row], int]:
    """(good rows, number of bad ones), so that one bad row does not cost a page.

    Raises ``TypeError`` when the body is no list.
    """
    if not isinstance(body, list):
        raise TypeError(f"expected a list of {row_type.__name__}, received {type(body).__name__}")
    try:
        return msgspec.convert(body, list[row_type], strict=False), 0  # type: ignore[valid-type]  # a type made at run time
    except (msgspec.ValidationError, ValueError):
        # One by one, to leave out those that do not fit.
        pass
    good: list[Row] = []
    bad = 0
    for entry in body:
        try:
            good.append(msgspec.convert(entry, row_type, strict=False))
        except (msgspec.ValidationError, ValueError):
            bad += 1
    return good, bad


def interval_name(names: Mapping[int, str], seconds: int) -> str:
    """The venue's word for an interval. Raises ``ValueError`` naming those that it has."""
    try:
        return names[seconds]
    except KeyError:
        expected = ", ".join(str(known) for known in names)
        raise ValueError(f"expected an interval of {expected} s, received {seconds}") from None
