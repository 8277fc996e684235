"""How each venue is doing: streams and REST together, as ``meta.sources`` and the status page show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apps.marketdata.live import SOURCE_DEGRADED, SOURCE_DOWN, SOURCE_OK, SourceStatus
from apps.venues.errors import VenueError
from apps.venues.stream_client import StreamState, StreamStatus

_BAD: Final = frozenset({StreamStatus.STALE, StreamStatus.RECONNECTING})
DOWN_AFTER_MS: Final = 30_000
LAG_WINDOW_MS: Final = 10_000
_WRONG_CLOCK_MS: Final = 10_000
"""A venue whose quickest news of ten seconds seem this old, or are from this far ahead, has another clock."""
_NAMED: Final = 3
"""At most this many ailing channels are named."""


class SourceTracker:
    """One venue's health. Times are market milliseconds.

    ``poll_s``: how often a venue without a stream is asked; such a one is silent in between.
    ``late_since``: how much of the time since then we could not listen ourselves, which is no silence.
    """

    def __init__(
        self,
        venue: str,
        now_ms: int,
        poll_s: float | None = None,
        late_since: Callable[[int], int] = lambda since_ms: 0,
    ) -> None:
        self.venue = venue
        self._late_since = late_since
        self._down_after_ms = max(DOWN_AFTER_MS, int(3000 * (poll_s or 0.0)))
        self.last_ok_ms: int | None = None
        self._since_ms = now_ms
        self._ailing: dict[str, StreamState] = {}
        self._rest_error: str = ""
        self._lag_since_ms = now_ms
        self._least_lag_ms: int | None = None
        self._skew_ms = 0

    def heard(self, now_ms: int) -> None:
        self.last_ok_ms = now_ms

    def silence_ms(self, now_ms: int) -> int:
        """For how long nothing came of it though we listened."""
        since_ms = self.last_ok_ms if self.last_ok_ms is not None else self._since_ms
        return now_ms - since_ms - self._late_since(since_ms)

    def told(self, event_ms: int, now_ms: int) -> None:
        """Something that had just happened by the venue's clock."""
        lag_ms = now_ms - event_ms
        if lag_ms > _WRONG_CLOCK_MS:
            # It may have waited in the socket until we came to it.
            lag_ms = max(0, lag_ms - self._late_since(event_ms))
        if self._least_lag_ms is None or lag_ms < self._least_lag_ms:
            self._least_lag_ms = lag_ms
        if now_ms - self._lag_since_ms >= LAG_WINDOW_MS:
            self._skew_ms = self._least_lag_ms
            self._lag_since_ms, self._least_lag_ms = now_ms, None

    @property
    def wrong_clock_ms(self) -> int:
        """By how much its clock is wrong; 0 when it is right."""
        return abs(self._skew_ms) if abs(self._skew_ms) > _WRONG_CLOCK_MS else 0

    def on_state(self, state: StreamState) -> None:
        name = f"{state.connection}/{state.channel}/{state.kind}"
        if state.status in _BAD:
            self._ailing[name] = state
        else:
            self._ailing.pop(name, None)

    def rest_ok(self, now_ms: int) -> None:
        self._rest_error = ""
        self.last_ok_ms = now_ms

    def rest_failed(self, error: VenueError) -> None:
        status = f"HTTP {error.status}: " if error.status else ""
        self._rest_error = f"REST {status}{error.detail}"[:200]

    def status(self, now_ms: int) -> SourceStatus:
        """Down: nothing heard for 30 s, or three polls. Degraded: a channel is silent or REST refuses."""
        problems = [self._rest_error] if self._rest_error else []
        if self._ailing:
            some = list(self._ailing.values())[:_NAMED]
            named = ", ".join(f"{one.channel} {one.status.value} ({one.reason})" for one in some)
            problems.append(f"{len(self._ailing)} channels ailing: {named}")
        if self.wrong_clock_ms:
            way = "behind" if self._skew_ms > 0 else "ahead of"
            problems.append(f"its clock is {self.wrong_clock_ms // 1000} s {way} ours")
        silence_ms = self.silence_ms(now_ms)
        if silence_ms > self._down_after_ms:
            word = SOURCE_DOWN
            problems.insert(0, f"nothing heard for {silence_ms // 1000} s")
        else:
            word = SOURCE_DEGRADED if problems else SOURCE_OK
        return SourceStatus(
            venue=self.venue, status=word, last_ok_ms=self.last_ok_ms, detail="; ".join(problems)
        )
