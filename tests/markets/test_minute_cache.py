"""Kept minutes are what a fresh read says, and only the new ones are read."""

from __future__ import annotations

import numpy as np

from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.volume_flow import DAY_MS, MINUTE_MS, MinuteBars
from apps.markets.minute_cache import OVERLAP_MS, MinuteCache
from tests.marketdata.samples import T0, instrument

BTC, ETH = InstrumentRow(1, instrument()), InstrumentRow(2, instrument("ETHUSDT", "ETH"))


class Table:
    """Minutes as PostgreSQL has them, and what was asked of it."""

    def __init__(self) -> None:
        self.volume: dict[tuple[int, int], float] = {}
        self.asked: list[tuple[tuple[int, ...], int, int]] = []

    def read(self, rows: object, start_ms: int, end_ms: int) -> dict[InstrumentRow, MinuteBars]:
        wanted: list[InstrumentRow] = list(rows)  # type: ignore[call-overload] # listings
        self.asked.append((tuple(row.id for row in wanted), start_ms, end_ms))
        return {row: self._bars(row.id, start_ms, end_ms) for row in wanted}

    def _bars(self, row_id: int, start_ms: int, end_ms: int) -> MinuteBars:
        inside = sorted(
            (ts, v)
            for (one, ts), v in self.volume.items()
            if one == row_id and start_ms <= ts < end_ms
        )
        values = np.array([v for _, v in inside])
        return MinuteBars(
            np.array([ts for ts, _ in inside], np.int64), values, values * 2, values / 2, values,
            np.ones(len(inside), np.int64),
        )  # fmt: skip


def ask(
    cache: MinuteCache,
    table: Table,
    rows: list[InstrumentRow],
    closed: int,
    generation: str = "1",
) -> dict[int, list[tuple[int, float]]]:
    found = cache.read(rows, closed, closed + MINUTE_MS, generation, table.read)
    return {
        row.id: list(zip(bars.open_ms.tolist(), bars.volume_usd.tolist(), strict=True))
        for row, bars in found.items()
    }


def test_a_long_run_equals_fresh_reads() -> None:
    rng = np.random.default_rng(7)
    cache, table = MinuteCache(), Table()
    for ts in range(T0 - DAY_MS - 3_600_000, T0, MINUTE_MS):
        for one in (1, 2):
            if rng.random() < 0.8:
                table.volume[one, ts] = float(rng.random())
    closed = T0
    for step in range(120):
        for one in (1, 2):
            table.volume[one, closed] = float(rng.random())
            # Amended after it was given out, as late trades and repairs do.
            late = closed - int(rng.integers(1, OVERLAP_MS // MINUTE_MS)) * MINUTE_MS
            table.volume[one, late] = float(rng.random())
        closed += MINUTE_MS * int(rng.integers(1, 4))
        rows = [BTC, ETH] if step % 5 == 0 else [BTC]
        assert ask(cache, table, rows, closed) == ask(MinuteCache(), table, rows, closed)


def test_only_the_end_is_read_again() -> None:
    cache, table = MinuteCache(), Table()
    ask(cache, table, [BTC], T0)
    ask(cache, table, [BTC], T0 + MINUTE_MS)
    assert table.asked[1] == ((1,), T0 - OVERLAP_MS, T0 + 2 * MINUTE_MS)
    # A listing that is new is read whole, beside the others' end.
    ask(cache, table, [BTC, ETH], T0 + MINUTE_MS)
    assert table.asked[3] == ((2,), T0 + MINUTE_MS - DAY_MS, T0 + 2 * MINUTE_MS)


def test_another_generation_or_a_clock_set_back_starts_anew() -> None:
    cache, table = MinuteCache(), Table()
    ask(cache, table, [BTC], T0)
    table.volume[1, T0 - 5 * 3_600_000] = 3.0
    assert ask(cache, table, [BTC], T0) == {1: []}
    assert ask(cache, table, [BTC], T0, "2") == {1: [(T0 - 5 * 3_600_000, 6.0)]}
    ask(cache, table, [BTC], T0 - DAY_MS)
    assert table.asked[-1] == ((1,), T0 - 2 * DAY_MS, T0 - DAY_MS + MINUTE_MS)
