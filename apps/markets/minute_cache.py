"""Closed minutes of the last day, kept in the process: each refresh reads only what is new.

A day of minutes of every listing is several hundred thousand rows; all but the last few have been read a
minute ago. Minutes are amended for two minutes after their end and repaired soon after a gap, so the last
``OVERLAP_MS`` are read again every time. What is repaired further back makes ingest name another
generation of the history, at which everything is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, TypeAlias

import numpy as np

from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.volume_flow import DAY_MS, MINUTE_MS, MinuteBars

OVERLAP_MS: Final = 15 * MINUTE_MS
ReadMinutes: TypeAlias = Callable[
    [Sequence[InstrumentRow], int, int], dict[InstrumentRow, MinuteBars]
]
"""(listings, start_ms, end_ms) → their minutes in that range."""


class MinuteCache:
    """Minutes by row id, each complete up to the moment of its last read."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._generation = ""
        self._bars: dict[int, tuple[int, MinuteBars]] = {}

    def read(
        self,
        rows: Sequence[InstrumentRow],
        closed_ms: int,
        end_ms: int,
        generation: str,
        read: ReadMinutes,
    ) -> dict[InstrumentRow, MinuteBars]:
        """Minutes that opened in ``[closed_ms - 24 h, end_ms)``; those before ``closed_ms`` are kept."""
        since = closed_ms - DAY_MS
        with self._lock:
            if generation != self._generation:
                self._generation = generation
                self._bars.clear()
            # A clock that was set back, or a pause longer than the day, starts anew.
            known = [row for row in rows if since < self._until(row) <= closed_ms]
            have = {row.id for row in known}
            fresh = [row for row in rows if row.id not in have]
            if known:
                start = max(since, min(self._until(row) for row in known) - OVERLAP_MS)
                for row, tail in read(known, start, end_ms).items():
                    head = self._bars[row.id][1]
                    self._bars[row.id] = closed_ms, _joined(head, tail, since, start)
            if fresh:
                for row, bars in read(fresh, since, end_ms).items():
                    self._bars[row.id] = closed_ms, bars
            return {row: self._bars[row.id][1] for row in rows}

    def clear(self) -> None:
        with self._lock:
            self._bars.clear()

    def _until(self, row: InstrumentRow) -> int:
        found = self._bars.get(row.id)
        return -1 if found is None else found[0]


def _joined(head: MinuteBars, tail: MinuteBars, since: int, start: int) -> MinuteBars:
    """``head`` from ``since`` up to ``start``, then ``tail``."""
    kept = slice(*np.searchsorted(head.open_ms, [since, start]).tolist())
    return MinuteBars(
        open_ms=np.concatenate((head.open_ms[kept], tail.open_ms)),
        volume_base=np.concatenate((head.volume_base[kept], tail.volume_base)),
        volume_usd=np.concatenate((head.volume_usd[kept], tail.volume_usd)),
        buy_base=np.concatenate((head.buy_base[kept], tail.buy_base)),
        buy_usd=np.concatenate((head.buy_usd[kept], tail.buy_usd)),
        trades=np.concatenate((head.trades[kept], tail.trades)),
    )
