"""What a published snapshot is: the bytes of one answer with a hole where its age goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from apps.core.jsonout import dumps

# An age of up to this many cadences is fresh, then stale, beyond that very stale.
FRESH_CADENCES: Final = 2
STALE_CADENCES: Final = 5

_AGE_PLACEHOLDER: Final = b'"staleness_seconds":0,"freshness":"fresh"'
_AGE_KEY: Final = b'"staleness_seconds":'
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Freshness(StrEnum):
    FRESH = "fresh"
    STALE = "stale"
    VERY_STALE = "very_stale"

    @property
    def letter(self) -> str:
        """The part of an ETag that changes when the answer's freshness does: f, s or v."""
        return self.value[0]


def staleness_seconds(now_ms: int, snapshot_ts_ms: int) -> int:
    """Whole seconds since the snapshot, never negative."""
    return max(0, (now_ms - snapshot_ts_ms) // 1000)


def freshness_of(staleness_s: int, cadence_s: int) -> Freshness:
    """The freshness word of an age in whole seconds."""
    if staleness_s <= FRESH_CADENCES * cadence_s:
        return Freshness.FRESH
    return Freshness.STALE if staleness_s <= STALE_CADENCES * cadence_s else Freshness.VERY_STALE


def base36(value: int) -> str:
    """A non-negative integer in digits 0-9a-z."""
    digits = []
    while True:
        value, digit = divmod(value, 36)
        digits.append(_BASE36[digit])
        if value == 0:
            return "".join(reversed(digits))


@dataclass(frozen=True, slots=True)
class SnapshotDocument:
    """One metric of one asset as it was published.

    ``version`` is the wall time in microseconds at which the inputs were read, so that of two refreshes
    the one with the newer inputs wins, also when market time jumps back (a replay that starts again).
    ``snapshot_ts_ms`` is market time. ``head`` ends before the digits of ``staleness_seconds``, ``tail``
    starts after the freshness word.
    """

    metric: str
    asset: str
    version: int
    snapshot_ts_ms: int
    cadence_s: int
    head: bytes
    tail: bytes
    partial: bool

    @classmethod
    def from_payload(
        cls,
        metric: str,
        payload: Mapping[str, Any],
        *,
        version: int,
        snapshot_ts_ms: int,
        cadence_s: int,
    ) -> Self:
        """Encode a payload whose last key ``meta`` has ``staleness_seconds`` 0 and ``freshness`` fresh."""
        encoded = dumps(payload)
        head, found, tail = encoded.rpartition(_AGE_PLACEHOLDER)
        if not found:
            raise ValueError(f"{metric}: expected meta with staleness_seconds and freshness")
        meta = payload["meta"]
        return cls(
            metric=metric,
            asset=str(payload["asset"]),
            version=version,
            snapshot_ts_ms=snapshot_ts_ms,
            cadence_s=cadence_s,
            head=head + _AGE_KEY,
            tail=tail,
            partial=bool(meta["partial"]),
        )

    def freshness(self, now_ms: int) -> Freshness:
        return freshness_of(staleness_seconds(now_ms, self.snapshot_ts_ms), self.cadence_s)

    def body(self, now_ms: int) -> bytes:
        """The JSON answer as of ``now_ms``."""
        age = staleness_seconds(now_ms, self.snapshot_ts_ms)
        word = freshness_of(age, self.cadence_s).value
        return b"".join((self.head, b'%d,"freshness":"' % age, word.encode(), b'"', self.tail))

    def etag(self, now_ms: int) -> str:
        """Weak: equal tags mean equal content but for the age in seconds."""
        return f'W/"{base36(self.version)}-{self.freshness(now_ms).letter}"'

    @property
    def next_update_ms(self) -> int:
        """When the next snapshot is due: the next slot boundary, market time."""
        cadence_ms = self.cadence_s * 1000
        return (self.snapshot_ts_ms // cadence_ms + 1) * cadence_ms
