"""Fast reading of series: binary COPY of fixed-width rows straight into numpy.

Every selected column has one width (NULL becomes NaN, -1 or blanks in SQL), so a result of n rows is n
equal records and ``np.frombuffer`` reads them all at once: about ten times faster than row tuples, which
matters when 30 days of 65 assets are rebuilt at start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connections

_HEADER_LENGTH: Final = 19
"""Bytes before the first record: signature 11, flags 4, extension length 4 (always 0 here)."""
_TRAILER: Final = b"\xff\xff"
_PG_EPOCH_MS: Final = 946_684_800_000
"""PostgreSQL counts microseconds from 2000-01-01."""


@dataclass(frozen=True, slots=True)
class Column:
    """One selected expression, as SQL of fixed width and its big-endian numpy type."""

    sql: str
    dtype: str
    is_time: bool = False

    @staticmethod
    def time(name: str) -> Column:
        return Column(name, ">i8", is_time=True)

    @staticmethod
    def float64(name: str) -> Column:
        return Column(f"coalesce({name}, 'NaN'::float8)", ">f8")

    @staticmethod
    def int32(name: str) -> Column:
        return Column(f"coalesce({name}, -1)::int4", ">i4")

    @staticmethod
    def boolean(expression: str) -> Column:
        return Column(f"({expression})", "?")

    @staticmethod
    def text(name: str, width: int) -> Column:
        return Column(f"rpad({name}, {width})", f"S{width}")


def read_columns(
    table: str,
    columns: Sequence[Column],
    instrument_ids: Sequence[int],
    start: datetime,
    end: datetime,
    as_of: datetime | None,
    **equal: str | int,
) -> list[npt.NDArray[Any]]:
    """The columns of the rows of these instruments with ``start <= ts < end``, by time, then id.

    The first two columns must be ``ts`` and ``instrument_id``. Sorting here takes a tenth of the time
    that it takes in PostgreSQL, whose rows come by instrument.
    """
    # Table and column names are constants of this package; values are bound.
    where = ["instrument_id = ANY(%s)", "ts >= %s", "ts < %s"]
    params: list[Any] = [[int(one) for one in instrument_ids], start, end]
    if as_of is not None:
        where.append("known_at <= %s")
        params.append(as_of)
    for name, value in equal.items():
        where.append(f"{name} = %s")
        params.append(value)
    selected = ", ".join(column.sql for column in columns)
    query = (
        f"COPY (SELECT {selected} FROM {table} WHERE {' AND '.join(where)}) "  # noqa: S608 constants
        "TO STDOUT (FORMAT BINARY)"
    )
    if not params[0]:
        return _parse(b"", columns)
    with connections["market"].cursor() as cursor, cursor.copy(query, params) as copy:
        data = b"".join(copy)
    found = _parse(data[_HEADER_LENGTH:].removesuffix(_TRAILER), columns)
    order = np.lexsort((found[1], found[0]))
    return [values[order] for values in found]


def _parse(records: bytes, columns: Sequence[Column]) -> list[npt.NDArray[Any]]:
    """Each record: field count (int16), then length (int32) and value of every field."""
    layout: list[tuple[str, str]] = [("n", ">i2")]
    for position, column in enumerate(columns):
        layout += [(f"l{position}", ">i4"), (f"v{position}", column.dtype)]
    table = np.frombuffer(records, dtype=np.dtype(layout))
    found: list[npt.NDArray[Any]] = []
    for position, column in enumerate(columns):
        values = table[f"v{position}"]
        native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("=")))
        found.append(native // 1000 + _PG_EPOCH_MS if column.is_time else native)
    return found
