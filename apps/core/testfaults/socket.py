"""The same faults on one WebSocket or event stream: a small object that the protocol asks per frame."""

from __future__ import annotations

from typing import Any, Final

import orjson

from apps.core.testfaults.header import TestFaults
from apps.core.testfaults.overlay import overlaid

_GAP_EVERY: Final = 10


class SocketFaults:
    """Of one connection; others have their own or none, and share no bytes with it.

    ``close_code`` (0: stay open) is for the moment after the handshake, ``disconnect_s`` (None: never)
    for a cut without a goodbye; ``delay_s`` is waited for before each frame.
    """

    def __init__(self, faults: TestFaults) -> None:
        self._faults = faults
        self._counts: dict[str, int] = {}
        self.close_code = faults.close_code()
        self.disconnect_s = faults.disconnect_s
        self.delay_s = faults.slow_s

    def frame(self, frame: bytes) -> bytes | None:
        """The frame that this socket gets in the place of ``frame`` (JSON); None: none."""
        value = orjson.loads(frame)
        channel = value.get("channel") if isinstance(value, dict) else None
        if not isinstance(channel, str) or "op" in value:
            # Answers and heartbeats say how the connection is: they stay true.
            return frame
        if self._faults.has_gaps and value.get("type") == "update":
            self._counts[channel] = self._counts.get(channel, 0) + 1
            if self._counts[channel] % _GAP_EVERY == 0:
                return None
        if self._is_of_a_venue_that_is_down(value.get("data")):
            return None
        return overlaid(frame, self._faults)

    def _is_of_a_venue_that_is_down(self, data: Any) -> bool:
        if not isinstance(data, dict):
            return False
        return bool({data.get("venue"), data.get("exchange")} & set(self._faults.down))
