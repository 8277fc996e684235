"""Snapshot bytes in this process's memory, by metric and asset, replaced when the version changes.

An answer changes once a second at most, when its age does; within the second every caller gets the same
bytes and the same header list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apps.core.clock import iso_utc
from apps.snapshots.contracts import SnapshotDocument, base36, freshness_of, staleness_seconds

Header = tuple[bytes, bytes]
HASH_FIELDS: Final = (b"v", b"ts", b"cad", b"head", b"tail", b"partial")


def validators(etag: str, next_update_ms: int) -> list[Header]:
    """What a cached copy is checked by, on 200 and 304 alike."""
    return [
        (b"etag", etag.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"x-next-update-at", iso_utc(next_update_ms).encode()),
    ]


def document_from_hash(
    metric: str, asset: str, values: Sequence[bytes | None]
) -> SnapshotDocument | None:
    """The Redis hash of a snapshot as ``HASH_FIELDS``; None when it is not there."""
    version, ts_ms, cadence_s, head, tail, partial = values
    if not (version and ts_ms and cadence_s and head and tail):
        return None
    return SnapshotDocument(
        metric=metric,
        asset=asset,
        version=int(version),
        snapshot_ts_ms=int(ts_ms),
        cadence_s=int(cadence_s),
        head=head,
        tail=tail,
        partial=partial == b"1",
    )


class Body:
    """The answer of one metric and asset."""

    __slots__ = ("_age_s", "_rendered", "asset", "document", "metric", "stored_at_s", "version")

    def __init__(self, metric: str, asset: str) -> None:
        self.metric = metric
        self.asset = asset
        # Differs from every version, and from none that is published.
        self.version = b"-"
        self.document: SnapshotDocument | None = None
        self.stored_at_s = float("-inf")
        self._age_s = -1
        self._rendered: tuple[bytes, list[Header]] = (b"", [])

    def replace(self, document: SnapshotDocument) -> None:
        self.document = document
        self.version = b"%d" % document.version
        self._age_s = -1

    def render(self, now_ms: int) -> tuple[bytes, list[Header]]:
        """The bytes and the headers that belong to them, as of market time ``now_ms``."""
        document = self.document
        if document is None:
            raise LookupError(f"{self.metric} {self.asset}: no document to render")
        age_s = staleness_seconds(now_ms, document.snapshot_ts_ms)
        if age_s != self._age_s:
            body = document.body(now_ms)
            headers = validators(document.etag(now_ms), document.next_update_ms)
            headers.append((b"content-length", b"%d" % len(body)))
            self._rendered = body, headers
            self._age_s = age_s
        return self._rendered


def not_modified_headers(
    version: int, snapshot_ts_ms: int, cadence_s: int, now_ms: int
) -> list[Header]:
    """The validators of a snapshot whose body is not needed."""
    word = freshness_of(staleness_seconds(now_ms, snapshot_ts_ms), cadence_s)
    cadence_ms = cadence_s * 1000
    return validators(
        f'W/"{base36(version)}-{word.letter}"', (snapshot_ts_ms // cadence_ms + 1) * cadence_ms
    )
