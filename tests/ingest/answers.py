"""Answers of layer 1 as a GET reads them, refreshed on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from asgiref.sync import sync_to_async

from apps.core.clock import market_clock
from apps.markets import snapshots
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from tests.ingest.rig import Rig

Refresh = Callable[[Sequence[str], int], list[SnapshotDocument]]
Answers = dict[str, dict[str, Any]]
METRICS: Mapping[str, Refresh] = {
    "funding": snapshots.refresh_funding,
    "open_interest": snapshots.refresh_open_interest,
    "basis": snapshots.refresh_basis,
    "liquidations": snapshots.refresh_liquidations,
}
FLOWS: Mapping[str, Refresh] = {
    "ohlcv": snapshots.refresh_ohlcv,
    "volume_flow": snapshots.refresh_volume_flow,
}


def refreshed(
    assets: Sequence[str], now_ms: int, metrics: Mapping[str, Refresh] = METRICS
) -> dict[str, Answers]:
    """Published, and read as a GET reads it: by asset and metric."""
    found: dict[str, Answers] = {asset: {} for asset in assets}
    for name, refresh in metrics.items():
        documents = refresh(assets, now_ms)
        store.publish_many(documents)
        metric = documents[0].metric
        for asset, document in store.read_many(metric, assets).items():
            found[asset][name] = orjson.loads(document.body(now_ms))
    return found


async def answers(
    assets: Sequence[str], metrics: Mapping[str, Refresh] = METRICS
) -> dict[str, Answers]:
    return await sync_to_async(refreshed)(assets, market_clock.now_ms(), metrics)


def book_of(rig: Rig, asset: str) -> tuple[float, float]:
    """Depth (USD in the twenty best levels of each side) and relative spread, means over the venues."""
    depths, spreads = [], []
    for synchroniser in _books(rig):
        book = synchroniser.book
        one = book.instrument
        if one.asset != asset or one.kind.value != "perp":
            continue
        bids, asks = book.top(20)
        if bids and asks:
            unit = 1.0 if one.is_inverse else bids[0][0]
            depths.append(unit * float(sum(size for _, size in (*bids, *asks))))
            spreads.append((asks[0][0] - bids[0][0]) / bids[0][0])
    return float(np.mean(depths)), float(np.mean(spreads))


def _books(rig: Rig) -> Iterable[Any]:
    for venue in rig.service.venues:
        yield from venue.books.values()
