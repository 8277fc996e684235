from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.core.clock import WALL_LINE, ClockLine, market_clock
from apps.core.redis import sync_redis
from apps.marketdata import clocksync
from apps.marketdata.tasks import maintain_partitions
from tests.marketdata.samples import T0

LINE = ClockLine(1_000, T0 * 1_000_000, 2.0, T0 * 1_000_000 + 5)


@pytest.fixture(autouse=True)
def _own_market(settings: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.MARKET = "clocksync-test"  # type: ignore[attr-defined] # pytest-django's proxy
    monkeypatch.setattr(clocksync, "_is_known", False)
    monkeypatch.setattr(clocksync, "_last_read", -10.0)
    sync_redis().delete(clocksync.clock_key())
    yield
    sync_redis().delete(clocksync.clock_key())


def test_the_published_line_is_followed() -> None:
    sync_redis().set(clocksync.clock_key(), clocksync.encode_line(LINE))
    assert clocksync.sync_market_clock(force=True)
    assert market_clock.line == LINE
    assert market_clock.now_ms() == T0


def test_redis_is_asked_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    sync_redis().set(clocksync.clock_key(), clocksync.encode_line(LINE))
    clocksync.sync_market_clock(force=True)
    monkeypatch.setattr(clocksync, "sync_redis", None)
    assert clocksync.sync_market_clock()


def test_without_a_line_time_is_wall_time() -> None:
    assert not clocksync.sync_market_clock(force=True)
    assert market_clock.line == WALL_LINE


def test_retention_of_a_replay_waits_for_its_clock(settings: object) -> None:
    """No database is allowed here: by wall time a recording of 2023 would be dropped."""
    settings.MARKET = "replay"  # type: ignore[attr-defined] # pytest-django's proxy
    key = clocksync.clock_key()
    kept: bytes | None = sync_redis().getdel(key)  # type: ignore[assignment] # bytes client
    try:
        # A drop would need the database and fail here.
        maintain_partitions()
        assert not clocksync.sync_market_clock(force=True)
    finally:
        if kept is not None:
            sync_redis().set(key, kept)
