"""What ails a venue's channels, told once per trouble: a lost connection says it of each of a hundred."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apps.core.clock import NS_PER_MS
from apps.venues.stream_client import StreamState, StreamStatus

GATHER_MS: Final = 1_000
"""All that one cause does is heard of by then."""
AGAIN_MS: Final = 60_000
"""A trouble that goes on is told again after this long."""
_TOLD: Final = frozenset({StreamStatus.STALE, StreamStatus.RECONNECTING})
_NAMED: Final = 3
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_Cause = tuple[str, StreamStatus, str]


@dataclass(slots=True)
class Trouble:
    """``count`` channels, of which some are named, told the same of one connection; ``reason`` in the words
    of the first of them."""

    connection: str
    status: StreamStatus
    reason: str
    due_ms: int
    count: int = 0
    named: tuple[str, ...] = ()

    def add(self, channel: str) -> None:
        self.count += 1
        if len(self.named) < _NAMED and channel not in self.named:
            self.named = (*self.named, channel)


class Troubles:
    """Gathers what channels say; alike is what differs only in its numbers (how long it has been silent)."""

    def __init__(self) -> None:
        self._open: dict[_Cause, Trouble] = {}

    def add(self, state: StreamState) -> None:
        if state.status not in _TOLD:
            return
        cause = (state.connection, state.status, _NUMBER.sub("#", state.reason))
        trouble = self._open.get(cause)
        if trouble is None:
            due_ms = state.ts // NS_PER_MS + GATHER_MS
            trouble = Trouble(state.connection, state.status, state.reason, due_ms)
            self._open[cause] = trouble
        elif not trouble.count:
            trouble.reason = state.reason
        trouble.add(state.channel)

    def due(self, now_ms: int) -> list[Trouble]:
        """What is to be told now; each is then gathered anew for a minute."""
        due = {cause: one for cause, one in self._open.items() if now_ms >= one.due_ms}
        for cause, one in due.items():
            if one.count:
                again_ms = now_ms + AGAIN_MS
                self._open[cause] = Trouble(one.connection, one.status, one.reason, again_ms)
            else:
                del self._open[cause]
        return [one for one in due.values() if one.count]

    def rest(self) -> list[Trouble]:
        """What has not been told, whether it is due or not."""
        found = [one for one in self._open.values() if one.count]
        self._open.clear()
        return found
