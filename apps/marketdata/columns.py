"""Many rows of one type, kept by the column: a month of history is a few arrays, not thousands of objects.

To a reader they are a sequence of rows, each made when it is looked at; what handles all rows alike takes
the columns. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar, overload

import msgspec
import numpy as np
import numpy.typing as npt

Row = TypeVar("Row")
Array: TypeAlias = npt.NDArray[Any]
Column: TypeAlias = Array | list[Any] | str | float | bool | msgspec.Struct | None
"""A value per row, or one that all rows share."""


def fields_of(row_type: type[Any]) -> tuple[str, ...]:
    """Of a msgspec struct or a named tuple."""
    names: tuple[str, ...] = getattr(row_type, "__struct_fields__", None) or row_type._fields
    return names


class Columns(Sequence[Row]):
    """Rows of ``row_type``: a column for each of its fields, in their order."""

    __slots__ = ("_columns", "_count", "row_type")

    def __init__(self, row_type: type[Row], count: int, columns: Mapping[str, Column]) -> None:
        if tuple(columns) != fields_of(row_type):
            raise TypeError(f"{row_type.__name__}: expected its fields, received {tuple(columns)}")
        self.row_type = row_type
        self._count = count
        self._columns = columns

    @classmethod
    def of(cls, row_type: type[Row], rows: Iterable[Row]) -> Columns[Row]:
        """The same rows by the column."""
        if isinstance(rows, Columns):
            return rows
        found = list(rows)
        columns: dict[str, Column] = {
            name: list(map(attrgetter(name), found)) for name in fields_of(row_type)
        }
        return cls(row_type, len(found), columns)

    def column(self, name: str) -> Column:
        """As it is kept."""
        return self._columns[name]

    def array(self, name: str, dtype: Any = np.float64) -> Array:
        """A value per row; as a float, None is NaN."""
        column = self._columns[name]
        if isinstance(column, np.ndarray):
            return column.astype(dtype, copy=False)
        if isinstance(column, list):
            return np.array(column, dtype=dtype)
        return np.full(self._count, column, dtype=dtype)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Columns[Row]:
        """The rows that are chosen."""
        if chosen.all():
            return self
        at = np.flatnonzero(chosen)
        picked: dict[str, Column] = {}
        for name, column in self._columns.items():
            if isinstance(column, np.ndarray):
                picked[name] = column[at]
            elif isinstance(column, list):
                picked[name] = [column[number] for number in at.tolist()]
            else:
                picked[name] = column
        return Columns(self.row_type, len(at), picked)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        each = (
            column.tolist()
            if isinstance(column, np.ndarray)
            else column
            if isinstance(column, list)
            else repeat(column, self._count)
            for column in self._columns.values()
        )
        return map(self.row_type, *each)

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...

    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return list(self)[at]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has none either
