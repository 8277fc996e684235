"""Windows in mapped files: right slots, causal, rebuilt when torn or stale, safe for two workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from apps.marketdata.context_windows import ContextWindow, Grid, last_value_slots, sum_slots

HOUR = Grid(slot_s=3600, slots=24)
HOUR_MS = 3_600_000
NAMES = ("binance:perp:BTCUSDT", "okx:perp:BTC-USDT-SWAP")
FloatArray = npt.NDArray[np.float64]


class Source:
    """A loader whose value of slot ``s`` in row ``r`` is ``1000 r + s``; it remembers what it was asked."""

    def __init__(self, rows: int = len(NAMES), shift: float = 0.0) -> None:
        self.rows = rows
        self.shift = shift
        self.asked: list[tuple[int, int]] = []

    def __call__(self, first: int, end: int) -> FloatArray:
        self.asked.append((first, end))
        slots = np.arange(first, end, dtype=np.float64)
        values: FloatArray = 1000.0 * np.arange(self.rows)[:, None] + slots[None, :]
        return values + self.shift


def window_at(path: Path, t_ms: int, source: Source, generation: str = "") -> FloatArray:
    return ContextWindow(path, HOUR, NAMES).at(t_ms, source, generation=generation)


def expected(end_slot: int, shift: float = 0.0) -> FloatArray:
    return shift + np.stack([np.arange(end_slot - 24, end_slot) + 1000.0 * r for r in (0, 1)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "context" / "funding.ring"


def test_the_slot_in_the_making_is_not_inside(path: Path) -> None:
    source = Source()
    for t_ms, end in (
        (100 * HOUR_MS, 100),
        (101 * HOUR_MS - 1, 100),
        (101 * HOUR_MS, 101),
    ):
        np.testing.assert_array_equal(window_at(path, t_ms, source), expected(end))


def test_only_new_slots_and_the_overlap_are_loaded(path: Path) -> None:
    source = Source()
    window_at(path, 100 * HOUR_MS, source)
    window_at(path, 100 * HOUR_MS + 5, source)
    window_at(path, 103 * HOUR_MS, source)
    assert source.asked == [(76, 100), (98, 103)]


def test_a_ring_that_is_far_behind_is_loaded_anew(path: Path) -> None:
    source = Source()
    window_at(path, 100 * HOUR_MS, source)
    np.testing.assert_array_equal(window_at(path, 500 * HOUR_MS, source), expected(500))
    assert source.asked[-1] == (476, 500)


def test_it_moves_around_the_ring_many_times(path: Path) -> None:
    source = Source()
    for end in range(100, 200):
        np.testing.assert_array_equal(window_at(path, end * HOUR_MS, source), expected(end))


def test_a_worker_one_slot_late_still_reads_its_own_window(path: Path) -> None:
    source = Source()
    window_at(path, 100 * HOUR_MS, source)
    window_at(path, 101 * HOUR_MS, source)
    np.testing.assert_array_equal(window_at(path, 100 * HOUR_MS, source), expected(100))
    assert len(source.asked) == 2


def test_when_market_time_starts_again_the_window_does_too(path: Path) -> None:
    source = Source()
    window_at(path, 500 * HOUR_MS, source)
    np.testing.assert_array_equal(window_at(path, 100 * HOUR_MS, source), expected(100))


def test_a_new_generation_loads_everything_again(path: Path) -> None:
    window_at(path, 100 * HOUR_MS, Source(), "warming")
    np.testing.assert_array_equal(
        window_at(path, 100 * HOUR_MS, Source(shift=0.5), "ready"), expected(100, 0.5)
    )


def test_other_series_make_another_file(path: Path) -> None:
    window_at(path, 100 * HOUR_MS, Source())
    other = ContextWindow(path, HOUR, ("x", "y", "z")).at(100 * HOUR_MS, Source(rows=3))
    assert other.shape == (3, 24)
    np.testing.assert_array_equal(window_at(path, 100 * HOUR_MS, Source()), expected(100))


@pytest.mark.parametrize("offset", [8, 20, 4096, 4096 + 8 * 30])
def test_a_torn_file_is_rebuilt(path: Path, offset: int) -> None:
    window_at(path, 100 * HOUR_MS, Source())
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 0x01
    path.write_bytes(bytes(raw))
    source = Source()
    np.testing.assert_array_equal(window_at(path, 100 * HOUR_MS, source), expected(100))
    assert source.asked == [(76, 100)]


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_cut_file_is_rebuilt(path: Path, content: bytes) -> None:
    window_at(path, 100 * HOUR_MS, Source())
    path.write_bytes(content)
    np.testing.assert_array_equal(window_at(path, 100 * HOUR_MS, Source()), expected(100))


def test_a_loader_of_the_wrong_shape_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        window_at(path, 100 * HOUR_MS, Source(rows=3))


def test_a_loader_that_fails_leaves_the_window_as_it_was(path: Path) -> None:
    window_at(path, 100 * HOUR_MS, Source())

    def broken(first: int, end: int) -> FloatArray:
        raise RuntimeError("database away")

    with pytest.raises(RuntimeError):
        ContextWindow(path, HOUR, NAMES).at(101 * HOUR_MS, broken)
    np.testing.assert_array_equal(window_at(path, 101 * HOUR_MS, Source()), expected(101))


def test_no_series_need_no_file(path: Path) -> None:
    assert ContextWindow(path, HOUR, ()).at(0, Source(rows=0)).shape == (0, 24)
    assert not path.exists()


def _stop_inside_a_write(path: Path, ready: Connection) -> None:
    ring = ContextWindow(path, HOUR, NAMES)

    def load(first: int, end: int) -> FloatArray:
        return np.zeros((len(NAMES), end - first))

    def store(*args: Any, **kwargs: Any) -> None:
        memory = args[0]
        header = bytearray(memory[:24])
        header[8] |= 1
        memory[:24] = bytes(header)
        memory[4096:8192] = b"\xff" * min(4096, len(memory) - 4096)
        ready.send(os.getpid())
        signal.pause()

    ring._store = store  # type: ignore[method-assign,assignment]  # stands still in the middle of a write
    ring.at(101 * HOUR_MS, load)


def _read_many(path: Path, ends: list[int], answer: Connection) -> None:
    ok = all(
        np.array_equal(window_at(path, end * HOUR_MS, Source()), expected(end)) for end in ends
    )
    answer.send(ok)


def test_killed_in_the_middle_of_a_write(path: Path) -> None:
    window_at(path, 100 * HOUR_MS, Source())
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_stop_inside_a_write, args=(path, theirs))
    child.start()
    assert ours.poll(30)
    os.kill(ours.recv(), signal.SIGKILL)
    child.join(10)
    np.testing.assert_array_equal(window_at(path, 101 * HOUR_MS, Source()), expected(101))


def test_two_workers_at_once(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ends = list(range(100, 160))
    pipes = [context.Pipe() for _ in range(2)]
    children = [
        context.Process(target=_read_many, args=(path, ends, theirs)) for _, theirs in pipes
    ]
    for child in children:
        child.start()
    for ours, _ in pipes:
        assert ours.poll(60)
        assert ours.recv() is True
    for child in children:
        child.join(10)


def test_last_value_of_each_slot() -> None:
    series = np.array([0, 0, 1, 0])
    ts_ms = np.array([1, 3 * HOUR_MS, 2 * HOUR_MS + 7, 1 * HOUR_MS - 1])
    values = np.array([1.0, 4.0, 9.0, 2.0])
    hold = np.full(4, 2 * HOUR_MS)
    slots = last_value_slots(series, ts_ms, values, hold, 3, HOUR, 0, 6)
    nan = np.nan
    np.testing.assert_array_equal(
        slots,
        [[2, 2, nan, 4, 4, nan], [nan, nan, 9, 9, nan, nan], [nan] * 6],
    )


def test_last_value_is_causal() -> None:
    """A sample at a slot's end is not known inside it."""
    slots = last_value_slots(
        np.array([0]),
        np.array([HOUR_MS]),
        np.array([5.0]),
        np.array([10 * HOUR_MS]),
        count=1,
        grid=HOUR,
        first_slot=0,
        end_slot=2,
    )
    np.testing.assert_array_equal(slots, [[np.nan, 5.0]])


def test_sums_of_slots() -> None:
    series = np.array([0, 0, 1, 1])
    ts_ms = np.array([0, HOUR_MS - 1, HOUR_MS, 9 * HOUR_MS])
    slots = sum_slots(series, ts_ms, np.array([1.0, 2.0, 4.0, 8.0]), 2, HOUR, 0, 2)
    np.testing.assert_array_equal(slots, [[3.0, np.nan], [np.nan, 4.0]])
