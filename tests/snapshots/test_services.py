"""Every slot once, whoever asks; failures are tried again; nothing waits for a slot the first time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import redis
from django.db import connections
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.core.clock import ClockLine, market_clock
from apps.core.redis import market_key, sync_redis
from apps.marketdata.live import (
    SOURCE_DEGRADED,
    SOURCE_DOWN,
    SOURCE_OK,
    SourceStatus,
    encode_sources,
    sources_key,
)
from apps.marketdata.universe import COLD, HOT, AssetTier
from apps.snapshots import registry, services, store
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.registry import SnapshotSpec
from apps.snapshots.tasks import tick

pytestmark = pytest.mark.django_db(databases=["market"], transaction=True)

METRIC = "markets.test"
NOON_NS = 1_700_049_600 * 1_000_000_000
MINUTE_NS = 60_000_000_000


class Refresher:
    """Counts its calls and publishes what it is asked for, less ``absent``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.absent: set[str] = set()
        self.error: Exception | None = None
        self._version = 0

    def __call__(self, assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
        self.calls.append(tuple(assets))
        if self.error is not None:
            raise self.error
        self._version += 1
        return [
            SnapshotDocument(METRIC, asset, self._version, now_ms, 60, b"{", b"}", False)
            for asset in assets
            if asset not in self.absent
        ]


@pytest.fixture
def refresher(monkeypatch: pytest.MonkeyPatch) -> Refresher:
    monkeypatch.setattr(registry, "_SPECS", {})
    monkeypatch.setattr(registry, "_BY_PATH", {})
    monkeypatch.setattr(registry, "_REFRESHERS", {})
    registry.register(SnapshotSpec(METRIC, "/v1/markets/test", "L1"))
    one = Refresher()
    registry.register_refresher(METRIC, one)
    monkeypatch.setattr(services, "sync_market_clock", lambda: True)
    # Most of these tests look once.
    monkeypatch.setattr(services, "_JOINING_S", 0.0)
    monkeypatch.setattr(services, "_FIRST_S", 0.0)
    return one


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    return _Clock(monkeypatch)


class _Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self(10)

    def __call__(self, second: float) -> None:
        wall_ns = NOON_NS + int(second * 1e9)
        self._monkeypatch.setattr(services, "wall_now_ns", lambda: wall_ns)
        market_clock.freeze(market_clock.line.at(wall_ns))


def made_with(*tiers: str) -> list[bytes | str | None]:
    return [sync_redis().get(services.made_with_key(METRIC, AssetTier(tier))) for tier in tiers]


def test_both_tiers_are_published_at_once_and_then_by_slot(
    refresher: Refresher, at: _Clock
) -> None:
    assert services.due_refresh() == 65
    assert refresher.calls == [HOT, COLD]
    for second in (12, 40, 63):
        at(second)
        assert services.due_refresh() == 0
    at(65)
    assert services.due_refresh() == 15
    at(305)
    assert services.due_refresh() == 65
    assert refresher.calls == [HOT, COLD, HOT, HOT, COLD]


def test_two_workers_do_a_slot_once(refresher: Refresher, at: _Clock) -> None:
    results: list[int] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        results.append(services.due_refresh())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refresher.calls) == sorted([HOT, COLD])
    assert sum(results) == 65


def test_a_failed_batch_is_tried_again(refresher: Refresher, at: _Clock) -> None:
    refresher.error = RuntimeError("engine broke")
    assert services.due_refresh() == 0
    refresher.error = None
    assert services.due_refresh() == 65


def test_one_tier_that_fails_does_not_stop_the_other(refresher: Refresher, at: _Clock) -> None:
    calls: list[tuple[str, ...]] = []

    def fails_on_hot(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
        calls.append(tuple(assets))
        if "BTC" in assets:
            raise RuntimeError("engine broke")
        return refresher(assets, now_ms)

    registry.register_refresher(METRIC, fails_on_hot)
    assert services.due_refresh() == 50
    assert calls == [HOT, COLD]


def test_a_worker_killed_in_its_slot_gives_it_up(refresher: Refresher, at: _Clock) -> None:
    services.due_refresh()
    at(65)
    busy = f"{market_key('slot', METRIC, 'hot')}:busy"
    sync_redis().set(busy, b"another", ex=30)
    assert services.due_refresh() == 0
    assert 0 < sync_redis().ttl(busy) <= 30
    sync_redis().delete(busy)
    assert services.due_refresh() == 15
    assert not sync_redis().exists(busy)


def test_a_worker_that_took_too_long_leaves_the_claim_of_its_follower(
    refresher: Refresher, at: _Clock
) -> None:
    busy = f"{market_key('slot', METRIC, 'hot')}:busy"

    def slow(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
        if "BTC" in assets:
            sync_redis().set(busy, b"another", ex=30)
        return refresher(assets, now_ms)

    registry.register_refresher(METRIC, slow)
    assert services.due_refresh() == 65
    assert sync_redis().get(busy) == b"another"


def test_one_worker_at_a_time_whatever_it_saw(refresher: Refresher, at: _Clock) -> None:
    """A start finds what the last run left in Redis, and then what this run says."""
    inner: list[int] = []

    def meanwhile(assets: Sequence[str], now_ms: int) -> list[SnapshotDocument]:
        if not inner:
            inner.append(0)
            sync_redis().hset(market_key("backfill"), "state", "running")
            inner[0] = services.due_refresh()
        return refresher(assets, now_ms)

    sync_redis().hset(market_key("backfill"), "state", "ready")
    registry.register_refresher(METRIC, meanwhile)
    assert services.due_refresh() == 65
    # COLD was free; HOT was being made.
    assert inner == [50]
    sync_redis().hset(market_key("backfill"), "state", "ready")
    assert services.due_refresh() == 0
    assert services.hold_history(made_with("hot", "cold"))


def test_an_asset_without_snapshot_does_not_wait(refresher: Refresher, at: _Clock) -> None:
    refresher.absent = {"PEPE"}
    services.due_refresh()
    at(12)
    assert services.due_refresh() == 0
    assert refresher.calls[-1] == ("PEPE",)
    refresher.absent = set()
    at(14)
    assert services.due_refresh() == 1
    at(16)
    assert services.due_refresh() == 0


def test_the_end_of_the_backfill_publishes_everything_again(
    refresher: Refresher, at: _Clock
) -> None:
    sync_redis().hset(market_key("backfill"), "state", "running")
    assert services.due_refresh() == 65
    assert services.due_refresh() == 0
    assert not services.hold_history(made_with("hot"))
    sync_redis().hset(market_key("backfill"), "state", "ready")
    assert services.due_refresh() == 65
    assert services.hold_history(made_with("hot", "cold"))


def test_venues_that_come_while_history_is_fetched_are_told_with_the_next_slot(
    refresher: Refresher, at: _Clock
) -> None:
    sync_redis().hset(market_key("backfill"), "state", "running")
    assert services.due_refresh() == 65
    source = SourceStatus(venue="binance", status=SOURCE_OK, last_ok_ms=market_clock.now_ms() - 500)
    sync_redis().hset(sources_key(), mapping=encode_sources([source]))
    assert services.due_refresh() == 0


def test_a_venue_that_comes_or_goes_publishes_everything_again(
    refresher: Refresher, at: _Clock
) -> None:
    def heard(venue: str, status: str, age_ms: int = 500) -> int:
        source = SourceStatus(venue=venue, status=status, last_ok_ms=market_clock.now_ms() - age_ms)
        sync_redis().hset(sources_key(), mapping=encode_sources([source]))
        return services.due_refresh()

    assert heard("binance", SOURCE_OK, age_ms=3_600_000) == 65
    assert heard("binance", SOURCE_OK) == 65
    assert heard("okx", SOURCE_DEGRADED) == 65
    assert heard("okx", SOURCE_OK) == 0
    # Back to what an earlier document of this slot was made with: nobody waits for the next slot.
    assert heard("okx", SOURCE_DOWN) == 65


def heard(venue: str) -> None:
    source = SourceStatus(venue=venue, status=SOURCE_OK, last_ok_ms=market_clock.now_ms() - 500)
    sync_redis().hset(sources_key(), mapping=encode_sources([source]))


def test_a_start_is_published_once_and_not_with_every_venue_that_joins(
    refresher: Refresher, at: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_JOINING_S", 1.5)
    monkeypatch.setattr(services, "_FIRST_S", 12.0)
    sync_redis().hset(market_key("backfill"), "state", "ready")
    assert services.due_refresh() == 0
    at(14)
    assert services.due_refresh() == 0
    heard("binance")
    assert services.due_refresh() == 0
    at(15)
    heard("okx")
    assert services.due_refresh() == 0
    at(16)
    assert services.due_refresh() == 0
    at(17)
    assert services.due_refresh() == 65
    assert refresher.calls == [HOT, COLD]


def test_a_venue_that_comes_and_goes_without_end_stops_nobody(
    refresher: Refresher, at: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_JOINING_S", 1.5)
    monkeypatch.setattr(services, "_FIRST_S", 12.0)
    sync_redis().hset(market_key("backfill"), "state", "ready")
    published = {}
    for second in range(10, 80, 2):
        at(second)
        sync_redis().delete(sources_key())
        heard("binance" if second % 4 else "okx")
        if count := services.due_refresh():
            published[second] = count
    # Each twelfth second is looked at: the first time, and HOT assets' next slot.
    assert published == {22: 65, 70: 15}


def test_venues_that_all_go_are_told_soon_and_a_start_without_any_after_a_while(
    refresher: Refresher, at: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_JOINING_S", 1.5)
    monkeypatch.setattr(services, "_FIRST_S", 12.0)
    sync_redis().hset(market_key("backfill"), "state", "ready")
    services.due_refresh()
    at(21.9)
    assert services.due_refresh() == 0
    at(22.1)
    assert services.due_refresh() == 65
    heard("binance")
    services.due_refresh()
    at(24)
    assert services.due_refresh() == 65
    sync_redis().delete(sources_key())
    services.due_refresh()
    at(26)
    assert services.due_refresh() == 65
    assert 0 < sync_redis().ttl(market_key("slot", "inputs")) <= 15


def test_a_replay_that_starts_again_publishes_again(refresher: Refresher, at: _Clock) -> None:
    services.due_refresh()
    market_clock.set_line(ClockLine(NOON_NS, NOON_NS - 10 * MINUTE_NS))
    at(20)
    assert services.due_refresh() == 65
    held = store.read(METRIC, "BTC")
    assert held is not None
    assert held.snapshot_ts_ms == (NOON_NS - 10 * MINUTE_NS) // 1_000_000 + 20_000


def test_the_tick_survives_without_redis(
    refresher: Refresher, at: _Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))

    monkeypatch.setattr(services, "sync_redis", away)
    assert tick() == 0
