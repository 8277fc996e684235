"""Since when a stream has been watched without a break, and which minutes were not. Pure."""

from __future__ import annotations

from typing import Final

from apps.ingest.bars import MINUTE_MS

_FORGET_MS: Final = 24 * 3600 * 1000


class Coverage:
    """Breaks in one instrument's trade stream, in market milliseconds."""

    __slots__ = ("_breaks", "_down_since")

    def __init__(self, start_ms: int) -> None:
        # Before the first frame nothing was seen of the minute that is under way.
        self._down_since: int | None = start_ms - start_ms % MINUTE_MS
        self._breaks: list[tuple[int, int]] = []

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

    def is_whole(self, start_ms: int, end_ms: int) -> bool:
        """Whether the stream was watched throughout ``[start_ms, end_ms)``."""
        if self._down_since is not None and self._down_since < end_ms:
            return False
        return not any(start < end_ms and end > start_ms for start, end in self._breaks)

    def take_repairs(self, now_ms: int) -> list[tuple[int, int]]:
        """Finished breaks as whole closed minutes ``[start, end)``; each is given out once.

        A break whose last minute is still open stays for the next call.
        """
        due: list[tuple[int, int]] = []
        waiting: list[tuple[int, int]] = []
        for start, end in self._breaks:
            if end < now_ms - _FORGET_MS:
                continue
            last = end + (-end) % MINUTE_MS
            if last <= now_ms:
                due.append((start - start % MINUTE_MS, last))
            else:
                waiting.append((start, end))
        self._breaks = waiting
        return due
