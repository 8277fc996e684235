"""Since when a stream has been watched without a break, and which minutes were not. Pure."""

from __future__ import annotations

from typing import Final

from apps.ingest.bars import MINUTE_MS

_FORGET_MS: Final = 24 * 3600 * 1000
AGAIN_MS: Final = 10 * 60_000
"""A break that the venue could not fill is asked for again after this time."""

Break = tuple[int, int]


class Coverage:
    """Breaks in one instrument's trade stream, in market milliseconds.

    A break is waiting until :meth:`take_repairs` gives it out, then under repair until :meth:`repaired` or
    :meth:`failed`; one that could not be repaired for a day is lost.
    """

    __slots__ = ("_breaks", "_down_since", "_lost", "_not_before", "_repairing", "start_ms")

    def __init__(self, start_ms: int) -> None:
        # Before the first frame nothing was seen of the minute that is under way.
        self.start_ms = start_ms - start_ms % MINUTE_MS
        self._down_since: int | None = self.start_ms
        self._breaks: list[Break] = []
        self._repairing: list[Break] = []
        self._lost: list[Break] = []
        self._not_before = 0

    @property
    def is_live(self) -> bool:
        return self._down_since is None

    def live(self, now_ms: int) -> None:
        if self._down_since is not None:
            self._breaks.append((self._down_since, max(now_ms, self._down_since + 1)))
            self._down_since = None

    def down(self, since_ms: int) -> None:
        """The stream stopped telling; ``since_ms`` is when it was last heard."""
        if self._down_since is None:
            self._down_since = since_ms

    def doubt(self, since_ms: int, until_ms: int) -> None:
        """Something may have been missed in this time, though the stream went on."""
        if self._down_since is not None:
            return
        if self._breaks and self._breaks[-1][0] // MINUTE_MS == since_ms // MINUTE_MS:
            since_ms = min(since_ms, self._breaks.pop()[0])
        self._breaks.append((since_ms, max(until_ms, since_ms + 1)))

    def is_whole(self, start_ms: int, end_ms: int) -> bool:
        """Whether the stream was watched throughout ``[start_ms, end_ms)``."""
        if self._down_since is not None and self._down_since < end_ms:
            return False
        return not any(start < end_ms and end > start_ms for start, end in self._breaks)

    def held_until(self, now_ms: int) -> int:
        """Every minute from ``start_ms`` to here was watched, repaired or given up."""
        starts = [start for start, _ in (*self._breaks, *self._repairing)]
        if self._down_since is not None:
            starts.append(self._down_since)
        until = min((now_ms, *starts))
        return until - until % MINUTE_MS

    def take_repairs(self, now_ms: int) -> list[Break]:
        """Finished breaks as whole closed minutes ``[start, end)``; each is given out once.

        A break whose last minute is still open stays for the next call, as does one that has just failed.
        """
        if now_ms < self._not_before:
            return []
        due: list[Break] = []
        waiting: list[Break] = []
        for start, end in self._breaks:
            first, last = start - start % MINUTE_MS, end + (-end) % MINUTE_MS
            if end < now_ms - _FORGET_MS:
                self._lost.append((first, last))
            elif last <= now_ms:
                due.append((first, last))
            else:
                waiting.append((start, end))
        self._breaks = waiting
        self._repairing += due
        return due

    def repaired(self, one: Break) -> None:
        self._repairing.remove(one)

    def failed(self, one: Break, now_ms: int) -> None:
        """The venue did not answer: the break waits again."""
        self._repairing.remove(one)
        self._breaks.append(one)
        self._not_before = now_ms + AGAIN_MS

    def take_lost(self) -> list[Break]:
        """Breaks that nobody could fill; each is given out once."""
        lost, self._lost = self._lost, []
        return lost
