"""Shares of longs that venues publish: which series there are, who has which, and reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata.readers import Column, read_columns

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ACCOUNTS: Final = "accounts"
TOP_ACCOUNTS: Final = "top_accounts"
TOP_POSITIONS: Final = "top_positions"
TAKER: Final = "taker"
SERIES: Final = (ACCOUNTS, TOP_ACCOUNTS, TOP_POSITIONS, TAKER)
"""Of all accounts, of the top traders' accounts, of their positions, of what takers traded."""

SNAPSHOT_S: Final = 300
"""Venues take a new sample of accounts and positions this often."""
TAKER_S: Final = 1_800
"""Takers are counted over whole periods of this length: the past of all venues reaches back 30 days."""
HISTORY_S: Final = 1_800
"""Distance of the samples that are fetched of the past."""

_PUBLISHED: Final[Mapping[str, tuple[str, ...]]] = {
    "binance": SERIES,
    "bybit": (ACCOUNTS,),
    "okx": SERIES,
}


def published_series(venue: str) -> tuple[str, ...]:
    """What a venue publishes; the adapters' offers say the same."""
    return _PUBLISHED.get(venue, ())


@dataclass(frozen=True, slots=True)
class PositioningSeries:
    """Shares of longs (0 to 1). ``ts_ms``: the moment, of takers the end of their period."""

    ts_ms: IntArray
    instrument_id: npt.NDArray[np.int32]
    series: IntArray
    """Position in ``SERIES``."""
    long_share: FloatArray
    period_s: npt.NDArray[np.int32]
    is_past: npt.NDArray[np.bool_]
    """Fetched as history, ``HISTORY_S`` apart."""
    known_at_ms: IntArray


_PLACE: Final = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(SERIES))
_COLUMNS: Final = (
    Column.time("ts"),
    Column.int32("instrument_id"),
    Column.int32(f"CASE series {_PLACE} END"),
    Column.float64("long_share"),
    Column.int32("period_s"),
    Column.boolean("origin = 'venue'"),
    Column.time("known_at"),
)


def positioning_series(
    instrument_ids: Sequence[int], start: datetime, end: datetime, as_of: datetime | None = None
) -> PositioningSeries:
    """All series of these listings with ``start <= ts < end``, by time."""
    ts, ids, series, share, period, is_past, known = read_columns(
        "positioning", _COLUMNS, instrument_ids, start, end, as_of
    )
    return PositioningSeries(ts, ids, series.astype(np.int64), share, period, is_past, known)
