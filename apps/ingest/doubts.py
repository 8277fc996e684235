"""When trades may have been missed or misdated though their streams went on: those minutes are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from apps.ingest.coverage import Coverage
from apps.ingest.sources import LAG_WINDOW_MS, SourceTracker

_HUSH_MS: Final = 3_000
"""A venue that says nothing at all for so long may have lost what happened meanwhile."""
_SINCE_LAST_LOOK_MS: Final = 2_000


class Doubts:
    """Doubts about one venue; ``coverages`` are those of its instruments at the time. Market ms."""

    def __init__(
        self,
        tracker: SourceTracker,
        now_ms: Callable[[], int],
        coverages: Callable[[], Iterable[Coverage]],
    ) -> None:
        self._tracker = tracker
        self._now_ms = now_ms
        self._coverages = coverages
        self._unreadable = 0
        self._wrong_ms = 0

    def heard(self, now_ms: int) -> None:
        """Called for every event, before the tracker hears of it."""
        heard_ms = self._tracker.last_ok_ms
        if heard_ms is not None and now_ms - heard_ms > _HUSH_MS:
            # Also when it was we who were late: asking once too often costs little.
            self._doubt(heard_ms, now_ms)

    def look(self, malformed: int) -> None:
        """Called once a second; ``malformed``: messages since the start that could not be read."""
        now_ms = self._now_ms()
        if malformed > self._unreadable:
            # Nobody knows what they said.
            self._doubt(now_ms - _SINCE_LAST_LOOK_MS, now_ms)
        self._unreadable = malformed
        self._look_at_clock(now_ms)

    def _look_at_clock(self, now_ms: int) -> None:
        """What a wrong clock dated went into minutes that were not its own."""
        wrong_ms = self._tracker.wrong_clock_ms
        reach_ms = max(wrong_ms, self._wrong_ms)
        if reach_ms:
            # It was noticed after one window, and that it is over after another.
            self._doubt(now_ms - reach_ms - 2 * LAG_WINDOW_MS, now_ms + reach_ms)
        self._wrong_ms = wrong_ms

    def _doubt(self, since_ms: int, until_ms: int) -> None:
        for coverage in self._coverages():
            coverage.doubt(since_ms, until_ms)
