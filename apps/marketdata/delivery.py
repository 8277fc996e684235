"""Which venues deliver now: what Redis kept of a run that has ended does not count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.core.clock import market_clock
from apps.marketdata.live import SOURCE_DOWN, SourceStatus

_RECENT_MS: Final = 10_000
"""``ingest`` writes each second of wall time; longer silence means that it is away."""


def delivering(sources: Iterable[SourceStatus]) -> tuple[str, ...]:
    """Venues that are not down and were heard of lately, in alphabetical order."""
    # A fast replay runs through more market time between two writes.
    oldest_ms = market_clock.now_ms() - _RECENT_MS * max(1.0, market_clock.line.speed)
    return tuple(
        sorted(
            source.venue
            for source in sources
            if source.status != SOURCE_DOWN and (source.last_ok_ms or 0) >= oldest_ms
        )
    )
