"""Published snapshots on their stream channels.

A metric is streamed where a channel is registered under the name of its address:
``/v1/markets/open-interest`` of BTC is ``markets.open-interest.BTC``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache

from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.redis import sync_redis
from apps.feed.registry import resolve
from apps.feed.writer import BlockingFeedWriter
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.registry import find

_log = get_logger(__name__)


def channel_name(metric: str, asset: str) -> str | None:
    """The channel that carries this snapshot; None when none does."""
    spec = find(metric)
    if spec is None:
        return None
    name = f"{spec.path.removeprefix('/v1/').replace('/', '.')}.{asset}"
    return name if resolve(name) is not None else None


def push(documents: Sequence[SnapshotDocument]) -> None:
    """Tell of snapshots that were published just now. Without Redis nobody is told: the next one stands
    for this one, and REST has it."""
    events = [
        (name, document.body(document.snapshot_ts_ms), document.snapshot_ts_ms, b"")
        for document in documents
        if (name := channel_name(document.metric, document.asset)) is not None
    ]
    try:
        _writer(os.getpid(), threading.get_ident()).append_many(events)
    except (RedisError, OSError) as error:
        _log.warning("snapshot_push_redis_away", error=str(error), documents=len(events))


@lru_cache(maxsize=64)
def _writer(_process: int, _thread: int) -> BlockingFeedWriter:
    """One for each thread of each process: a writer numbers its events one after the other."""
    return BlockingFeedWriter(sync_redis())
