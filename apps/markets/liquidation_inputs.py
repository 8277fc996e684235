"""When liquidations were listened to, and their 30-day windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata.context_windows import Grid, sum_slots
from apps.marketdata.liquidations import liquidations
from apps.marketdata.live import LiveBoard, SourceStatus
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier
from apps.marketdata.watching import LIQUIDATIONS, watch_spans
from apps.markets.engines.liquidations import rolling_total, watched_ms
from apps.markets.past import Past
from apps.markets.refresh_context import (
    HOUR_MS,
    TIER_GRIDS,
    past_window,
    positions,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# A venue that was heard this lately is being listened to; live states are written every second.
_HEARD_MS: Final = 10_000


class Watch:
    """Spans in which each listing's liquidations were listened to, by row id."""

    def __init__(self, spans: Mapping[int, tuple[IntArray, IntArray]]) -> None:
        self._spans = spans

    @classmethod
    def read(
        cls,
        rows: Sequence[InstrumentRow],
        start_ms: int,
        end_ms: int,
        as_of_ms: int | None,
        board: LiveBoard | None,
    ) -> Watch:
        """Spans that touch the range; ``board`` adds what is being listened to now."""
        stored = watch_spans(LIQUIDATIONS, [row.id for row in rows], start_ms, end_ms, as_of_ms)
        spans = {row.id: stored.of(row.id) for row in rows}
        if board is not None:
            for row in rows:
                going_on = _going_on(row, board, end_ms)
                if going_on is not None:
                    since, until = spans[row.id]
                    spans[row.id] = np.append(since, going_on[0]), np.append(until, going_on[1])
        return cls(spans)

    def before(self, row_id: int, edges_ms: IntArray) -> FloatArray:
        """Milliseconds listened to before each edge."""
        return watched_ms(*self._spans[row_id], edges_ms)

    def shares(self, row_id: int, lengths_ms: Sequence[int], end_ms: int) -> list[float]:
        """Part of the time that was listened to, of stretches that end together."""
        lengths = np.array(lengths_ms, dtype=np.int64)
        seen = self.before(row_id, np.append(end_ms - lengths, end_ms))
        found: list[float] = ((seen[-1] - seen[:-1]) / lengths).tolist()
        return found

    def until_ms(self, row_id: int) -> int | None:
        """When it was last listened to; None: never in the range."""
        _, until = self._spans[row_id]
        return int(until.max()) if until.size else None

    def spans(self, row_id: int) -> tuple[IntArray, IntArray]:
        return self._spans[row_id]


def _going_on(row: InstrumentRow, board: LiveBoard, now_ms: int) -> tuple[int, int] | None:
    state, source = board.get(row.instrument.key), board.sources.get(row.instrument.venue)
    if state is None or state.liquidations_since_ms is None or source is None:
        return None
    until_ms = _heard_until(source, now_ms)
    since_ms = state.liquidations_since_ms
    return None if until_ms is None or until_ms <= since_ms else (since_ms, until_ms)


def _heard_until(source: SourceStatus, now_ms: int) -> int | None:
    """An ingest process that died leaves its last word behind: it counts for no longer than it was heard."""
    if source.last_ok_ms is None:
        return None
    return now_ms if now_ms - source.last_ok_ms <= _HEARD_MS else source.last_ok_ms


def liquidation_window(
    rows: Sequence[InstrumentRow],
    tier: AssetTier,
    t_ms: int,
    *,
    as_of_ms: int | None,
    generation: str,
) -> Past:
    """USD liquidated in the hour before each slot's end, one row per listing; NaN where it was unwatched."""
    grid = TIER_GRIDS[tier]
    width = HOUR_MS // grid.slot_ms
    wide = Grid(grid.slot_s, grid.slots + width - 1)
    ids = [row.id for row in rows]

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = wide.bounds_ms(first, end)
        found = liquidations(ids, start_ms, end_ms, as_of_ms)
        place = positions(found.instrument_id, ids)
        usd = sum_slots(place, found.ts_ms, found.usd, len(ids), wide, first, end)
        watch = Watch.read(rows, start_ms, end_ms, as_of_ms, None)
        edges = np.arange(first, end + 1) * wide.slot_ms
        shares = [np.diff(watch.before(one, edges)) / wide.slot_ms for one in ids]
        return np.concatenate([np.nan_to_num(usd), np.reshape(shares, (len(ids), end - first))])

    stacked = past_window(
        f"liquidations_{tier.value}",
        wide,
        [f"{what}|{row.instrument.key}" for what in ("usd", "watched") for row in rows],
        t_ms,
        load,
        as_of_ms=as_of_ms,
        generation=generation,
    )

    def rolled(values: FloatArray) -> FloatArray:
        usd, watched = np.split(values, 2)
        return rolling_total(usd, watched, width)

    return stacked.derived("rolled", rolled)
