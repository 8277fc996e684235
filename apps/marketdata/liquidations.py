"""Reads of stored liquidations: as arrays for sums, and event by event for listings.

A listing goes on after a key ``(ts, instrument, event id)``: events that share a millisecond are told apart,
so that none is lost or repeated where a page ends between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connections

from apps.marketdata.events import Quality
from apps.marketdata.readers import Column, read_columns

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

EVENT_ID_CHARS: Final = 96
_QUALITIES: Final = tuple(Quality)
_CASES: Final = " ".join(f"WHEN '{one.value}' THEN {at}" for at, one in enumerate(_QUALITIES))
_COLUMNS: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    Column.boolean("side = 'long'"),
    *(Column.float64(name) for name in ("price", "qty_base", "notional_usd")),
    Column.int32(f"CASE quality {_CASES} END"),
    Column.text("event_id", EVENT_ID_CHARS),
)


@dataclass(frozen=True, slots=True)
class Liquidations:
    """Forced closes by time, then instrument; ``is_long``: a long was closed. ``quality``: see
    :meth:`quality_of`."""

    ts_ms: IntArray
    instrument_id: npt.NDArray[np.int32]
    is_long: npt.NDArray[np.bool_]
    price: FloatArray
    qty_base: FloatArray
    usd: FloatArray
    quality: npt.NDArray[np.int32]
    event_id: npt.NDArray[np.bytes_]

    def take(self, rows: npt.NDArray[Any]) -> Liquidations:
        return Liquidations(*(getattr(self, name)[rows] for name in self.__slots__))

    def quality_of(self, row: int) -> Quality:
        return _QUALITIES[int(self.quality[row])]

    def id_of(self, row: int) -> str:
        return bytes(self.event_id[row]).decode().rstrip()


class EventKey(NamedTuple):
    """Where a listing has got to."""

    ts_ms: int
    instrument_id: int
    event_id: str


class LiquidationRecord(NamedTuple):
    """One stored liquidation."""

    key: EventKey
    side: str
    price: float
    qty_base: float
    usd: float
    quality: str


def liquidations(
    instrument_ids: Sequence[int], start_ms: int, end_ms: int, as_of_ms: int | None = None
) -> Liquidations:
    """Events with ``start <= ts < end``; with ``as_of_ms`` only those known by then."""
    as_of = None if as_of_ms is None else _at(as_of_ms)
    return Liquidations(
        *read_columns("liquidation", _COLUMNS, instrument_ids, _at(start_ms), _at(end_ms), as_of)
    )


def liquidation_listing(
    instrument_ids: Sequence[int],
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
    after: EventKey | None,
    limit: int,
) -> list[LiquidationRecord]:
    """The first ``limit`` events of the range behind ``after``, by key: each instrument's are read in the
    order of its index, and no more than are wanted."""
    where = ["one.instrument_id = listed.id", "one.ts >= %s", "one.ts < %s"]
    params: list[Any] = [list(instrument_ids), _at(start_ms), _at(end_ms)]
    if after is not None:
        where += ["one.ts >= %s", "(one.ts, one.instrument_id, one.event_id) > (%s, %s, %s)"]
        params += [_at(after.ts_ms), _at(after.ts_ms), after.instrument_id, after.event_id]
    if as_of_ms is not None:
        where.append("one.known_at <= %s")
        params.append(_at(as_of_ms))
    with connections["market"].cursor() as cursor:
        cursor.execute(
            "SELECT found.* FROM unnest(%s::int[]) AS listed(id), LATERAL ("  # noqa: S608 constants
            "SELECT one.ts, one.instrument_id, one.event_id, one.side, one.price, one.qty_base, "
            "one.notional_usd, one.quality FROM liquidation AS one "
            f"WHERE {' AND '.join(where)} ORDER BY one.ts, one.event_id LIMIT %s"
            ") AS found ORDER BY found.ts, found.instrument_id, found.event_id LIMIT %s",
            [*params, limit, limit],
        )
        return [
            LiquidationRecord(EventKey(_ms(ts), instrument_id, event_id), *rest)
            for ts, instrument_id, event_id, *rest in cursor.fetchall()
        ]


def _at(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
