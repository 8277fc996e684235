"""30-day windows of one metric as a refresh sees them: what follows from them alone is kept in the process.

A window changes when a slot ends, every five minutes or half hour; values change with every refresh. So
what is made of windows (sorted rows, medians, weights, histories of aggregates) is made once per version of
the window and kept until another version is seen. Questions about the past (``as_of``) keep nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from apps.markets.engines.context import Prepared

FloatArray = npt.NDArray[np.float64]
Rows: TypeAlias = tuple[FloatArray, ...]
"""Windows of the same series: one array, or several where a context has several parts."""
_Made = TypeVar("_Made")

# Whole windows are large; a metric of one tier works on two at a time, and on parts of them.
_MOST_WINDOWS: Final = 6


class _Kept:
    """By file: its newest version and what was made of it; and the windows read last."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.held: dict[Hashable, _Held] = {}
        self._made: dict[Hashable, tuple[Hashable, dict[Hashable, Any]]] = {}
        self._windows: OrderedDict[Hashable, FloatArray] = OrderedDict()

    def made(self, version: tuple[Any, ...], key: Hashable, make: Callable[[], _Made]) -> _Made:
        with self.lock:
            held, found = self._made.get(version[0], (None, {}))
            if held != version:
                found = {}
                self._made[version[0]] = version, found
            if key not in found:
                found[key] = make()
            made: _Made = found[key]
            return made

    def window(self, version: Hashable, read: Callable[[], FloatArray]) -> FloatArray:
        with self.lock:
            found = self._windows.pop(version, None)
            if found is None:
                found = read()
            self._windows[version] = found
            while len(self._windows) > _MOST_WINDOWS:
                self._windows.popitem(last=False)
            return found

    def forget_windows(self) -> None:
        with self.lock:
            self._windows.clear()


_kept: Final = _Kept()


def forget_windows() -> None:
    """Let go of whole windows: what is made of them stays."""
    _kept.forget_windows()


class Past:
    """The windows of many series, one row each; ``version`` None: of a question about the past."""

    def __init__(self, version: tuple[Any, ...] | None, read: Callable[[], FloatArray]) -> None:
        self.version = version
        self._read = read
        self._values: FloatArray | None = None

    @property
    def values(self) -> FloatArray:
        """All rows. Not to be written to."""
        if self.version is not None:
            return _kept.window(self.version, self._read)
        if self._values is None:
            self._values = self._read()
        return self._values

    def made(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What ``make`` returns, made once per version. ``key`` names it and all that it depends on
        besides the window."""
        return make() if self.version is None else _kept.made(self.version, key, make)

    def derived(self, key: Hashable, make: Callable[[FloatArray], FloatArray]) -> Past:
        """Other windows, made of these."""
        version = None if self.version is None else (f"{self.version[0]}|{key}", self.version)
        return Past(version, lambda: make(self.values))


@dataclass(frozen=True, slots=True)
class Block:
    """Windows of a few series that change together: ``key`` says what they are made of; None: not kept."""

    count: int
    key: Hashable | None
    read: Callable[[], Rows]


Prepare: TypeAlias = Callable[[Rows], tuple[Prepared, ...]]


def prepared(where: Hashable, blocks: Sequence[Block], prepare: Prepare) -> tuple[Prepared, ...]:
    """The prepared rows of all blocks in order, valid until the next call of the same ``where``.

    Rows are kept from call to call; those of a block are prepared anew when its key changes.
    """
    if any(one.key is None for one in blocks):
        return prepare(_stacked(blocks))
    with _kept.lock:
        held = _kept.held.setdefault(where, _Held())
        return held.brought_up(blocks, prepare)


class _Held:
    """The prepared windows of one batch."""

    def __init__(self) -> None:
        self._keys: list[tuple[int, Hashable]] = []
        self._rows: tuple[Prepared, ...] = ()

    def brought_up(self, blocks: Sequence[Block], prepare: Prepare) -> tuple[Prepared, ...]:
        keys: list[tuple[int, Hashable]] = [(one.count, one.key) for one in blocks]
        changed = list(range(len(blocks)))
        if [count for count, _ in keys] == [count for count, _ in self._keys]:
            changed = [at for at in changed if keys[at] != self._keys[at]]
        # What fails half-way must not pass for done.
        self._keys = []
        if len(changed) == len(blocks):
            self._rows = prepare(_stacked(blocks))
        elif changed:
            self._put(blocks, changed, prepare)
        self._keys = keys
        return self._rows

    def _put(self, blocks: Sequence[Block], changed: Sequence[int], prepare: Prepare) -> None:
        ends = np.cumsum([one.count for one in blocks])
        rows = np.concatenate([np.arange(ends[at] - blocks[at].count, ends[at]) for at in changed])
        news = prepare(_stacked([blocks[at] for at in changed]))
        for held, new in zip(self._rows, news, strict=True):
            held.put(rows, new)


def _stacked(blocks: Sequence[Block]) -> Rows:
    parts = zip(*(one.read() for one in blocks), strict=True)
    return tuple(np.concatenate(part) for part in parts)
