"""Refresh what is due: each slot of each metric and tier once, whoever asks and however often."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import LockError, RedisError

from apps.core.clock import market_clock, wall_now_ns
from apps.core.logs import get_logger
from apps.core.memory import give_back
from apps.core.redis import market_key, sync_redis
from apps.marketdata.clocksync import sync_market_clock
from apps.marketdata.delivery import delivering
from apps.marketdata.selectors import one_board, source_statuses
from apps.marketdata.universe import CADENCE_S, AssetTier, assets_of
from apps.snapshots import store
from apps.snapshots.metrics import BATCH_FAILURES, PUBLISHED, REFRESH_SECONDS
from apps.snapshots.registry import Refresher, refreshers
from apps.snapshots.schedule import due_slot

log = get_logger(__name__)

# A worker that is killed in a slot gives it up after this; another one then takes it.
_RUNNING_S: Final = 30
_JOINING_S: Final = 1.5
"""Longer than venues of one start are apart, shorter than two looks of the schedule."""
_FIRST_S: Final = 12.0
"""As long as nobody has delivered since a start, within reason."""
_LOOKED_S: Final = 15
_NOTED_S: Final = 900
"""As long as an absence that ``ingest`` catches up with while serving."""
_READY: Final = b"|ready:"
_FILLING: Final = "running"
"""The backfill's state before contexts have their history."""


def made_with_key(metric: str, tier: AssetTier) -> str:
    """Text: the slot, the state of the backfill and the venues that the newest documents were made with.

    Gone when they are older than an absence that is caught up with while serving.
    """
    return market_key("slot", metric, tier.value)


def hold_history(made_with: Iterable[bytes | str | None]) -> bool:
    """Whether documents that were made so are of late, and hold the 30 days that the backfill brings."""
    return all(isinstance(text, bytes) and _READY in text for text in made_with)


def due_refresh() -> int:
    """Refresh every metric and tier whose newest slot nobody has done; returns documents published."""
    sync_market_clock()
    inputs = _inputs()
    if not _is_settled(inputs):
        return 0
    published = 0
    with one_board():
        for metric, refresher in refreshers():
            for tier in AssetTier:
                published += _refresh_once(metric, tier, refresher, inputs)
    if published:
        give_back()
    return published


def _refresh_once(metric: str, tier: AssetTier, refresher: Refresher, inputs: str) -> int:
    """What the newest documents were made with is noted, so that whatever differs makes them anew."""
    slot = due_slot(market_clock.line, wall_now_ns(), CADENCE_S[tier])
    client = sync_redis()
    noted, wanted = made_with_key(metric, tier), f"{slot.name}|{inputs}".encode()
    assets = _due(metric, tier, client.get(noted) == wanted)
    if not assets:
        return 0
    # One worker at a time: another with other inputs would overtake it, or be overtaken.
    busy = client.lock(f"{noted}:busy", timeout=_RUNNING_S, blocking=False)
    if not busy.acquire():
        return 0
    try:
        # It may have been done while we looked.
        assets = _due(metric, tier, client.get(noted) == wanted)
        published = _refresh(metric, tier, refresher, assets) if assets else 0
    except Exception as error:
        BATCH_FAILURES.labels(metric, tier.value).inc()
        log.exception("snapshot_batch_failed", metric=metric, tier=tier.value, error=str(error))
        return 0
    else:
        if published and len(assets) == len(assets_of(tier)):
            client.set(noted, wanted, ex=_NOTED_S)
        return published
    finally:
        # A worker that took too long has lost it to another.
        with suppress(LockError):
            busy.release()


def _due(metric: str, tier: AssetTier, is_done: bool) -> tuple[str, ...]:
    """All assets; of a slot that is done, those that still have nothing to show."""
    assets = assets_of(tier)
    return _unpublished(metric, assets) if is_done else assets


def _refresh(metric: str, tier: AssetTier, refresher: Refresher, assets: Sequence[str]) -> int:
    started = time.perf_counter()
    documents = refresher(assets, market_clock.now_ms())
    published = store.publish_many(documents)
    took = time.perf_counter() - started
    PUBLISHED.labels(metric).inc(published)
    REFRESH_SECONDS.labels(metric, tier.value).observe(took)
    log.info(
        "snapshots_published",
        metric=metric,
        tier=tier.value,
        published=published,
        assets=len(assets),
        seconds=round(took, 4),
    )
    return published


def _unpublished(metric: str, assets: Sequence[str]) -> tuple[str, ...]:
    """Assets without a snapshot, or with one from a future that a replay has not reached again."""
    held = store.published_assets(metric, assets)
    horizon = market_clock.now_ms() + 1000
    return tuple(asset for asset in assets if held.get(asset, horizon + 1) > horizon)


def _is_settled(inputs: str) -> bool:
    """Whether inputs have been what they are for long enough to work on them.

    At a start nobody delivers at first, and then venues come one after the other within seconds: documents
    made of each state on the way are dear, and gone before they are read.
    """
    client = sync_redis()
    name, now_s = market_key("slot", "inputs"), wall_now_ns() / 1e9
    held, since, settled, heard = client.hmget(name, "inputs", "since", "settled", "heard")
    began_s = float(since) if since and held == inputs.encode() else now_s
    settled_s = float(settled) if settled else now_s
    is_heard = bool(heard) or not inputs.endswith(":")
    is_settled = now_s - began_s >= (_JOINING_S if is_heard else _FIRST_S)
    # A venue that comes and goes without end must not keep everybody's answers from being made.
    is_settled = is_settled or now_s - settled_s >= _FIRST_S
    looked: dict[Any, Any] = {
        "inputs": inputs,
        "since": repr(began_s),
        "settled": repr(now_s if is_settled else settled_s),
    }
    pipeline = client.pipeline()
    pipeline.hset(name, mapping=looked | ({"heard": "1"} if is_heard else {}))
    # Forgotten when nobody looks for a while: a start begins anew.
    pipeline.expire(name, _LOOKED_S)
    pipeline.execute()
    return is_settled


def _inputs() -> str:
    """What answers are made of besides time: when it changes, everything is published at once.

    Contexts have their history when the backfill ends; a venue that comes or goes changes every
    aggregate, and nobody should wait a slot to be told.
    """
    try:
        state = sync_redis().hget(market_key("backfill"), "state")
        sources = source_statuses()
    except RedisError:
        return "unknown"
    backfill = state.decode() if isinstance(state, bytes) else "unknown"
    if backfill == _FILLING:
        # Venues come one after the other, and all is published anew when the history is there.
        return f"{backfill}:"
    return f"{backfill}:{'+'.join(delivering(sources.values()))}"
