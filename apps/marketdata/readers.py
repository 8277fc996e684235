"""Fast reading of series: each column of the result as one value, straight into numpy.

PostgreSQL strings the binary form of a column's values together (every selected column has one width: NULL
becomes NaN, -1 or blanks in SQL), so that n rows arrive as one record and not as n: several times faster
than row tuples, and no row wakes the client up, which matters when 30 days of 65 assets are rebuilt at start
and when a page of history is read beside other work.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connections

_HEADER_LENGTH: Final = 21
"""Bytes before the first field: signature 11, flags 4, extension length 4, number of fields 2."""
_LENGTH: Final = struct.Struct(">i")
_PG_EPOCH_MS: Final = 946_684_800_000
"""PostgreSQL counts microseconds from 2000-01-01."""


_SEND: Final = {
    ">i8": "timestamptz_send",
    ">f8": "float8send",
    ">i4": "int4send",
    "?": "boolsend",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One selected expression, as SQL of fixed width and its big-endian numpy type."""

    sql: str
    dtype: str
    is_time: bool = False

    @property
    def sent(self) -> str:
        """The expression in PostgreSQL's binary form."""
        return f"{_SEND.get(self.dtype, 'textsend')}({self.sql})"

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
    selected = ", ".join(f"string_agg({column.sent}, ''::bytea)" for column in columns)
    query = (
        f"COPY (SELECT {selected} FROM {table} WHERE {' AND '.join(where)}) "  # noqa: S608 constants
        "TO STDOUT (FORMAT BINARY)"
    )
    if not params[0]:
        return [_native(b"", column) for column in columns]
    with connections["market"].cursor() as cursor, cursor.copy(query, params) as copy:
        data = b"".join(copy)
    found = _parse(data, columns)
    order = np.lexsort((found[1], found[0]))
    return [values[order] for values in found]


def _parse(data: bytes, columns: Sequence[Column]) -> list[npt.NDArray[Any]]:
    """One record; each field is its length (int32, -1 for NULL: there are no rows) and its bytes."""
    found: list[npt.NDArray[Any]] = []
    position = _HEADER_LENGTH
    for column in columns:
        (length,) = _LENGTH.unpack_from(data, position)
        start = position + _LENGTH.size
        position = start + max(0, length)
        found.append(_native(memoryview(data)[start:position], column))
    return found


def _native(values: bytes | memoryview, column: Column) -> npt.NDArray[Any]:
    raw = np.frombuffer(values, dtype=np.dtype(column.dtype))
    native = raw.astype(raw.dtype.newbyteorder("="))
    return native // 1000 + _PG_EPOCH_MS if column.is_time else native
