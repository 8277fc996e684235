"""Counters of the refresh."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

PUBLISHED: Final = Counter("focsal_snapshots_published", "Snapshots published", ["metric"])
ASSET_FAILURES: Final = Counter(
    "focsal_snapshot_asset_failures", "Assets whose snapshot could not be made", ["metric"]
)
BATCH_FAILURES: Final = Counter(
    "focsal_snapshot_batch_failures", "Batches that could not be refreshed", ["metric", "tier"]
)
REFRESH_SECONDS: Final = Histogram(
    "focsal_snapshot_refresh_seconds", "Time to refresh and publish a batch", ["metric", "tier"]
)
