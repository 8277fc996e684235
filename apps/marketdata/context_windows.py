"""30-day windows as packed float64 arrays in files that every worker maps: held once, never re-read from SQL.

A window is a ring of ``series × slots`` on a fixed grid of market time. Slot ``s`` covers
``[s × slot_s, (s + 1) × slot_s)`` and holds the value known at its end, so that at time ``t`` only the
slots that ended by then are read: exactly ``slots`` samples, none later than ``t``.

The file is a cache of PostgreSQL. Writers hold an exclusive ``flock`` (released by the kernel when a
process is killed), readers a shared one. A header counts writes: odd while one is under way. A file that
is absent, torn (odd count, wrong checksum), of other series or of another generation is built anew by the
caller's loader; one that is behind gets the missing slots, and its last slots again, because rows may
arrive late.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Loader: TypeAlias = Callable[[int, int], FloatArray]
"""``(first_slot, end_slot) -> values`` of shape ``(series, end_slot - first_slot)``, NaN where missing."""
Version: TypeAlias = tuple[str, int, int, int]
"""Of a window's content: file, count of writes, checksum, end slot."""

_MAGIC: Final = b"FOCSALW1"
# magic, sequence, last slot, checksum, slot seconds, capacity, series, names digest, generation digest
_HEADER: Final = struct.Struct("<8sQqIIII32s32s")
_HEADER_BYTES: Final = 4096
# Columns beyond the window: a worker that is a slot late still finds its window.
_SPARE_SLOTS: Final = 4
# (sequence, checksum) of the last write that this process found whole, by file.
_verified: Final[dict[Path, tuple[int, int]]] = {}


@dataclass(frozen=True, slots=True)
class Grid:
    """A fixed grid of market time: ``slot_s`` seconds per slot, ``slots`` in a window."""

    slot_s: int
    slots: int

    @property
    def slot_ms(self) -> int:
        return self.slot_s * 1000

    def end_slot(self, t_ms: int) -> int:
        """The first slot that has not ended at ``t_ms``: the window is the ``slots`` before it."""
        return t_ms // self.slot_ms

    def bounds_ms(self, first_slot: int, end_slot: int) -> tuple[int, int]:
        return first_slot * self.slot_ms, end_slot * self.slot_ms


@dataclass(frozen=True, slots=True)
class _Header:
    sequence: int
    last_slot: int
    checksum: int
    slot_s: int
    capacity: int
    series: int
    names: bytes
    generation: bytes

    def pack(self) -> bytes:
        return _HEADER.pack(
            _MAGIC,
            self.sequence,
            self.last_slot,
            self.checksum,
            self.slot_s,
            self.capacity,
            self.series,
            self.names,
            self.generation,
        )


class ContextWindow:
    """One metric's windows. ``names`` (the series, in row order) and ``grid`` fix the file's shape.

    Parameters
    ----------
    path
        File of the window; its folder is made.
    overlap
        Slots at the end that are loaded again whenever the window moves on.
    """

    def __init__(self, path: Path, grid: Grid, names: Sequence[str], *, overlap: int = 2) -> None:
        self._path = path
        self._grid = grid
        self._names = tuple(names)
        self._overlap = overlap
        self._capacity = grid.slots + _SPARE_SLOTS
        self._digest = hashlib.sha256("\n".join(self._names).encode()).digest()

    def at(self, t_ms: int, load: Loader, *, generation: str = "") -> FloatArray:
        """The window before ``t_ms``, shape ``(series, slots)``, oldest first; brought up to date.

        ``generation`` names the state of the history behind the loader: when it changes (a backfill
        ended) everything is loaded again.
        """
        if not self._names:
            return np.empty((0, self._grid.slots))
        end_slot = self._grid.end_slot(t_ms)
        found: list[FloatArray] = []

        def copy(memory: mmap.mmap, header: _Header) -> None:
            found.append(self._copy(memory, header.last_slot, end_slot))

        self._with_current(end_slot, generation, load, copy)
        return found[0]

    def version(self, t_ms: int, load: Loader, *, generation: str = "") -> Version:
        """Bring the window before ``t_ms`` up to date; two that are equal name the same values."""
        if not self._names:
            return str(self._path), 0, 0, 0
        end_slot = self._grid.end_slot(t_ms)
        found: list[_Header] = []
        self._with_current(end_slot, generation, load, lambda _, header: found.append(header))
        return str(self._path), found[0].sequence, found[0].checksum, end_slot

    def _with_current(
        self,
        end_slot: int,
        generation: str,
        load: Loader,
        use: Callable[[mmap.mmap, _Header], None],
    ) -> None:
        """Hand over the file, up to date and locked."""
        mark = hashlib.sha256(generation.encode()).digest()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_SH), self._mapped() as memory:
            header = self._valid_header(memory, mark)
            if memory is not None and header is not None and self._serves(header, end_slot):
                use(memory, header)
                return
        with self._locked(fcntl.LOCK_EX):
            self._resize()
            with self._mapped() as memory:
                if memory is None:
                    raise OSError(f"{self._path}: could not be mapped")
                use(memory, self._brought_up(memory, end_slot, mark, load))

    def _brought_up(self, memory: mmap.mmap, end_slot: int, mark: bytes, load: Loader) -> _Header:
        header = self._valid_header(memory, mark)
        if header is not None and self._serves(header, end_slot):
            return header
        first = self._first_to_load(header, end_slot)
        values = load(first, end_slot)
        expected = (len(self._names), end_slot - first)
        if values.shape != expected:
            raise ValueError(f"loader: expected shape {expected}, got {values.shape}")
        return self._store(memory, first, end_slot, values, mark)

    def _first_to_load(self, header: _Header | None, end_slot: int) -> int:
        oldest = end_slot - self._grid.slots
        if header is None or header.last_slot >= end_slot:
            return oldest
        return max(oldest, header.last_slot + 1 - self._overlap)

    def _serves(self, header: _Header, end_slot: int) -> bool:
        """Up to date, or ahead by no more than the spare columns."""
        return 0 <= header.last_slot + 1 - end_slot <= _SPARE_SLOTS

    # -- the file

    @contextmanager
    def _locked(self, mode: int) -> Iterator[None]:
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(lock, mode)
            yield
        finally:
            os.close(lock)

    @property
    def _size(self) -> int:
        return _HEADER_BYTES + 8 * len(self._names) * self._capacity

    def _resize(self) -> None:
        """Give the file its size; a file of another shape is emptied first."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            if os.fstat(descriptor).st_size != self._size:
                os.ftruncate(descriptor, 0)
                os.ftruncate(descriptor, self._size)
        finally:
            os.close(descriptor)

    @contextmanager
    def _mapped(self) -> Iterator[mmap.mmap | None]:
        """The file in memory; None when it is absent or of another size."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            yield None
            return
        try:
            if os.fstat(descriptor).st_size != self._size:
                yield None
                return
            # Not closed by hand: arrays over it go first, then the map with its last reference.
            yield mmap.mmap(descriptor, self._size)
        finally:
            os.close(descriptor)

    def _data(self, memory: mmap.mmap) -> FloatArray:
        flat = np.frombuffer(memory, dtype="<f8", offset=_HEADER_BYTES)
        return flat.reshape(len(self._names), self._capacity)

    def _valid_header(self, memory: mmap.mmap | None, mark: bytes) -> _Header | None:
        if memory is None:
            return None
        magic, *fields = _HEADER.unpack_from(memory)
        header = _Header(*fields)
        fits = (
            magic == _MAGIC
            and header.sequence % 2 == 0
            and header.slot_s == self._grid.slot_s
            and header.capacity == self._capacity
            and header.series == len(self._names)
            and header.names == self._digest
            and header.generation == mark
        )
        return header if fits and self._is_whole(header, memory) else None

    def _is_whole(self, header: _Header, memory: mmap.mmap) -> bool:
        """The checksum is worked out once per write: a torn one leaves the count of writes odd."""
        mark = (header.sequence, header.checksum)
        if _verified.get(self._path) == mark:
            return True
        if header.checksum != _checksum(memory):
            return False
        _verified[self._path] = mark
        return True

    def _store(
        self, memory: mmap.mmap, first: int, end: int, values: FloatArray, mark: bytes
    ) -> _Header:
        _, sequence, *_ = _HEADER.unpack_from(memory)
        sequence += sequence % 2
        header = _Header(
            sequence=sequence + 1,
            last_slot=end - 1,
            checksum=0,
            slot_s=self._grid.slot_s,
            capacity=self._capacity,
            series=len(self._names),
            names=self._digest,
            generation=mark,
        )
        memory[: _HEADER.size] = header.pack()
        data = self._data(memory)
        if end - first >= self._grid.slots:
            data[:] = np.nan
        data[:, np.arange(first, end) % self._capacity] = values
        finished = replace(header, sequence=sequence + 2, checksum=_checksum(memory))
        memory[: _HEADER.size] = finished.pack()
        return finished

    def _copy(self, memory: mmap.mmap, last_slot: int, end_slot: int) -> FloatArray:
        first = end_slot - self._grid.slots
        columns = np.arange(first, end_slot)
        window = self._data(memory)[:, columns % self._capacity]
        # Columns that newer slots have taken over.
        window[:, columns <= last_slot - self._capacity] = np.nan
        return window


def _checksum(memory: mmap.mmap) -> int:
    return zlib.crc32(memoryview(memory)[_HEADER_BYTES:])


def last_value_slots(
    series: npt.NDArray[np.int64],
    ts_ms: npt.NDArray[np.int64],
    values: FloatArray,
    hold_ms: npt.NDArray[np.int64],
    count: int,
    grid: Grid,
    first_slot: int,
    end_slot: int,
) -> FloatArray:
    """Last value per slot: what each series held at each slot's end.

    Parameters
    ----------
    series, ts_ms, values
        Row of each sample, when it was known, its value. Samples at a slot's very end belong to the
        next one.
    hold_ms
        How long each sample stays valid: afterwards the slot is NaN, never filled.
    count
        Number of series.

    Returns
    -------
    Array of shape ``(count, end_slot - first_slot)``.
    """
    ends = (np.arange(first_slot, end_slot) + 1) * grid.slot_ms
    result = np.full((count, ends.size), np.nan)
    order = np.lexsort((ts_ms, series))
    series, ts_ms, values, hold_ms = series[order], ts_ms[order], values[order], hold_ms[order]
    starts = np.searchsorted(series, np.arange(count + 1))
    for row in range(count):
        mine = slice(starts[row], starts[row + 1])
        held = np.searchsorted(ts_ms[mine], ends, side="left") - 1
        found = held >= 0
        index = held[found]
        age = ends[found] - ts_ms[mine][index]
        result[row, found] = np.where(age <= hold_ms[mine][index], values[mine][index], np.nan)
    return result


def sum_slots(
    series: npt.NDArray[np.int64],
    ts_ms: npt.NDArray[np.int64],
    values: FloatArray,
    count: int,
    grid: Grid,
    first_slot: int,
    end_slot: int,
) -> FloatArray:
    """Sum per slot of what opened inside it, shape ``(count, slots)``; NaN where nothing did."""
    width = end_slot - first_slot
    slot = ts_ms // grid.slot_ms - first_slot
    inside = (slot >= 0) & (slot < width)
    cell = series[inside] * width + slot[inside]
    total = np.bincount(cell, weights=values[inside], minlength=count * width)
    seen = np.bincount(cell, minlength=count * width)
    return np.where(seen > 0, total, np.nan).reshape(count, width)
