"""Stored marks and indices as a basis, and its 30-day windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveBoard
from apps.marketdata.selectors import BasisSeries, InstrumentRow
from apps.marketdata.universe import AssetTier
from apps.markets.engines.basis import SAME_MOMENT_MS, basis
from apps.markets.past import Past
from apps.markets.refresh_context import TIER_GRIDS, held_slots, past_window
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]

HOLD_MS: Final = {AssetTier.HOT: 15 * 60_000, AssetTier.COLD: 45 * 60_000}
"""How long a sample stays valid: three of five minutes, one and a half of 30."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What a venue says of one contract; None is unknown. ``ts_ms`` is the mark's venue time.

    ``index_price`` is None where the index is of another moment than the mark: ``is_apart`` then.
    """

    row: InstrumentRow
    mark_price: float | None = None
    index_price: float | None = None
    ts_ms: int | None = None
    is_apart: bool = False

    @property
    def basis(self) -> float:
        """Decimal, NaN where either price is unknown."""
        if self.mark_price is None or self.index_price is None:
            return float("nan")
        return float(basis(np.array([self.mark_price]), np.array([self.index_price]))[0])


def live_marks(rows: Iterable[InstrumentRow], board: LiveBoard) -> dict[int, Marked]:
    """By row id, from live state."""
    found: dict[int, Marked] = {}
    for row in rows:
        state = board.get(row.instrument.key)
        if state is None or state.mark_ts_ms is None:
            found[row.id] = Marked(row)
            continue
        index_ms = state.index_ts_ms
        is_apart = index_ms is not None and abs(state.mark_ts_ms - index_ms) > SAME_MOMENT_MS
        has_index = index_ms is not None and not is_apart
        found[row.id] = Marked(
            row=row,
            mark_price=state.mark_price,
            index_price=state.index_price if has_index else None,
            ts_ms=state.mark_ts_ms,
            is_apart=is_apart,
        )
    return found


def stored_marks(
    rows: Sequence[InstrumentRow], as_of_ms: int, hold_ms: int
) -> Mapping[int, Marked]:
    """The last samples known at ``as_of_ms``, no older than ``hold_ms``."""
    series = selectors.basis_series(
        [row.id for row in rows],
        as_datetime(as_of_ms - hold_ms),
        as_datetime(as_of_ms + 1),
        as_datetime(as_of_ms),
    )
    last = {int(one): index for index, one in enumerate(series.instrument_id)}
    return {
        row.id: _marked(row, series, last[row.id]) if row.id in last else Marked(row)
        for row in rows
    }


def _marked(row: InstrumentRow, series: BasisSeries, index: int) -> Marked:
    return Marked(
        row=row,
        mark_price=float(series.mark_price[index]),
        index_price=float(series.index_price[index]),
        ts_ms=int(series.ts_ms[index]),
    )


def dated_listings(
    assets: Iterable[str], after_ms: int, *, is_past: bool = False
) -> list[InstrumentRow]:
    """Dated futures of these assets that are delivered after a moment, nearest first.

    ``is_past``: also those that their venue has dropped since, as delivered contracts are.
    """
    wanted = set(assets)
    found = [
        (row.instrument.expiry_ms, row.instrument.symbol, row)
        for row in selectors.instruments(kind=InstrumentKind.FUTURE, include_inactive=is_past)
        if row.instrument.asset in wanted and row.instrument.expiry_ms is not None
    ]
    alive = [one for one in found if one[0] > after_ms]
    return [row for *_, row in sorted(alive, key=lambda one: one[:2])]


def basis_window(
    rows: Sequence[InstrumentRow],
    tier: AssetTier,
    t_ms: int,
    *,
    as_of_ms: int | None,
    generation: str,
) -> Past:
    """Basis (decimal) at each slot's end, one row per perpetual."""
    grid, hold_ms = TIER_GRIDS[tier], HOLD_MS[tier]
    ids = [row.id for row in rows]
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = grid.bounds_ms(first, end)
        series = selectors.basis_series(
            ids, as_datetime(start_ms - hold_ms), as_datetime(end_ms), as_of
        )
        values = basis(series.mark_price, series.index_price)
        return held_slots(series, values, hold_ms, ids, grid, first, end)

    return past_window(
        f"basis_{tier.value}",
        grid,
        [row.instrument.key for row in rows],
        t_ms,
        load,
        as_of_ms=as_of_ms,
        generation=generation,
    )
