"""Stored bars as candles: the longest whole bars, and shorter ones where those are missing or partial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.live import LiveBoard, OpenBar
from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.ohlcv import Candles, joined, merged, rolled_up, traded
from apps.markets.refresh_context import positions
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]

# Lengths in which bars are stored, longest first, seconds.
_STORED_S: Final = (3600, 1800, 300, 60)


def lengths_of(interval_ms: int) -> tuple[int, ...]:
    """Stored lengths (seconds) that an interval can be made of, longest first."""
    return tuple(one for one in _STORED_S if interval_ms % (one * 1000) == 0)


def stored_candles(
    ids: Sequence[int], interval_ms: int, start_ms: int, end_ms: int, as_of_ms: int | None
) -> Candles:
    """Candles of ``interval_ms`` that open in ``[start, end)``; ``series`` is the position in ``ids``.

    ``start_ms`` is an opening of the interval. Shorter bars are read only where longer ones leave gaps.
    """
    best = _best(ids, lengths_of(interval_ms), start_ms, end_ms, as_of_ms)
    return rolled_up(best, interval_ms)


def bars_of(
    ids: Sequence[int], length_s: int, start_ms: int, end_ms: int, as_of_ms: int | None
) -> Candles:
    """Stored bars of one length in which something was traded."""
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    found = selectors.bar_series(ids, length_s, as_datetime(start_ms), as_datetime(end_ms), as_of)
    trades = found.trades.astype(np.float64)
    candles = Candles(
        series=positions(found.instrument_id, ids),
        open_ms=found.ts_ms,
        open=found.open,
        high=found.high,
        low=found.low,
        close=found.close,
        volume_base=found.volume_base,
        volume_usd=found.volume_usd,
        trades=np.where(trades < 0, np.nan, trades),
        is_partial=found.is_partial,
    )
    return traded(candles.take(np.lexsort((candles.open_ms, candles.series))))


def _best(
    ids: Sequence[int],
    lengths: Sequence[int],
    start_ms: int,
    end_ms: int,
    as_of_ms: int | None,
) -> Candles:
    longest, *shorter = lengths
    bars = bars_of(ids, longest, start_ms, end_ms, as_of_ms)
    if not shorter:
        return bars
    step_ms = longest * 1000
    slots = -(-(end_ms - start_ms) // step_ms)
    gaps = np.ones((len(ids), slots), np.bool_)
    whole = bars.take(~bars.is_partial)
    gaps[whole.series, (whole.open_ms - start_ms) // step_ms] = False
    rows, columns = np.flatnonzero(gaps.any(axis=1)), np.flatnonzero(gaps.any(axis=0))
    if not rows.size:
        return bars
    found = _best(
        [ids[row] for row in rows.tolist()],
        shorter,
        start_ms + int(columns[0]) * step_ms,
        min(end_ms, start_ms + (int(columns[-1]) + 1) * step_ms),
        as_of_ms,
    )
    rolled = rolled_up(found, step_ms)
    if not rolled.size:
        return bars
    placed = Candles(rows[rolled.series], *(getattr(rolled, name) for name in _VALUES))
    return merged(bars, placed)


_VALUES: Final = tuple(Candles.__dataclass_fields__)[1:]


def bars_by_id(
    rows: Sequence[InstrumentRow], step_ms: int, start_ms: int, end_ms: int, as_of_ms: int | None
) -> Candles:
    """Stored bars of all listings, ordered by id, then time; ``series`` is the id."""
    ids = sorted(row.id for row in rows)
    bars = bars_of(ids, step_ms // 1000, start_ms, end_ms, as_of_ms)
    return replace(bars, series=np.array(ids, np.int64)[bars.series])


def places_of(candles: Candles, ids: npt.NDArray[np.int64]) -> list[slice]:
    """Where the candles of each id lie."""
    starts = np.searchsorted(candles.series, ids).tolist()
    ends = np.searchsorted(candles.series, ids, side="right").tolist()
    return [slice(*edges) for edges in zip(starts, ends, strict=True)]


def with_open_bars(candles: Candles, rows: Sequence[InstrumentRow], board: LiveBoard) -> Candles:
    """Each listing's bar in the making at its end; where its minute is stored already, the fuller one
    counts."""
    keep = np.ones(candles.size, np.bool_)
    making = []
    ends = np.searchsorted(candles.series, [row.id for row in rows], side="right").tolist()
    for row, end in zip(rows, ends, strict=True):
        state = board.get(row.instrument.key)
        bar = None if state is None else state.open_bar
        if bar is None or bar.volume_base <= 0 or bar.volume_usd <= 0:
            continue
        if end and candles.series[end - 1] == row.id:
            newest_ms = candles.open_ms[end - 1]
            if newest_ms > bar.open_ts_ms:
                continue
            if newest_ms == bar.open_ts_ms:
                if candles.volume_usd[end - 1] >= bar.volume_usd:
                    continue
                keep[end - 1] = False
        making.append((row.id, bar))
    return joined([candles.take(keep), _candles_of(making)]) if making else candles


def _candles_of(bars: Sequence[tuple[int, OpenBar]]) -> Candles:
    def column(name: str) -> FloatArray:
        return np.array([getattr(bar, name) for _, bar in bars], dtype=np.float64)

    return Candles(
        series=np.array([series for series, _ in bars], dtype=np.int64),
        open_ms=np.array([bar.open_ts_ms for _, bar in bars], dtype=np.int64),
        open=column("open"),
        high=column("high"),
        low=column("low"),
        close=column("close"),
        volume_base=column("volume_base"),
        volume_usd=column("volume_usd"),
        trades=column("trades"),
        is_partial=np.zeros(len(bars), np.bool_),
    )
