"""Rows in the binary form of PostgreSQL's COPY, made a column at a time.

Rows whose fields have the same widths share one numpy record type, so that thousands of them are laid out by
a few array assignments; a NULL and a text of another length are another width. Nothing has to be parsed on
the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.marketdata.columns import Column, Columns
from apps.marketdata.rows import SeriesRow, SeriesTable

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = -1
_PG_EPOCH_MS: Final = 946_684_800_000
"""PostgreSQL counts microseconds from 2000-01-01."""
_NUMBERS: Final = {"bigint": ">i8", "int": ">i4", "boolean": "?", "float8": ">f8"}


@dataclass(frozen=True, slots=True)
class _Field:
    """One column: values, and bytes of each (one number where all are alike), -1 for NULL."""

    values: npt.NDArray[Any]
    widths: npt.NDArray[np.int64] | int

    def dtype(self, width: int) -> str:
        return f"S{width}" if self.values.dtype.kind == "S" else self.values.dtype.str


def encode_rows(table: SeriesTable, rows: Sequence[SeriesRow]) -> bytes:
    """For the table itself: times as timestamps."""
    return _encode(len(rows), list(_fields(table, rows, is_staged=False)))


def encode_staged(table: SeriesTable, rows: Sequence[SeriesRow]) -> bytes:
    """For the staging table: the row's number first, times in milliseconds."""
    order = _Field(np.arange(len(rows), dtype=">i4"), 4)
    return _encode(len(rows), [order, *_fields(table, rows, is_staged=True)])


def _fields(table: SeriesTable, rows: Sequence[SeriesRow], *, is_staged: bool) -> Iterator[_Field]:
    columns: Iterable[Column]
    if isinstance(rows, Columns):
        columns = [rows.column(name) for name in table.columns]
    else:
        columns = map(list, zip(*rows, strict=True))
    for name, kind, values in zip(table.columns, table.column_types, columns, strict=True):
        if kind == "text":
            yield _texts(values)
        elif name in table.TIME and not is_staged:
            since = np.asarray(values, dtype=np.int64) - _PG_EPOCH_MS
            yield _Field((since * 1000).astype(">i8"), 8)
        else:
            yield _numbers(values, np.dtype(_NUMBERS[kind]))


def _numbers(values: Column, dtype: np.dtype[Any]) -> _Field:
    """None, and a float that is not finite, become NULL."""
    if values is None:
        return _Field(np.zeros((), dtype=dtype), _NULL)
    if dtype.kind == "f":
        floats = np.asarray(values, dtype=np.float64)
        missing = ~np.isfinite(floats)
        found = floats.astype(dtype)
    elif isinstance(values, list) and None in values:
        missing = np.array([one is None for one in values])
        found = np.array([one or 0 for one in values], dtype=dtype)
    else:
        return _Field(np.asarray(values).astype(dtype), dtype.itemsize)
    if not missing.any():
        return _Field(found, dtype.itemsize)
    if not missing.ndim:
        return _Field(found, _NULL)
    return _Field(found, np.where(missing, _NULL, dtype.itemsize))


def _texts(values: Any) -> _Field:
    if isinstance(values, str):
        values = [values]
    first = values[0]
    if first is not None and values.count(first) == len(values):
        one = _bytes(first)
        return _Field(np.array(one, dtype=f"S{len(one)}"), len(one))
    if None not in values:
        together = "".join(values)
        if together.isascii() and "\0" not in together:
            plain = np.array(values, dtype="S")
            return _Field(plain, np.char.str_len(plain))
    encoded = [_bytes(value) for value in values]
    widths = np.array(
        [_NULL if value is None else len(encoded[at]) for at, value in enumerate(values)]
    )
    return _Field(np.array(encoded, dtype="S"), widths)


def _bytes(value: str | None) -> bytes:
    # No text of PostgreSQL holds a zero.
    return b"" if value is None else value.replace("\0", "").encode()


def _encode(count: int, fields: Sequence[_Field]) -> bytes:
    if not count:
        return _HEADER + _END
    uneven = [field.widths for field in fields if not isinstance(field.widths, int)]
    if not uneven:
        return b"".join((_HEADER, _records(count, fields, slice(None), 0), _END))
    shape = np.zeros(count, dtype=np.int64)
    for widths in uneven:
        base = int(widths.max()) - _NULL + 1
        shape = np.unique(shape * base + widths - _NULL, return_inverse=True)[1]
    parts = []
    for one in range(int(shape.max()) + 1):
        chosen = np.flatnonzero(shape == one)
        parts.append(_records(len(chosen), fields, chosen, int(chosen[0])))
    return b"".join((_HEADER, *parts, _END))


def _records(
    count: int, fields: Sequence[_Field], chosen: npt.NDArray[np.intp] | slice, first: int
) -> bytes:
    """The chosen rows, which are of the same widths: those of the row ``first``."""
    widths = [
        field.widths if isinstance(field.widths, int) else int(field.widths[first])
        for field in fields
    ]
    layout: list[tuple[str, str]] = [("count", ">i2")]
    for at, (field, width) in enumerate(zip(fields, widths, strict=True)):
        layout.append((f"width{at}", ">i4"))
        if width > 0:
            layout.append((f"value{at}", field.dtype(width)))
    records = np.empty(count, dtype=layout)
    records["count"] = len(fields)
    for at, (field, width) in enumerate(zip(fields, widths, strict=True)):
        records[f"width{at}"] = width
        if width > 0:
            records[f"value{at}"] = field.values[chosen] if field.values.ndim else field.values
    return records.tobytes()
