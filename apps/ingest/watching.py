"""Since when an instrument's events are listened to without a break. Pure; one watch per venue.

Liquidations are rare: that none came means something only while every channel that would carry them was
up. A dead connection is noticed late, so the end of a span is put back by as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Final, NamedTuple

from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.stream_client import ALL_ASSETS, StreamSpec, StreamState, StreamStatus
from apps.venues.timing import Timing

NS_PER_MS: Final = 1_000_000
_TIMING: Final = Timing()
UNNOTICED_MS: Final = int(1000 * (_TIMING.ping_interval + _TIMING.ping_timeout))
"""A half-open connection is found by our pings within this time."""
_NOT_HEARD: Final = frozenset({StreamStatus.STALE, StreamStatus.RECONNECTING, StreamStatus.STOPPED})
_Channel = tuple[str, str]


class KeySpan(NamedTuple):
    """One instrument (``Instrument.key``) was listened to in ``[since_ms, until_ms)``."""

    key: str
    since_ms: int
    until_ms: int


class EventWatch:
    """Follows the channels that carry one kind of event.

    ``carried_by``: kinds of channels (``StreamSpec.kind``) that all have to be up.
    """

    def __init__(self, carried_by: tuple[str, ...]) -> None:
        self._kinds = carried_by
        self._needed: dict[str, frozenset[_Channel]] = {}
        self._dependents: dict[_Channel, list[str]] = {}
        self._silence_ms: dict[_Channel, int] = {}
        self._up: set[_Channel] = set()
        self._since: dict[str, int] = {}
        self._ended: list[KeySpan] = []

    def plan(self, specs: Iterable[StreamSpec], instruments: Iterable[Instrument]) -> None:
        """Which channels each derivative depends on; called before the streams of a plan begin."""
        self._needed.clear()
        self._dependents.clear()
        self._up.clear()
        carriers = [spec for spec in specs if spec.kind in self._kinds]
        by_symbol: dict[str, list[StreamSpec]] = {}
        for spec in carriers:
            if spec.connection != "spot":
                by_symbol.setdefault(spec.symbol.upper(), []).append(spec)
            if isfinite(spec.max_silence_s):
                self._silence_ms[spec.connection, spec.channel] = int(1000 * spec.max_silence_s)
        of_all = by_symbol.get(ALL_ASSETS, [])
        for one in instruments:
            if one.kind is InstrumentKind.SPOT:
                continue
            mine = [*of_all, *by_symbol.get(one.symbol.upper(), [])]
            if {spec.kind for spec in mine} != set(self._kinds):
                continue
            self._needed[one.key] = frozenset((spec.connection, spec.channel) for spec in mine)
            for channel in self._needed[one.key]:
                self._dependents.setdefault(channel, []).append(one.key)

    def on_state(self, state: StreamState) -> list[str]:
        """Keys of the instruments whose watch began or ended with this change."""
        channel = (state.connection, state.channel)
        keys = self._dependents.get(channel)
        if keys is None or state.kind not in self._kinds:
            return []
        now_ms = state.ts // NS_PER_MS
        if state.status is StreamStatus.LIVE:
            self._up.add(channel)
            begun = [k for k in keys if k not in self._since and self._needed[k] <= self._up]
            self._since |= dict.fromkeys(begun, now_ms)
            return begun
        if state.status not in _NOT_HEARD:
            return []
        self._up.discard(channel)
        ended = [key for key in keys if key in self._since]
        # An orderly end was listened to until then; a silence began when the channel was last heard.
        doubt_ms = 0 if state.status is StreamStatus.STOPPED else UNNOTICED_MS
        if state.status is StreamStatus.STALE:
            doubt_ms = max(doubt_ms, self._silence_ms.get(channel, 0))
        for key in ended:
            since_ms = self._since.pop(key)
            if now_ms - doubt_ms > since_ms:
                self._ended.append(KeySpan(key, since_ms, now_ms - doubt_ms))
        return ended

    def since_ms(self, key: str) -> int | None:
        """Since when it is listened to; None: it is not."""
        return self._since.get(key)

    def take_spans(self, now_ms: int) -> list[KeySpan]:
        """Spans that ended since the last call, and those that go on, up to now."""
        ended, self._ended = self._ended, []
        return ended + [KeySpan(key, since, now_ms) for key, since in self._since.items()]
